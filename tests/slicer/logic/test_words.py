"""Words that several parts of the panel show."""

from __future__ import annotations

from calendar import timegm
from time import strptime

from VPTCTLib.logic.held import Held
from VPTCTLib.logic.proposal_words import held_in_words, kept_in_words
from VPTCTLib.logic.words import time_in_words, when_in_words


def test_a_time_is_told_without_its_date_on_that_day_alone() -> None:
    utc = "2026-11-20T23:50:00Z"
    then, day_seconds = timegm(strptime(utc, "%Y-%m-%dT%H:%M:%SZ")), 24 * 3600
    date, clock = when_in_words(utc).split(" ")
    assert (len(date), len(clock)) == (10, 5)
    assert time_in_words(utc, then) == clock
    assert (
        time_in_words(utc, then - day_seconds) == time_in_words(utc, then + day_seconds) == f"{date} {clock}"
    )
    assert time_in_words("soon", then) == "soon"


def test_a_study_that_is_kept_until_another_day_is_told_with_that_day() -> None:
    held = Held("p17", "pe", "second", "2099-03-02T12:00:00Z")
    assert "until 2099-03-0" in kept_in_words(held)
    assert ", until 2099-03-0" in held_in_words(held, ())
