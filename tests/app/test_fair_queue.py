"""First come, first served; nobody is let in twice or forgotten."""

from __future__ import annotations

import threading
import time

import pytest
from lib.device_queue import FairQueue
from lib.errors import BusyError

from vpt_plugin.errors import CancelledError


def wait_until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def queue_up(queue: FairQueue, names: list[int], order: list[int]) -> list[threading.Thread]:
    """Threads that come one after the other and note the order in which their turns came."""

    def work(name: int) -> None:
        with queue.turn():
            order.append(name)

    threads = []
    for name in names:
        before = queue.waiting
        thread = threading.Thread(target=work, args=(name,))
        thread.start()
        threads.append(thread)
        wait_until(lambda before=before: queue.waiting == before + 1)
    return threads


def test_turns_come_in_the_order_of_arrival() -> None:
    queue, order = FairQueue(), []
    with queue.turn():
        threads = queue_up(queue, list(range(12)), order)
    for thread in threads:
        thread.join()
    assert order == list(range(12))


def test_who_comes_late_does_not_slip_in_before_those_who_wait() -> None:
    queue, order = FairQueue(), []
    with queue.turn():
        threads = queue_up(queue, [1, 2], order)
    # This thread is back at once, while the others have yet to wake up.
    with queue.turn():
        order.append(3)
    for thread in threads:
        thread.join()
    assert order == [1, 2, 3]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_never_more_than_the_width_are_in(width: int) -> None:
    queue, inside, most = FairQueue(width), [], []

    def work(name: int) -> None:
        with queue.turn():
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 20
    assert max(most) <= width


def test_a_turn_that_fails_is_passed_on() -> None:
    queue = FairQueue()
    with pytest.raises(ZeroDivisionError), queue.turn():
        _ = 1 / 0
    with queue.turn():
        assert queue.waiting == 0


def test_who_gives_up_while_waiting_leaves_the_others_their_place() -> None:
    queue, order, gave_up = FairQueue(), [], threading.Event()

    def give_up() -> None:
        try:
            with queue.turn(cancelled=gave_up.is_set):
                order.append(0)
        except CancelledError:
            order.append(-1)

    with queue.turn():
        impatient = threading.Thread(target=give_up)
        impatient.start()
        wait_until(lambda: queue.waiting == 1)
        threads = queue_up(queue, [1, 2], order)
        gave_up.set()
        impatient.join(5)
        assert order == [-1]
    for thread in threads:
        thread.join()
    assert order == [-1, 1, 2]


def test_who_cannot_be_asked_whether_they_still_wait_leaves_the_others_their_place() -> None:
    queue, order = FairQueue(), []

    def broken() -> bool:
        raise ConnectionError

    with queue.turn():
        with pytest.raises(ConnectionError), queue.turn(cancelled=broken):
            order.append(0)
        assert queue.waiting == 0
        threads = queue_up(queue, [1, 2], order)
    for thread in threads:
        thread.join(5)
    assert order == [1, 2]


def test_too_many_waiting_are_told_so_at_once() -> None:
    queue, order = FairQueue(max_waiting=2), []
    with queue.turn():
        threads = queue_up(queue, [1, 2], order)
        with pytest.raises(BusyError, match="2 studies wait already"), queue.turn():
            order.append(3)
    for thread in threads:
        thread.join()
    assert order == [1, 2]


def test_it_says_when_the_first_comes_and_when_the_last_has_gone_and_nothing_in_between() -> None:
    said: list[bool] = []
    queue = FairQueue(2, busy=said.append)
    with queue.turn():
        assert said == [True]
        with queue.turn():
            (third,) = queue_up(queue, [3], [])
        # The third has the second's place.
        third.join()
        assert said == [True]
    assert said == [True, False]
    with queue.turn():
        assert said == [True, False, True]


def test_one_who_gives_up_waiting_leaves_it_as_busy_as_before() -> None:
    said: list[bool] = []
    queue = FairQueue(busy=said.append)
    with queue.turn(), pytest.raises(CancelledError), queue.turn(cancelled=lambda: True):
        pytest.fail("the place is taken")
    assert said == [True, False]
