"""The worklist in other hands, on a disk that fails, or asked by too many: who saves a label never waits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
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
        assert 0.9 <= first <= time.monotonic() - began <= 5
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


def test_only_some_wait_for_a_study_and_the_others_are_told_to_come_again(site) -> None:
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


def test_who_hung_up_before_an_answer_keeps_no_study_from_others(site) -> None:
    running = site(count=3)
    ask(running, client_id="anna")
    with running.listening() as port:
        with WorklistLock(folder_of(running)).taken(), pytest.raises(requests.Timeout):
            requests.post(
                f"http://127.0.0.1:{port}/activelearning/random", json={"client_id": "ben"}, timeout=0.3
            )
        history = running.app.worklists.leases.history
        wait_until(lambda: "given_back" in [each.event for each in history().events])
        assert [each["reader"] for each in state(running)["leases"]] == ["anna"]


def test_who_hung_up_while_waiting_is_not_even_chosen_for(site) -> None:
    running = site(count=3)
    with pytest.raises(CancelledError):
        running.app.offer_next("random", {}, reader="anna", gone=lambda: True)
    assert running.app.worklists.leases.history().offers == ()


@pytest.mark.parametrize(
    ("damage", "asked"), [("history.jsonl is a folder", 503), ("worklist is a file", 409)]
)
def test_a_worklist_that_cannot_be_read_is_said_in_words_and_labels_are_saved(
    site, damage: str, asked: int
) -> None:
    running = site(count=3)
    folder = folder_of(running)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder / "history.jsonl").mkdir(parents=True) if asked == 503 else folder.touch()
    told = running.ask("GET", "/activelearning/")
    assert (told.status_code, told.headers["Retry-After"]) == (503, "60")
    assert told.json()["detail"].startswith("the worklists cannot be told at the moment: ")
    assert told.json()["hint"]
    answer = running.ask("POST", "/activelearning/auto", json={})
    assert (answer.status_code, bool(answer.json()["detail"])) == (asked, True)
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
