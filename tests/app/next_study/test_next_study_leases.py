"""To whom a study is kept over HTTP, what ends that, skips, and second readings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract_files import golden
from next_study_asks import ask, held, label, skip, state

from vpt_plugin.store.tokens import TokenFile


def test_several_who_ask_at_once_get_a_study_each_and_then_nothing_is_left(site) -> None:
    running = site()
    with ThreadPoolExecutor(4) as readers:
        got = list(readers.map(lambda n: ask(running, client_id=f"r{n % 4}")["id"], range(12)))
    assert len(set(got)) == 12
    left = ask(running)
    assert set(left) == {"vptct"}
    assert left["vptct"]["studies"] == []
    assert left["vptct"]["worklist"]["held"] == 12


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
    assert set(longer.json()) == {
        "study", "task", "reader", "strategy", "reading", "since", "until", "minutes", "holder",
    }  # fmt: skip
    assert running.ask("PUT", path, params={"client_id": "ben"}).status_code == 409
    nobody = running.ask("PUT", path)
    assert nobody.status_code == 400
    assert nobody.json()["detail"] == "client_id is missing: nobody is said to have the study"
    assert "?client_id=anna" in nobody.json()["hint"]


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


def in_query(said: dict[str, str]) -> dict[str, object]:
    return {"params": said}


def in_body(said: dict[str, str]) -> dict[str, object]:
    return {"json": said}


@pytest.mark.parametrize("given", [in_query, in_body])
def test_who_has_a_study_and_for_which_task_is_said_in_the_query_or_in_the_body(site, given) -> None:
    running = site(count=1)
    lease, skipped = "/activelearning/leases/s00.nii", "/activelearning/skips/s00.nii"
    ask(running, client_id="anna")
    assert running.ask("PUT", lease, **given({"client_id": "ben"})).status_code == 409
    assert running.ask("PUT", lease, **given({"client_id": "anna"})).status_code == 200
    assert running.ask("DELETE", lease, **given({"client_id": "anna"})).status_code == 200
    assert held(running) == []
    holder = ask(running)["vptct"]["studies"][0]["lease"]["holder"]
    assert running.ask("PUT", lease, **given({"holder": holder})).status_code == 200
    assert running.ask("DELETE", lease, **given({"holder": holder})).status_code == 200
    who = given({"client_id": "anna", "task": "nodule"})
    who["json"] = {**who.get("json", {}), "reason": "poor_quality"}
    assert running.ask("POST", skipped, **who).status_code == 200
    assert [each["reader"] for each in state(running)["skips"]] == ["anna"]
    assert running.ask("DELETE", skipped, **given({"task": "pe"})).status_code == 409
    assert running.ask("DELETE", skipped, **given({"task": "nodule", "client_id": "anna"})).status_code == 200
    assert state(running)["skips"] == []


def test_something_else_in_the_query_than_in_the_body_is_refused(site) -> None:
    running = site(count=1)
    ask(running, client_id="anna")
    both = {"params": {"client_id": "anna"}, "json": {"client_id": "ben"}}
    for method, path in (("PUT", "leases"), ("DELETE", "leases"), ("POST", "skips"), ("DELETE", "skips")):
        answer = running.ask(method, f"/activelearning/{path}/s00.nii", **both)
        assert answer.status_code == 400
        assert answer.json()["detail"] == "client_id is one thing in the query and another in the body"
    assert held(running) == ["s00.nii"]


def test_what_is_wrong_with_a_skip_is_told_by_the_name_of_the_field_and_in_one_order(site) -> None:
    running = site(count=1)
    told = [
        (skip(running, study, **said).status_code, skip(running, study, **said).json()["detail"])
        for study, said in (
            ("nothere", {}),
            ("s00.nii", {}),
            ("s00.nii", {"reason": "boring"}),
            ("s00.nii", {"reason": "other"}),
            ("s00.nii", {"reason": "other", "client_id": "anna"}),
        )
    ]
    assert told == [
        (404, "'nothere': there is no study of this id."),
        (400, "reason is missing"),
        (400, "s00.nii cannot be skipped for the reason 'boring'"),
        (400, "client_id is missing: nobody is said to have the study"),
        (400, "task is missing: nobody has the study, so no lease says for which it is skipped"),
    ]
    assert "nodule, pe" in skip(running, "s00.nii", reason="other", client_id="anna").json()["hint"]


def test_a_client_id_is_a_text_on_every_route(site) -> None:
    running = site(count=1)
    for method, path in (("POST", "random"), ("PUT", "leases/s00.nii"), ("DELETE", "skips/s00.nii")):
        answer = running.ask(method, f"/activelearning/{path}", json={"client_id": 5})
        assert (answer.status_code, answer.json()["detail"]) == (400, "client_id must be a text.")


def test_a_wrong_number_of_studies_is_the_same_mistake_on_every_route(site) -> None:
    running = site(count=1)
    for n in (0, -1, 10**6):
        asked = running.ask("POST", "/activelearning/random", json={"n": n})
        ranked = running.ask("GET", "/activelearning/random/worklist", params={"n": n})
        assert (asked.status_code, ranked.status_code) == (400, 400)
        assert ranked.json()["detail"].startswith("n must be a whole number from 1 to ")


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
    # Who agrees with whom is for a reviewer.
    assert task["agreement"]["pairs"] == []
    (pair,) = state(running, token=tokens["rita"])["tasks"][0]["agreement"]["pairs"]
    assert pair["readers"] == ["anna", "ben"]
    assert "id" not in ask(running, token=tokens["rita"])


def test_where_readers_always_say_the_same_of_all_kappa_and_its_interval_are_null(
    site, tokens, tmp_path: Path
) -> None:
    running = site(count=2, token_file=str(tmp_path / "tokens"))
    for reader in ("anna", "ben"):
        for study in ("s00.nii", "s01.nii"):
            label(running, study, token=tokens[reader])
    (pair,) = state(running, token=tokens["rita"])["tasks"][0]["agreement"]["pairs"]
    agreed = golden("active.json")["state"]["tasks"][0]["agreement"]["pairs"][1]
    assert pair == {**agreed, "finding": "lung_nodule", "readers": ["anna", "ben"]}
    assert pair["kappa"]["ci95"] == [None, None]


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


def test_who_may_not_label_skips_nothing_and_a_reviewer_sees_who_skipped_what(
    site, tokens, tmp_path: Path
) -> None:
    uma = TokenFile(tmp_path / "tokens").add("uma", "user")
    running = site(count=2, token_file=str(tmp_path / "tokens"))
    said = {"reason": "unreadable", "task": "nodule", "comment": "no slices"}
    assert skip(running, "s00.nii", token=uma, **said).status_code == 403
    assert skip(running, "s00.nii", token=tokens["anna"], **said).status_code == 200
    (told,) = state(running, token=tokens["rita"])["skips"]
    assert (told["study"], told["reader"], told["reason"]) == ("s00.nii", "anna", "unreadable")
    assert told["comment"] == "no slices"
    assert state(running, token=tokens["ben"])["skips"] == []


def test_what_is_no_study_is_in_nobodys_hands(site) -> None:
    running = site(count=1)
    for method, what in (("PUT", "leases"), ("DELETE", "leases"), ("POST", "skips"), ("DELETE", "skips")):
        answer = running.ask(method, f"/activelearning/{what}/nothere", params={"client_id": "anna"})
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "'nothere': there is no study of this id.",
        )
        assert "GET /datastore/?output=all lists the ids" in answer.json()["hint"]
    path = "/activelearning/leases/s00.nii"
    assert running.ask("PUT", path, params={"client_id": "anna"}).status_code == 409
    # A client whose answer was lost asks again.
    assert running.ask("DELETE", path, params={"client_id": "anna"}).status_code == 200


def test_a_client_id_cannot_look_like_the_holder_of_a_lease(site) -> None:
    running = site(count=1)
    answer = running.ask("POST", "/activelearning/random", json={"client_id": "nameless-x"})
    assert (answer.status_code, held(running)) == (400, [])
    assert answer.json()["detail"].startswith("a client_id does not begin with nameless-")
