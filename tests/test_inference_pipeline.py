"""The overlap over many studies: their order, their errors, how many are in memory, and that threads end."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.errors import CancelledError, ConfigurationError, UnreadableStudyError
from vpt_plugin.inference.pipeline import Answered, Failed, answer_studies

# A thread that stands still would keep the tests for ever.
_PATIENCE_SECONDS = 20.0


class Content:
    """What is read of a study; counted while it lives."""

    alive = 0
    most = 0

    def __init__(self, study: int) -> None:
        self.study = study
        Content.alive += 1
        Content.most = max(Content.most, Content.alive)
        weakref.finalize(self, Content._gone)

    @classmethod
    def _gone(cls) -> None:
        cls.alive -= 1


def read(study: int, stopped: Callable[[], bool]) -> Content:
    return Content(study)


def doubled(content: Content, stopped: Callable[[], bool]) -> int:
    return 2 * content.study


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("vptct-")}


@dataclass
class Meeting:
    """Two events: here somebody came, and may go on."""

    came: threading.Event
    may_go: threading.Event

    @classmethod
    def new(cls) -> Meeting:
        return cls(threading.Event(), threading.Event())

    def stay(self) -> None:
        self.came.set()
        assert self.may_go.wait(_PATIENCE_SECONDS)

    def wait(self) -> None:
        assert self.came.wait(_PATIENCE_SECONDS)


@given(
    st.lists(st.sampled_from(["good", "unreadable", "unanswerable"]), max_size=12), st.integers(1, 4)
)  # fmt: skip
def test_every_study_has_one_outcome_in_its_order_and_no_more_than_agreed_are_in_memory(
    kinds: list[str], ahead: int
) -> None:
    Content.most = Content.alive

    def read_some(study: int, stopped: Callable[[], bool]) -> Content:
        if kinds[study] == "unreadable":
            raise UnreadableStudyError(str(study), "it is damaged.")
        return Content(study)

    def answer_some(content: Content, stopped: Callable[[], bool]) -> int:
        if kinds[content.study] == "unanswerable":
            raise MemoryError
        return 2 * content.study

    told = []
    for outcome in answer_studies(range(len(kinds)), read_some, answer_some, ahead=ahead):
        if isinstance(outcome, Answered):
            told.append((outcome.study, "good", outcome.answer))
        else:
            assert isinstance(outcome.error, (MemoryError, UnreadableStudyError))
            kind = "unanswerable" if isinstance(outcome.error, MemoryError) else "unreadable"
            told.append((outcome.study, kind, 2 * outcome.study))
        del outcome
    assert told == [(study, kind, 2 * study) for study, kind in enumerate(kinds)]
    assert Content.most <= ahead + 1
    assert Content.alive == 0
    assert not threads()


def test_the_next_is_read_while_the_network_looks_and_both_go_on_while_the_caller_writes() -> None:
    at_network = {study: Meeting.new() for study in range(4)}
    was_read = {study: threading.Event() for study in range(4)}

    def note(study: int, stopped: Callable[[], bool]) -> int:
        was_read[study].set()
        return study

    def wait_for_the_test(study: int, stopped: Callable[[], bool]) -> int:
        at_network[study].stay()
        return study

    outcomes = answer_studies(range(4), note, wait_for_the_test, ahead=1)
    at_network[0].may_go.set()
    assert next(outcomes) == Answered(0, 0)
    # The caller has the first answer and takes its time: the second study is in the network, the third read.
    at_network[1].wait()
    assert was_read[2].wait(_PATIENCE_SECONDS)
    # No further than agreed.
    assert not was_read[3].is_set()
    for each in at_network.values():
        each.may_go.set()
    assert list(outcomes) == [Answered(study, study) for study in (1, 2, 3)]


def test_who_stops_early_leaves_no_thread_and_no_study_behind() -> None:
    begun = []

    def note(study: int, stopped: Callable[[], bool]) -> Content:
        begun.append(study)
        return Content(study)

    outcomes = answer_studies(range(100), note, doubled)
    assert next(outcomes) == Answered(0, 0)
    outcomes.close()
    assert not threads()
    assert Content.alive == 0
    assert len(begun) <= 4


def test_closing_tells_the_study_that_is_being_answered() -> None:
    asked = Meeting.new()

    def answer_until_stopped(content: Content, stopped: Callable[[], bool]) -> int:
        asked.came.set()
        while content.study and not stopped():
            asked.may_go.wait(0.01)
        return content.study

    outcomes = answer_studies(range(3), read, answer_until_stopped)
    assert next(outcomes) == Answered(0, 0)
    asked.wait()
    outcomes.close()
    assert not threads()


def test_cancelling_ends_all_with_an_error_and_the_network_sees_no_other_study() -> None:
    seen = []

    def note(content: Content, stopped: Callable[[], bool]) -> int:
        seen.append(content.study)
        return content.study

    outcomes = answer_studies(range(9), read, note, ahead=1, cancelled=lambda: 1 in seen)
    with pytest.raises(CancelledError):
        list(outcomes)
    assert seen == [0, 1]
    assert not threads()


def test_a_study_that_says_it_was_cancelled_ends_all() -> None:
    def cancel(content: Content, stopped: Callable[[], bool]) -> int:
        raise CancelledError

    with pytest.raises(CancelledError):
        list(answer_studies(range(3), read, cancel))
    assert not threads()


def test_ctrl_c_in_the_caller_ends_the_threads() -> None:
    def write(outcome: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(map(write, answer_studies(range(9), read, doubled)))
    assert not threads()


def test_an_error_that_is_kept_does_not_keep_its_study() -> None:
    def fail(content: Content, stopped: Callable[[], bool]) -> int:
        raise ValueError(f"nothing is seen in {content.study}")

    kept = [each.error for each in answer_studies(range(5), read, fail) if isinstance(each, Failed)]
    assert [str(error) for error in kept] == [f"nothing is seen in {study}" for study in range(5)]
    assert Content.alive == 0


def test_nothing_is_read_before_the_first_outcome_is_asked_for() -> None:
    answer_studies(range(3), read, doubled)
    assert not threads()


def test_at_least_one_study_is_read_ahead() -> None:
    with pytest.raises(ConfigurationError, match="at least one study must be read ahead, not 0"):
        next(answer_studies(range(3), read, doubled, ahead=0))
