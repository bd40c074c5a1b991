"""Which study next over HTTP: what is answered, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from contract_files import differences, golden
from next_study_asks import ask, held, label, skip, state

from vpt_plugin.acquisition.strategies import STRATEGIES


def test_the_answer_has_what_monai_labels_clients_look_for_and_why(site) -> None:
    running = site()
    told = ask(running, "auto", client_id="anna")
    assert {"id", "name", "weight", "vptct"} <= set(told)
    assert "path" not in told
    (proposal,) = told["vptct"]["studies"]
    assert proposal["study"] == told["id"] == told["name"]
    assert proposal["why"]
    assert (proposal["lease"]["reader"], proposal["reading"]) == ("anna", "first")
    assert told["vptct"]["labels"] == {"lung_nodule": {"present": 0, "absent": 0, "indeterminate": 0}}
    assert told["vptct"]["worklist"] == {
        "free": 11, "held": 1, "skipped": 0, "labelled": 0, "unreadable": 0, "left_out": 0,
        "second_readings": 0, "unscored": 11,
    }  # fmt: skip


def test_the_answers_are_as_agreed(site) -> None:
    running = site(double_read="1")
    label(running, "s00.nii", annotator="ben")
    label(running, "s00.nii", "present", annotator="anna")
    label(running, "s01.nii", annotator="ben")
    skip(running, "s02.nii", reason="unsure", task="nodule", comment="a cough", client_id="anna")
    agreed = golden("active.json")
    told = ask(running, n=3, client_id="anna")
    assert {each["reading"] for each in told["vptct"]["studies"]} == {"first", "second"}
    assert differences(told["vptct"], agreed["next"]["vptct"], ".vptct") == []
    assert set(agreed["next"]) == set(told)
    now = state(running)
    assert len(now["leases"]) == 3
    assert len(now["skips"]) == 1
    assert differences(now, agreed["state"], ".active") == []
    info = running.ask("GET", "/info/").json()
    assert differences(info["vptct"]["active"], golden("info.json")["vptct"]["active"], ".active") == []


def test_menus_of_stock_clients_begin_with_auto(site) -> None:
    info = site().ask("GET", "/info/").json()
    assert list(info["strategies"]) == list(STRATEGIES)
    assert next(iter(info["strategies"])) == "auto"
    assert info["strategies"]["typical"]["description"].startswith("Typical: The most typical")
    listed = info["vptct"]["active"]["strategies"]
    assert [each["name"] for each in listed] == list(STRATEGIES)


STOCK_CLIENT = """
import sys
from monailabel.client.client import MONAILabelClient
named, nameless = MONAILabelClient(sys.argv[1], client_id="user-xyz"), MONAILabelClient(sys.argv[1])
strategy = next(iter(named.info()["strategies"]))
samples = [named.next_sample(strategy, {}), nameless.next_sample(strategy, {})]
samples.append(named.next_sample("random", {}))
print(strategy, *(sample.get("id", "none") for sample in samples))
"""


def test_monai_labels_own_client_is_given_a_study_at_a_time(site) -> None:
    running = site(count=2)
    with running.listening() as port:
        # In a process of its own, for it leaves its sockets open. The Slicer plugin has the same one.
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", STOCK_CLIENT, f"http://127.0.0.1:{port}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    strategy, first, second, third = done.stdout.split()
    assert (strategy, {first, second}, third) == ("auto", {"s00.nii", "s01.nii"}, "none")
    readers = {lease["study"]: lease["reader"] for lease in state(running)["leases"]}
    assert readers == {first: "user-xyz", second: ""}


def test_what_somebody_noted_takes_the_place_of_nothing_in_the_answer(site) -> None:
    running = site(count=1)
    notes = {"id": "../x", "weight": "x", "vptct": 5, "name": "x", "seen": True}
    noted = running.ask(
        "PUT", "/datastore/image/info", params={"image": "s00.nii"}, files={"info": (None, json.dumps(notes))}
    )
    assert noted.status_code == 200
    told = ask(running)
    assert (told["id"], told["name"], told["seen"]) == ("s00.nii", "s00.nii", True)
    assert told["vptct"]["studies"][0]["study"] == "s00.nii"
    assert told["weight"] == told["vptct"]["studies"][0]["score"]


@pytest.mark.parametrize(
    ("strategy", "body", "status", "detail"),
    [
        ("best", {}, 404, "there is no strategy 'best'"),
        ("random", {"path": "/etc"}, 400, "the body has an unknown key 'path'"),
        ("random", {"task": "liver"}, 404, "unknown task 'liver'"),
        ("random", {"task": 5}, 400, "task must be a text."),
        ("random", {"model": "swin_t"}, 404, "unknown model 'swin_t'"),
        ("random", {"finding": "liver"}, 400, "task nodule has no finding 'liver'"),
        ("random", {"n": 0}, 400, "n must be a whole number from 1 to 32."),
        ("random", {"n": 33}, 400, "n must be a whole number from 1 to 32."),
        ("random", {"n": True}, 400, "n must be a whole number from 1 to 32."),
        ("random", {"n": "2"}, 400, "n must be a whole number from 1 to 32."),
        ("random", {"unseen": "yes"}, 400, "unseen must be true or false."),
        ("random", {"date_from": "2026-01-01"}, 400, "'2026-01-01' is no date"),
        ("random", {"client_id": "\u001b[2J"}, 400, "client_id holds the control character"),
        ("uncertain", {}, 409, "strategy uncertain needs"),
        ("typical", {}, 409, "strategy typical needs studies that the network has looked at"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(
    site, strategy: str, body: dict[str, object], status: int, detail: str
) -> None:
    running = site()
    answer = running.ask("POST", f"/activelearning/{strategy}", json=body)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (status, detail)
    assert answer.json()["hint"] or "must be" in detail
    assert held(running) == []


def test_the_worklist_is_an_order_that_keeps_nothing(site) -> None:
    running = site()
    listed = running.ask("GET", "/activelearning/random/worklist", params={"n": 4}).json()
    assert listed["schema"] == "vptct.next/1"
    assert [each["lease"] for each in listed["studies"]] == [None] * 4
    assert held(running) == []
    # The order of ``random`` stays, so the first of it is what is offered next.
    assert ask(running, client_id="anna")["id"] == listed["studies"][0]["study"]
    answer = running.ask("GET", "/activelearning/random/worklist", params={"format": "csv", "task": "pe"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="worklist-pe.csv"'
    table = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["rank"] for row in table] == [str(number) for number in range(1, 12)]
    assert table[0]["study"] == listed["studies"][1]["study"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/activelearning/best/worklist", 404),
        ("/activelearning/random/worklist?task=liver", 404),
        ("/activelearning/random/worklist?n=0", 400),
        ("/activelearning/random/worklist?n=10001", 400),
        ("/activelearning/random/worklist?format=xml", 422),
        ("/activelearning/typical/worklist", 409),
    ],
)
def test_a_worklist_that_cannot_be_is_refused(site, path: str, status: int) -> None:
    answer = site().ask("GET", path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_when_to_retrain_is_told_with_every_offer_and_can_be_switched_off(site) -> None:
    running = site(retrain_every="2", min_each="1")
    label(running, "s00.nii", "present")
    advice = ask(running)["vptct"]["retrain"]
    assert (advice["due"], advice["new_labels"], advice["every"]) == (False, 1, 2)
    label(running, "s01.nii")
    advice = ask(running)["vptct"]["retrain"]
    assert (advice["due"], advice["new_labels"]) == (True, 2)
    assert "2 labels" in advice["why"]
    assert state(running)["tasks"][0]["retrain"] == advice
    off = site(retrain="off")
    assert ask(off)["vptct"]["retrain"] is None


def test_what_is_wrong_with_a_model_is_told_without_the_servers_folders(site, tmp_path: Path) -> None:
    running = site()
    damaged = tmp_path / "models" / "nodule_tiny" / "v0001"
    damaged.mkdir(parents=True)
    (damaged / "card.json").write_text("{")
    (damaged.parent / "served.json").write_text("[")
    told = ask(running)
    assert told["id"]
    assert "nodule_tiny" in "".join((*told["vptct"]["warnings"], told["vptct"]["retrain"]["why"]))
    answers = [json.dumps(told), *(running.ask("GET", path).text for path in ("/activelearning/", "/info/"))]
    answers.append(running.ask("GET", "/activelearning/random/worklist").text)
    assert [answer for answer in answers if str(tmp_path) in answer] == []


def test_the_server_tells_what_it_is_though_the_worklist_cannot_be_read(
    site, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = site()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(running.app.worklists.leases, "history", broken)
    told = running.ask("GET", "/info/")
    assert told.status_code == 200
    active = told.json()["vptct"]["active"]
    assert (active["tasks"], active["problem"][-20:]) == ([], "] Input/output error")


def test_a_scoring_is_ordered_by_the_name_of_a_model(site) -> None:
    running = site(scoring="on")
    ordered = running.ask("POST", "/activelearning/scoring/nodule_tiny")
    assert (ordered.status_code, ordered.json()["state"]) == (200, "queued")
    unknown = running.ask("POST", "/activelearning/scoring/nodule_swin_t")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "unknown model 'nodule_swin_t'")
    refused = site(scoring="off").ask("POST", "/activelearning/scoring/nodule_tiny")
    assert (refused.status_code, refused.json()["detail"]) == (405, "studies are not scored here")
