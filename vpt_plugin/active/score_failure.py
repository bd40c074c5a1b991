"""When a study that gave no scores is tried again."""

from __future__ import annotations

from vpt_plugin.active.scores import FailedStudy, KnownStudy

# A reason that may pass is worth a scoring of its own after so long, each time after twice as long: of a
# series that never becomes whole some seven on the first day, then two a day.
SOON_SECONDS, _LATEST_SECONDS = 600.0, 12 * 3600.0
# What ends the process costs everybody a process each time.
TOMORROW_SECONDS = 24 * 3600.0


def failure(
    study: str, identity: str, why: str, *, before: KnownStudy | None, again_after: float | None, now: float
) -> FailedStudy:
    """The note of a study that gave nothing.

    Args:
        study, identity, why: as of ``FailedStudy``.
        before: what was known of it.
        again_after: seconds to the next try, where it is the first in a row that failed; None where only
            another file may help.
        now: seconds since 1970.
    """
    if again_after is None:
        return FailedStudy(study, identity, why)
    tries = 1 + (before.tries if before is not None and before.identity == identity else 0)
    wait_seconds = max(again_after, min(again_after * 2 ** (tries - 1), _LATEST_SECONDS))
    return FailedStudy(study, identity, why, again=True, again_at=now + wait_seconds, tries=tries)
