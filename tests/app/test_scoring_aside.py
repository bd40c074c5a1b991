"""The process that scores is told to pause while anybody waits for an answer, and no oftener than needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from lib.device_queue import FairQueue
from lib.scoring.aside import Aside
from stand_in import wait_until


class Heard:
    """Takes down what it is told, and when it is told takes as long as it is made to."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def tell(self, word: str) -> None:
        self.free.wait(10)
        self.words.append(word)


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside(quiet_seconds=0.2)
    yield made
    made.close()


def test_it_pauses_for_an_answer_and_goes_on_after_a_quiet_while(aside: Aside) -> None:
    heard, queue = Heard(), FairQueue(2, busy=aside.busy)
    aside.tell(heard)
    with queue.turn():
        wait_until(lambda: heard.words == ["pause"])
    wait_until(lambda: heard.words == ["pause", "resume"])


def test_answers_one_after_the_other_are_one_pause(aside: Aside) -> None:
    heard, queue = Heard(), FairQueue(2, busy=aside.busy)
    aside.tell(heard)
    for _ in range(50):
        with queue.turn():
            pass
    wait_until(lambda: heard.words == ["pause", "resume"])


def test_a_process_that_begins_while_somebody_waits_pauses_at_once(aside: Aside) -> None:
    heard, queue = Heard(), FairQueue(2, busy=aside.busy)
    with queue.turn():
        aside.tell(heard)
        wait_until(lambda: heard.words == ["pause"])


def test_a_process_that_does_not_listen_holds_up_nobody_who_asks(aside: Aside) -> None:
    heard, queue = Heard(), FairQueue(2, busy=aside.busy)
    heard.free.clear()
    aside.tell(heard)
    passed = threading.Event()

    def ask() -> None:
        for _ in range(3):
            with queue.turn():
                pass
        passed.set()

    threading.Thread(target=ask, daemon=True).start()
    assert passed.wait(5)
    heard.free.set()
    wait_until(lambda: heard.words == ["pause", "resume"])


def test_one_that_has_ended_is_told_nothing(aside: Aside) -> None:
    first, second, queue = Heard(), Heard(), FairQueue(2, busy=aside.busy)
    aside.tell(first)
    aside.tell(None)
    with queue.turn():
        aside.tell(second)
        wait_until(lambda: second.words == ["pause"])
    assert first.words == []
