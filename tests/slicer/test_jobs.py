"""Long work runs in threads, and its results come in the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hand_ticker import HandTicker
from standin.slot_errors import no_swallowed_errors
from VPTCTLib.errors import CancelledError, UnexpectedError, UnreachableError
from VPTCTLib.jobs import Jobs, Work


class Told(list[object]):
    """What callbacks were called with, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[threading.Thread] = set()

    def __call__(self, *values: object) -> None:
        self.threads.add(threading.current_thread())
        self.append(values[0] if len(values) == 1 else values)


@pytest.fixture
def ticker() -> HandTicker:
    return HandTicker()


@pytest.fixture
def jobs(ticker: HandTicker) -> Jobs:
    return Jobs(ticker)


def never(value: object) -> None:
    raise AssertionError(f"called with {value!r}")


def test_a_call_runs_in_another_thread_and_its_result_comes_in_this_one(
    jobs: Jobs, ticker: HandTicker
) -> None:
    told = Told()
    jobs.start(lambda work: threading.current_thread(), told, never)
    ticker.until(lambda: told)
    assert told[0] is not threading.current_thread()
    assert told.threads == {threading.current_thread()}


def test_known_errors_come_as_they_are_and_faults_of_ours_as_unexpected_ones(
    jobs: Jobs, ticker: HandTicker, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    def raising(error: Exception) -> Callable[[Work], None]:
        def call(work: Work) -> None:
            raise error

        return call

    away = UnreachableError("away.")
    jobs.start(raising(away), never, told)
    jobs.start(raising(KeyError("x")), never, told)
    ticker.until(lambda: len(told) == 2)
    assert away in told
    (fault,) = (each for each in told if each is not away)
    assert isinstance(fault, UnexpectedError)
    assert "KeyError" in str(fault)
    assert "a job of VPTCT failed" in caplog.text


def test_a_cancelled_job_ends_with_that_and_a_dropped_one_with_nothing(
    jobs: Jobs, ticker: HandTicker
) -> None:
    told = Told()
    cancelled = jobs.start(lambda work: work.cancel.wait(60), never, told)
    dropped = jobs.start(lambda work: work.cancel.wait(60), never, never)
    assert jobs.running == 2
    cancelled.cancel()
    dropped.drop()
    ticker.until(lambda: not jobs.running)
    assert [type(each) for each in told] == [CancelledError]
    assert not cancelled.running


def test_progress_is_told_in_this_thread_and_what_was_told_last_before_the_end(
    jobs: Jobs, ticker: HandTicker
) -> None:
    progress, ended = Told(), Told()
    told_at_the_end: list[object] = []

    def call(work: Work) -> str:
        for step in range(1, 1001):
            work.progress(step, 1000)
        return "all"

    def done(value: str) -> None:
        told_at_the_end.extend(progress)
        ended(value)

    jobs.start(call, done, never, progress=progress)
    ticker.until(lambda: ended)
    assert told_at_the_end[-1] == (1000, 1000)
    assert progress.threads == {threading.current_thread()}
    assert len(progress) < 100


def test_a_timer_runs_only_while_jobs_do(jobs: Jobs, ticker: HandTicker) -> None:
    assert ticker.timers == []
    told = Told()
    jobs.start(lambda work: 1, told, never)
    assert len(ticker.timers) == 1
    ticker.until(lambda: told)
    assert all(timer.stopped for timer in ticker.timers)
    jobs.start(lambda work: 2, told, never)
    ticker.until(lambda: len(told) == 2)


def test_after_the_end_nothing_comes_and_nothing_starts(jobs: Jobs, ticker: HandTicker) -> None:
    gate = threading.Event()
    jobs.start(lambda work: gate.wait(10), never, never)
    jobs.close()
    gate.set()
    ticker.turn(1.0)
    with pytest.raises(RuntimeError):
        jobs.start(lambda work: 1, never, never)


def test_the_end_waits_for_what_must_be_finished_but_not_for_ever(jobs: Jobs) -> None:
    written, gate = Told(), threading.Event()

    def write(work: Work) -> None:
        time.sleep(0.2)
        written("a label")

    jobs.start(write, never, never, finishes=True)
    jobs.start(lambda work: gate.wait(10), never, never)
    start = time.monotonic()
    jobs.close()
    assert written == ["a label"]
    assert time.monotonic() - start < 1.5, "what need not be finished is not waited for"
    jobs = Jobs(HandTicker())
    for _ in range(2):
        jobs.start(lambda work: gate.wait(10), never, never, finishes=True)
    start = time.monotonic()
    jobs.close()
    assert 1.9 < time.monotonic() - start < 3.5
    gate.set()


def test_a_callback_that_raises_is_logged_and_keeps_no_other_result_from_coming(
    jobs: Jobs, ticker: HandTicker
) -> None:
    told, progress = Told(), Told()

    def wrong(*values: object) -> None:
        raise ZeroDivisionError

    def half(work: Work) -> None:
        work.progress(1, 2)

    before = set(threading.enumerate())
    jobs.start(lambda work: 1, wrong, never)
    jobs.start(lambda work: 2, told, never)
    jobs.start(half, told, never, progress=wrong)
    jobs.start(half, told, never, progress=progress)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    with no_swallowed_errors() as errors:
        jobs.poll()
        assert [type(each) for each in errors] == [ZeroDivisionError] * 2
        errors.clear()
    assert (sorted(map(str, told)), list(progress)) == (["2", "None"], [(1, 2)])
