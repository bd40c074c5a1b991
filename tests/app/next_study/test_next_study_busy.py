"""The worklist in other hands, on a disk that fails, or asked by too many: who saves a label never waits."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from next_study_asks import ask, held, label, state
from stand_in import wait_until

from vpt_plugin.errors import CancelledError, LeaseError
from vpt_plugin.store.worklist_lock import WorklistLock


def folder_of(running: Any) -> Path:
    return Path(running.app.worklists.leases.folder)


def test_a_label_and_what_the_server_is_are_answered_while_others_keep_the_worklist(site) -> None:
    running = site(count=3)
    study = ask(running, client_id="anna")["id"]
    # As another process, ``vpt next`` say, that was suspended.
    with WorklistLock(folder_of(running)).taken():
        began = time.monotonic()
        label(running, study, annotator="anna")
        first = time.monotonic() - began
        label(running, study, "present", annotator="anna")
        assert running.ask("GET", "/info/").status_code == 200
        assert held(running) == [study]
        # The worklist is waited for ten seconds.
        assert 0.9 <= first <= time.monotonic() - began < 10
    wait_until(lambda: held(running) == [])
    events = running.app.worklists.leases.history
    wait_until(lambda: [each.event for each in events().events] == ["offered", "labelled", "labelled"])


def test_a_label_that_a_killed_server_could_not_note_ends_the_lease_when_the_next_one_opens(
    site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = site(count=3)
    study, other = ask(running, client_id="anna")["id"], ask(running, client_id="ben")["id"]

    def kept(*_: object) -> None:
        raise LeaseError("others have kept the worklist;", "ask again.")

    monkeypatch.setattr(running.app.worklists.leases, "labelled", kept)
    label(running, study, annotator="anna")
    assert held(running) == sorted([study, other])
    after = site(count=3)
    after.app.worklists.notes.open()
    wait_until(lambda: held(after) == [other])
    assert after.app.worklists.leases.history().labelled_after(
        next(each.offer for each in after.app.worklists.leases.history().offers if each.study == study)
    )


def test_only_some_wait_for_a_study_and_the_others_are_told_to_come_again(
    site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seventeen choose one after the other: on a slow machine not within ten seconds.
    monkeypatch.setattr("lib.worklist.hands.PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr("lib.worklist.desk.PATIENCE_SECONDS", 60.0)
    running = site(count=40)
    ask(running, client_id="first")
    with ThreadPoolExecutor(24) as askers:
        with WorklistLock(folder_of(running)).taken():
            answers = [
                askers.submit(running.ask, "POST", "/activelearning/random", json={"client_id": f"r{number}"})
                for number in range(24)
            ]
            wait_until(lambda: sum(each.done() for each in answers) >= 7)
            refused = [each.result() for each in answers if each.done()]
        given = [each.result() for each in answers if each.result() not in refused]
    assert [(each.status_code, each.headers["Retry-After"]) for each in refused] == [(503, "15")] * 7
    assert refused[0].json()["detail"] == "16 readers wait already"
    assert len({each.json()["id"] for each in given}) == 17


def test_who_hung_up_before_an_answer_keeps_no_study_from_others(
    site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = site(count=3)
    ask(running, client_id="anna")
    worklist, chosen_for = running.app.worklists.worklist, threading.Event()
    real = worklist.next
    monkeypatch.setattr(worklist, "next", lambda wish: chosen_for.set() or real(wish))
    body = b'{"client_id": "ben"}'
    head = f"POST /activelearning/random HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    with running.listening() as port:
        with WorklistLock(folder_of(running)).taken():
            with socket.create_connection(("127.0.0.1", port)) as asks:
                asks.sendall(head.encode() + body)
                assert chosen_for.wait(20)
            # The server hears of it.
            time.sleep(0.5)
        history = running.app.worklists.leases.history
        wait_until(lambda: "given_back" in [each.event for each in history().events])
        assert [each["reader"] for each in state(running)["leases"]] == ["anna"]


def test_who_hung_up_while_waiting_is_not_even_chosen_for(site) -> None:
    running = site(count=3)
    with pytest.raises(CancelledError):
        running.app.offer_next("random", {}, reader="anna", gone=lambda: True)
    assert running.app.worklists.leases.history().offers == ()


@pytest.mark.parametrize("damage", ["history.jsonl is a folder", "worklist is a file"])
def test_a_worklist_that_cannot_be_read_is_said_in_words_and_labels_are_saved(site, damage: str) -> None:
    running = site(count=3)
    folder = folder_of(running)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder / "history.jsonl").mkdir(parents=True) if damage.startswith("history") else folder.touch()
    told = running.ask("GET", "/activelearning/")
    assert (told.status_code, told.headers["Retry-After"]) == (503, "60")
    assert told.json()["detail"].startswith("the worklists cannot be told at the moment: ")
    assert told.json()["hint"]
    answer = running.ask("POST", "/activelearning/auto", json={})
    assert (answer.status_code, answer.json()["error"]) == (503, "WorklistAwayError")
    back = running.ask("DELETE", "/activelearning/skips/s00.nii")
    assert (back.status_code, back.json()["error"]) == (503, "WorklistAwayError")
    assert str(folder.parents[1]) not in told.text + answer.text
    assert running.ask("GET", "/activelearning/random/worklist").status_code == 503
    label(running, "s00.nii")


def test_each_task_is_worked_out_once_per_answer(site, monkeypatch: pytest.MonkeyPatch) -> None:
    running = site(count=3)
    worklist, asked = running.app.worklists.worklist, []
    real = worklist.state
    monkeypatch.setattr(worklist, "state", lambda task, **more: asked.append(task) or real(task, **more))
    state(running)
    assert asked == ["nodule", "pe"]
