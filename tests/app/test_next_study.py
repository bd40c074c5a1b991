"""Which study next over HTTP: what is answered, to whom a study is kept, and what ends that."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from contract_files import differences, golden

from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.store.tokens import TokenFile


@pytest.fixture
def site(serve, tmp_path: Path) -> Callable[..., Any]:
    """Starts the app over some studies that nobody reads: ``s00.nii``, ``s01.nii`` and so on."""

    def start(count: int = 12, **conf: str) -> Any:
        (tmp_path / "studies").mkdir(exist_ok=True)
        for number in range(count):
            (tmp_path / "studies" / f"s{number:02d}.nii").write_bytes(b"x")
        return serve({"tasks": "nodule,pe", "scoring": "off", **conf})

    return start


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """The tokens of two readers and a reviewer, by their names; the file of all is ``tokens``."""
    file = TokenFile(tmp_path / "tokens")
    roles = {"anna": "annotator", "ben": "annotator", "rita": "reviewer", "uwe": "user", "ada": "admin"}
    return {name: file.add(name, role) for name, role in roles.items()}


def ask(running: Any, strategy: str = "random", *, token: str = "", **body: object) -> Any:
    """What the server answers to who asks for a study."""
    answer = running.ask("POST", f"/activelearning/{strategy}", token=token, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def label(running: Any, study: str, state: str = "absent", *, token: str = "", **more: object) -> None:
    """Save a label of ``nodule``."""
    content = {
        "schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": state}}, **more,
    }  # fmt: skip
    files = {"label": ("l.json", json.dumps(content).encode())}
    answer = running.ask("PUT", "/datastore/label", token=token, params={"image": study}, files=files)
    assert answer.status_code == 200, answer.text


def skip(running: Any, study: str, *, token: str = "", **body: object) -> Any:
    return running.ask("POST", f"/activelearning/skips/{study}", token=token, json=body)


def state(running: Any, *, token: str = "") -> Any:
    return running.ask("GET", "/activelearning/", token=token).json()


def held(running: Any, *, token: str = "") -> list[str]:
    return sorted(lease["study"] for lease in state(running, token=token)["leases"])


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
        "free": 11, "held": 1, "skipped": 0, "labelled": 0, "unreadable": 0, "unscored": 11,
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


def test_several_who_ask_at_once_get_a_study_each_and_then_nothing_is_left(site) -> None:
    running = site()
    with ThreadPoolExecutor(4) as readers:
        got = list(readers.map(lambda n: ask(running, client_id=f"r{n % 4}")["id"], range(12)))
    assert len(set(got)) == 12
    left = ask(running)
    assert set(left) == {"vptct"}
    assert left["vptct"]["studies"] == []
    assert left["vptct"]["worklist"]["held"] == 12


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


def test_a_batch_is_kept_as_one(site) -> None:
    running = site()
    got = [each["study"] for each in ask(running, n=5, client_id="anna")["vptct"]["studies"]]
    assert len(set(got)) == 5
    assert held(running) == sorted(got)
    rest = ask(running, n=32, client_id="ben")["vptct"]["studies"]
    assert sorted([each["study"] for each in rest] + got) == [f"s{n:02d}.nii" for n in range(12)]


def test_a_study_that_one_has_for_one_task_is_offered_to_nobody_for_another(site) -> None:
    running = site(count=1)
    assert ask(running, task="nodule", client_id="anna")["id"] == "s00.nii"
    assert "id" not in ask(running, task="pe", client_id="ben")


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
        ("typical", {}, 409, "strategy typical needs scores"),
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


def test_a_study_that_is_given_back_is_offered_to_others_at_once(site) -> None:
    running = site(count=1)
    assert ask(running, client_id="anna")["id"] == "s00.nii"
    path = "/activelearning/leases/s00.nii"
    stranger = running.ask("DELETE", path, params={"client_id": "ben"})
    assert stranger.status_code == 409
    # Who has it is nobody else's business.
    assert "anna" not in stranger.text
    assert running.ask("DELETE", path, params={"client_id": "anna"}).json() == {}
    assert ask(running, client_id="ben")["id"] == "s00.nii"


def test_a_lease_is_extended_by_its_reader_alone(site) -> None:
    running = site(count=1)
    until = ask(running, client_id="anna")["vptct"]["studies"][0]["lease"]["until"]
    path = "/activelearning/leases/s00.nii"
    longer = running.ask("PUT", path, params={"client_id": "anna"})
    assert longer.status_code == 200
    assert longer.json()["until"] > until
    assert set(longer.json()) == {"study", "task", "reader", "strategy", "reading", "since", "until"}
    assert running.ask("PUT", path, params={"client_id": "ben"}).status_code == 409
    nobody = running.ask("PUT", path)
    assert (nobody.status_code, nobody.json()["detail"]) == (400, "nobody is said to have the study")


def test_who_has_no_name_holds_a_study_by_the_text_in_its_lease(site) -> None:
    running = site(count=2)
    first, second = (ask(running)["vptct"]["studies"][0]["lease"] for _ in range(2))
    assert first["holder"] != second["holder"]
    path = f"/activelearning/leases/{first['study']}"
    assert running.ask("DELETE", path, params={"holder": second["holder"]}).status_code == 409
    assert running.ask("DELETE", path, params={"holder": first["holder"]}).status_code == 200
    assert held(running) == [second["study"]]


def test_a_skipped_study_is_not_offered_to_its_reader_again_and_to_nobody_after_two(site) -> None:
    running = site(count=1)
    ask(running, client_id="anna")
    assert skip(running, "s00.nii", reason="boring", client_id="anna").status_code == 400
    assert skip(running, "s00.nii", reason="unsure", client_id="anna").status_code == 200
    assert ask(running, client_id="anna")["vptct"]["worklist"]["skipped"] == 1
    assert ask(running, client_id="ben")["id"] == "s00.nii"
    assert skip(running, "s00.nii", reason="poor_quality", client_id="ben").status_code == 200
    assert "id" not in ask(running, client_id="cleo")
    assert [each["reason"] for each in state(running)["skips"]] == ["unsure", "poor_quality"]
    again = running.ask("DELETE", "/activelearning/skips/s00.nii", params={"task": "nodule"})
    assert again.status_code == 200
    assert ask(running, client_id="anna")["id"] == "s00.nii"


def test_what_is_said_of_a_skip_is_checked(site) -> None:
    running = site(count=1)
    said = {"reason": "other", "task": "nodule", "client_id": "anna"}
    assert skip(running, "s07.nii", **said).status_code == 404
    assert skip(running, "s00.nii", **{**said, "reason": 5}).status_code == 400
    assert skip(running, "s00.nii", **{**said, "task": "liver"}).status_code == 404
    assert skip(running, "s00.nii", **{**said, "comment": "\u0007"}).status_code == 400
    assert skip(running, "s00.nii", **{**said, "path": "x"}).status_code == 400
    assert running.ask("DELETE", "/activelearning/skips/s00.nii").status_code == 409
    assert state(running)["skips"] == []


def test_a_saved_label_ends_the_lease_whatever_the_annotator_is_called(site) -> None:
    running = site(count=2)
    study = ask(running, client_id="slicer")["id"]
    label(running, study, annotator="anna")
    assert held(running) == []
    told = ask(running, client_id="slicer")
    assert told["id"] != study
    assert told["vptct"]["labels"] == {"lung_nodule": {"present": 0, "absent": 1, "indeterminate": 0}}
    assert held(running) == [told["id"]]


def test_with_a_login_a_study_is_kept_for_who_is_logged_in(site, tokens, tmp_path: Path) -> None:
    running = site(count=3, token_file=str(tmp_path / "tokens"))
    # What a client calls itself changes nothing.
    lease = ask(running, token=tokens["anna"], client_id="ben")["vptct"]["studies"][0]["lease"]
    assert (lease["reader"], lease["holder"]) == ("anna", "anna")
    path = f"/activelearning/leases/{lease['study']}"
    as_anna = {"holder": "anna", "client_id": "anna"}
    for method in ("PUT", "DELETE"):
        assert running.ask(method, path, token=tokens["ben"], params=as_anna).status_code == 409
    assert skip(running, lease["study"], token=tokens["ben"], reason="other", **as_anna).status_code == 409
    # Her own, and all of them for a reviewer.
    assert held(running, token=tokens["anna"]) == [lease["study"]]
    assert held(running, token=tokens["ben"]) == []
    assert held(running, token=tokens["rita"]) == [lease["study"]]
    assert running.ask("DELETE", path, token=tokens["anna"]).status_code == 200


def test_a_label_of_somebody_else_leaves_a_readers_study_alone(site, tokens, tmp_path: Path) -> None:
    running = site(count=3, token_file=str(tmp_path / "tokens"))
    study = ask(running, token=tokens["anna"])["id"]
    label(running, study, token=tokens["ben"])
    assert held(running, token=tokens["anna"]) == [study]
    # An admin brings in her label from elsewhere.
    label(running, study, token=tokens["ada"], annotator="anna")
    assert held(running, token=tokens["anna"]) == []


def test_a_second_reader_gets_what_one_has_labelled_and_sees_nothing_of_it(
    site, tokens, tmp_path: Path
) -> None:
    running = site(count=1, double_read="1", token_file=str(tmp_path / "tokens"))
    study = ask(running, token=tokens["anna"])["id"]
    label(running, study, "present", token=tokens["anna"])
    assert "id" not in ask(running, token=tokens["anna"])
    told = ask(running, token=tokens["ben"])
    (proposal,) = told["vptct"]["studies"]
    assert (told["id"], proposal["reading"], proposal["label_version"]) == (study, "second", 1)
    assert (proposal["probabilities"], told["weight"]) == (None, 0)
    label(running, study, "absent", token=tokens["ben"])
    (task, _) = state(running, token=tokens["ben"])["tasks"]
    assert (task["agreement"]["studies"], task["agreement"]["ordered"]) == (1, 1)
    assert task["agreement"]["findings"]["lung_nodule"]["observed"] == 0.0
    assert "id" not in ask(running, token=tokens["rita"])


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
        ("/activelearning/random/worklist?n=0", 422),
        ("/activelearning/random/worklist?n=10001", 422),
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


def test_a_label_counts_though_the_worklist_cannot_note_it(site, monkeypatch: pytest.MonkeyPatch) -> None:
    running = site(count=2)
    study = ask(running, client_id="anna")["id"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running.app.worklists.leases, "labelled", full)
    label(running, study, annotator="anna")
    told = ask(running, client_id="anna")
    assert told["id"] != study
    assert told["vptct"]["worklist"]["labelled"] == 1


def test_an_offer_that_cannot_be_written_is_none(site, monkeypatch: pytest.MonkeyPatch) -> None:
    running = site(count=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vpt_plugin.store.lease_file.write_over", full)
        refused = running.ask("POST", "/activelearning/random", json={"client_id": "anna"})
    assert (refused.status_code, held(running)) == (507, [])
    assert ask(running, client_id="ben")["id"] == "s00.nii"


def test_a_scoring_is_ordered_by_the_name_of_a_model(site) -> None:
    running = site(scoring="on")
    ordered = running.ask("POST", "/activelearning/scoring/nodule_tiny")
    assert (ordered.status_code, ordered.json()["state"]) == (200, "queued")
    unknown = running.ask("POST", "/activelearning/scoring/nodule_swin_t")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "unknown model 'nodule_swin_t'")
    refused = site(scoring="off").ask("POST", "/activelearning/scoring/nodule_tiny")
    assert (refused.status_code, refused.json()["detail"]) == (405, "studies are not scored here")
