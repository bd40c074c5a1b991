"""How the scoring of one version goes: it is begun again after a while, and given up when it gets nowhere."""

from __future__ import annotations

from lib.scoring.account import DELAYS_SECONDS, DONE, FAILED, HOPE_SECONDS, QUEUED, RUNNING, Account
from lib.scoring.targets import Coverage, Target
from lib.scoring.told import scoring_info

TARGET = Target("nodule", "tiny", 3)


def progress(done: int, state: str = "scoring") -> dict[str, object]:
    return {"state": state, "done": done, "total": 400, "unreadable": 2, "seconds_left": 12.5, "note": ""}


def told(account: Account) -> dict[str, object]:
    return scoring_info(account, on=True, plain=lambda text: text)


def test_a_scoring_that_gets_nowhere_is_begun_four_times_and_then_given_up() -> None:
    account, now = Account(TARGET), 100.0
    for delay in DELAYS_SECONDS:
        account = account.began("t").heard(progress(0)).broke_off("t", "it crashed.", "", now=now)
        assert (account.state, account.not_before) == (QUEUED, now + delay)
        now += delay
    account = account.began("t").heard(progress(0)).broke_off("t", "it crashed.", "Look there.", now=now)
    assert (account.state, account.starts) == (FAILED, 4)
    assert told(account)["problem"] == (
        "it crashed. Look there. It was begun 4 times, and is tried once an hour from now on. "
        "POST /activelearning/scoring/nodule_tiny begins it again at once, where it was."
    )


def test_one_that_came_further_than_ever_has_all_its_tries_again() -> None:
    account = Account(TARGET)
    for done in (0, 0, 0, 32):
        account = account.began("t").heard(progress(done)).broke_off("t", "killed.", "", now=0)
    assert (account.state, account.vain) == (QUEUED, 1)
    # As far as before is not further.
    account = account.began("t").heard(progress(0, "loading")).heard(progress(32))
    assert account.broke_off("t", "killed.", "", now=0).vain == 2


def test_the_problem_is_told_until_it_comes_further() -> None:
    account = Account(TARGET).began("t").heard(progress(5)).broke_off("t", "killed.", "", now=0)
    assert told(account)["problem"] == "killed."
    account = account.began("t")
    assert (told(account)["problem"], told(account)["state"]) == ("killed.", "loading")
    assert told(account)["running"]["done"] == 5
    assert told(account.heard(progress(6)))["problem"] is None


def test_waiting_for_studies_that_are_away_is_no_failure() -> None:
    account = Account(TARGET)
    for _ in range(10):
        account = account.began("t").waits(60.0, "the share is away.")
    assert (account.state, account.vain, account.not_before) == (QUEUED, 0, 60.0)
    assert told(account)["problem"] == "the share is away."


def test_what_a_scoring_left_over_begins_no_other_but_one_more_does() -> None:
    account = Account(TARGET).covered(Coverage(complete=True, done=398, total=400, unreadable=1), 0)
    assert account.state == DONE
    assert not account.lacks(Coverage(complete=True, done=398, total=400, unreadable=1))
    assert account.lacks(Coverage(complete=True, done=398, total=401, unreadable=1))
    assert account.lacks(Coverage(complete=False, done=398, total=400, unreadable=1))


def test_an_order_begins_it_even_where_nothing_is_missing() -> None:
    nothing_missing = Coverage(complete=True, done=4, total=4, unreadable=0)
    account = Account(TARGET, state=FAILED, starts=4, vain=3, problem="killed.").anew()
    assert (account.state, account.vain, account.problem) == (QUEUED, 0, "")
    assert account.lacks(nothing_missing)
    assert not account.began("t").lacks(nothing_missing)


def test_clients_are_told_how_far_it_is() -> None:
    account = Account(TARGET).began("t")
    assert (told(account)["state"], told(account)["running"]["total"]) == ("loading", None)
    account = account.heard(progress(7, "paused"))
    assert account.state == RUNNING
    assert told(account) == {
        "offered": True, "state": "paused", "starts": 1, "problem": None,
        "running": {
            "name": "nodule_tiny", "version": 3, "state": "paused", "done": 7, "total": 400, "unreadable": 2,
            "seconds_left": 12.5,
        },
    }  # fmt: skip
    off = scoring_info(None, on=False, plain=str)
    assert (off["offered"], off["state"], off["running"]) == (False, "off", None)


def test_one_that_was_given_up_goes_on_when_another_program_came_further() -> None:
    given_up = Account(TARGET, state=FAILED, starts=4, vain=3, furthest=32, problem="killed.")
    as_far = given_up.looked(700.0, Coverage(complete=False, done=32, total=400, unreadable=0))
    assert (as_far.state, as_far.looked_at) == (FAILED, 700.0)
    assert given_up.looked(700.0, None).state == FAILED
    further = given_up.looked(700.0, Coverage(complete=False, done=64, total=400, unreadable=0))
    assert (further.state, further.vain, further.problem) == (QUEUED, 0, "")


def test_one_that_was_given_up_has_all_its_tries_again_when_studies_come_and_one_more_every_hour() -> None:
    coverage = Coverage(complete=False, done=32, total=400, unreadable=0)
    account = Account(TARGET, vain=3, furthest=32).seen(coverage).began("t")
    given_up = account.broke_off("t", "the disk is full.", "", now=100.0)
    assert given_up.state == FAILED
    assert given_up.looked(3000.0, coverage).state == FAILED
    come = given_up.looked(3000.0, Coverage(complete=False, done=32, total=401, unreadable=0))
    assert (come.state, come.vain) == (QUEUED, 0)
    once_more = given_up.looked(100.0 + HOPE_SECONDS, coverage)
    assert (once_more.state, once_more.problem) == (QUEUED, "the disk is full.")
    again = once_more.began("t").broke_off("t", "the disk is full.", "", now=4000.0)
    assert (again.state, again.starts) == (FAILED, 2)
    assert again.looked(7000.0, coverage).state == FAILED
