"""Uploads are agreed to once per server, and a consent can be taken back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from answers_to_questions import Answers
from VPTCTLib.consent import Consents
from VPTCTLib.logic.questions import RememberedQuestions

A, B = "https://a.example.org", "https://b.example.org/ct"


@pytest.fixture
def store() -> dict[str, str]:
    return {}


@pytest.fixture
def questions(answers: Answers, store: dict[str, str]) -> RememberedQuestions:
    return RememberedQuestions(answers, Consents(store), lambda: 1_795_204_800.0)


def test_a_yes_is_remembered_for_this_server_alone_with_its_time(
    questions: RememberedQuestions, answers: Answers, store: dict[str, str]
) -> None:
    assert all(questions.may_upload(A, "to classify it", "9 MB") for _ in range(3))
    assert (answers.asked, answers.told) == ([A], [("to classify it", "9 MB")])
    assert questions.consent(A) == "2026-11-20T20:00:00Z"
    assert not questions.consent(B)
    again = RememberedQuestions(answers, Consents(store), lambda: 0.0)
    assert again.may_upload(A, "", "")
    assert answers.asked == [A]


def test_a_no_is_asked_again(questions: RememberedQuestions, answers: Answers) -> None:
    answers.yes = False
    assert not questions.may_upload(A, "", "")
    answers.yes = True
    assert questions.may_upload(A, "", "")
    assert answers.asked == [A, A]


def server(address: str, server_id: str) -> Any:
    """One that is ready."""
    return SimpleNamespace(address=address, info=SimpleNamespace(server_id=server_id))


def test_another_server_at_the_same_address_is_asked_for_anew_also_after_a_restart(
    questions: RememberedQuestions, answers: Answers, store: dict[str, str]
) -> None:
    questions.meet(server(A, "one"))
    questions.may_upload(A, "", "")
    questions.meet(server(A, "one"))
    next_day = RememberedQuestions(answers, Consents(store), lambda: 0.0)
    next_day.meet(server(B, "two"))
    next_day.meet(server(A, "one"))
    assert next_day.consent(A)
    next_day.meet(server(A, "two"))
    assert not next_day.consent(A)


def test_a_consent_for_a_server_that_told_no_id_then_stays(
    questions: RememberedQuestions, store: dict[str, str]
) -> None:
    questions.meet(server(A, ""))
    questions.may_upload(A, "", "")
    questions.meet(server(A, "one"))
    assert questions.consent(A)


def test_after_it_was_revoked_it_is_asked_again(questions: RememberedQuestions, answers: Answers) -> None:
    changes: list[str] = []

    def note() -> None:
        changes.append(questions.consent(A))

    Consents.changed.connect(note)
    questions.may_upload(A, "", "")
    questions.revoke(A)
    questions.revoke(A)
    Consents.changed.disconnect(note)
    answers.yes = False
    assert not questions.may_upload(A, "", "")
    assert changes == ["2026-11-20T20:00:00Z", ""]


def test_other_questions_are_asked_each_time(questions: RememberedQuestions, answers: Answers) -> None:
    assert questions.confirm("Stop?", "It is lost.", "Stop")
    assert questions.confirm("Stop?", "It is lost.", "Stop")
    assert answers.told == [("It is lost.", "Stop")] * 2


@pytest.mark.parametrize(
    "stored", ["broken", "[]", '{"https://a.example.org": 7}', '{"https://a.example.org": ["", "id"]}']
)
def test_a_consent_that_cannot_be_read_is_none(stored: str) -> None:
    assert not Consents({"VPTCT.uploads": stored}).given(A)
