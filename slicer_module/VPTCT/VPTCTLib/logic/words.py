"""Words for what a reader reads in several places: times, durations, pretraining, findings."""

from __future__ import annotations

import time
from calendar import timegm

from ..finding_words import finding_in_words as finding_in_words
from ..i18n import tr as _


def duration(seconds: float) -> str:
    """How long something takes, as exactly as anybody wants to know."""
    if seconds < 90:
        return _("{n} s").format(n=max(1, round(seconds)))
    if seconds < 90 * 60:
        return _("{n} min").format(n=round(seconds / 60))
    return _("{n:.1f} h").format(n=seconds / 3600)


def when_in_words(utc: str | None) -> str:
    """``2026-11-20T20:31:05Z`` in this computer's time zone, to the minute; "n/a" for None."""
    if utc is None:
        return _("n/a")
    try:
        # With or without a fraction of a second.
        seconds = timegm(time.strptime(utc[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return utc
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def time_in_words(utc: str, now_seconds: float | None = None) -> str:
    """``2026-11-21T14:18:16Z`` as the time of day here, and with its date where that is not today.

    Args:
        utc: the moment.
        now_seconds: since 1970; None for now.
    """
    words, today = when_in_words(utc), time.strftime("%Y-%m-%d ", time.localtime(now_seconds))
    return words[len(today) :] if words.startswith(today) else words


def pretraining_in_words(name: str) -> str:
    """Where a network's weights began."""
    known = {
        "auto": _("best that is there"),
        "kinetics": _("videos (Kinetics)"),
        "ct": _("chest CT"),
        "kinetics+ct": _("videos, then chest CT"),
        "imagenet": _("photographs (ImageNet)"),
        "imagenet+ct": _("photographs, then chest CT"),
        "none": _("none"),
    }
    return known.get(name, name)
