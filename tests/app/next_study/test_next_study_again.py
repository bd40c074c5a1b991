"""A client that lost the answer asks again with the same ``wish_id``, and keeps no study from the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from next_study_asks import ask, held, label, state

WISH, OTHER = "0123456789abcdef", "f" * 32


def studies(answer: Any) -> list[tuple[str, str]]:
    return [(each["study"], each["why"]) for each in answer["vptct"]["studies"]]


def test_the_same_wish_is_answered_with_the_same_studies_and_another_with_others(site) -> None:
    running = site()
    first = ask(running, n=2, client_id="anna", wish_id=WISH)
    again = ask(running, n=2, client_id="anna", wish_id=WISH)
    assert studies(again) == studies(first)
    assert again["id"] == first["id"]
    leases = [[each["lease"] for each in told["vptct"]["studies"]] for told in (first, again)]
    assert leases[0] == leases[1]
    for more in (
        {"client_id": "anna", "wish_id": OTHER},
        {"client_id": "anna"},
        {"client_id": "ben", "wish_id": WISH},
    ):
        other = {study for study, _ in studies(ask(running, n=2, **more))}
        assert not other & {study for study, _ in studies(first)}
    assert len(held(running)) == 8
    told = {each["study"]: each["holder"] for each in state(running)["leases"]}
    assert set(told.values()) == {None}  # to an admin without a name none is their own


def test_after_a_restart_the_same_wish_is_answered_with_the_same_studies(site) -> None:
    first = ask(site(), client_id="anna", wish_id=WISH)
    assert studies(ask(site(), client_id="anna", wish_id=WISH)) == studies(first)


def test_what_was_labelled_meanwhile_is_not_offered_again(site) -> None:
    running = site()
    first = ask(running, n=2, client_id="anna", wish_id=WISH)
    label(running, first["id"], annotator="anna")
    again = ask(running, n=2, client_id="anna", wish_id=WISH)
    assert studies(again) == studies(first)[1:]
    label(running, again["id"], annotator="anna")
    # The wish is done with: the same id is one of the next study.
    (new,) = studies(ask(running, client_id="anna", wish_id=WISH))
    assert new not in studies(first)


def test_a_client_without_a_name_gets_its_holder_again(site) -> None:
    running = site()
    told = [ask(running, wish_id=WISH)["vptct"]["studies"][0] for _ in range(2)]
    assert told[0]["lease"] == told[1]["lease"]
    assert ask(running, wish_id=OTHER)["vptct"]["studies"][0]["lease"]["holder"] != told[0]["lease"]["holder"]


def test_the_same_wish_sent_four_times_at_once_keeps_one_study(site) -> None:
    running = site()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(running, client_id="anna", wish_id=WISH)["id"], range(4)))
    assert len(set(answers)) == 1
    assert held(running) == answers[:1]


@pytest.mark.parametrize(
    "wish", ["x", "0123456789abcde", "a" * 65, "0123456789abcde/", 5, ["a"], "\u0661" * 16]
)
def test_a_wish_that_others_could_guess_is_refused_and_keeps_nothing(site, wish: object) -> None:
    running = site()
    answer = running.ask("POST", "/activelearning/random", json={"wish_id": wish})
    assert (answer.status_code, answer.json()["error"]) == (400, "BadRequestError")
    assert held(running) == []


def test_an_extension_tells_how_long_a_lease_lasts_and_by_what_it_is_held(site) -> None:
    running = site(lease_minutes="45")
    study = ask(running, client_id="anna")["id"]
    told = running.ask("PUT", f"/activelearning/leases/{study}", params={"client_id": "anna"}).json()
    assert (told["minutes"], told["holder"]) == (45.0, "anna")
    own = running.ask("GET", "/activelearning/", params={"client_id": "anna"}).json()["leases"]
    assert [each["holder"] for each in own] == ["anna"]


def test_the_history_of_labels_tells_the_newest_version(site) -> None:
    running = site()
    query = {"image": "s00.nii", "task": "nodule"}
    assert running.ask("GET", "/datastore/label/history", params=query).json()["newest_version"] == 0
    label(running, "s00.nii")
    assert running.ask("GET", "/datastore/label/history", params=query).json()["newest_version"] == 1
