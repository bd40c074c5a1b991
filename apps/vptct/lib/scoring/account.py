"""Account: how the scoring of one target goes, over all the processes that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vpt_plugin.active.job import ScoringProgress

from .targets import Coverage, Target

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
# Of a process that has not spoken yet.
LOADING = "loading"
# After so many seconds a scoring that broke off is begun again; after the last of them it is given up.
DELAYS_SECONDS = (2.0, 15.0, 60.0)
# What was given up is tried once more after that: a disk that was full may have room by then.
HOPE_SECONDS = 3600.0
_NEVER = float("-inf")
GIVEN_UP = (
    "It was begun {starts} times, and is tried once an hour from now on. POST /activelearning/scoring/{name} "
    "begins it again at once, where it was."
)


@dataclass(frozen=True)
class Account:
    """One scoring; it changes by being replaced. Seconds are those of the desk's clock.

    Attributes:
        target: what is scored.
        state: ``queued``, ``running``, ``done`` or ``failed``.
        progress: what its process told last; None before the first word.
        starts: how many processes it took.
        started, ended: as ``2026-11-20T20:31:05Z``; "" for not yet.
        vain: how often in a row it broke off without having come further.
        furthest: the most studies that were ever done; -1 before the first word.
        not_before: seconds before which it is not begun again.
        looked_at: seconds when the studies were looked at last.
        given_up_at: seconds when it was given up; of no meaning before.
        total: studies that are to be scored, when they were looked at last; -1 for never.
        left_over: studies without scores when it was complete.
        ordered: somebody wants it begun, whatever is missing.
        problem, hint: why it broke off or waits, and the way on; "" where it does not.
        warnings: what a person should know of the scores.
    """

    target: Target
    state: str = QUEUED
    progress: ScoringProgress | None = None
    starts: int = 0
    started: str = ""
    ended: str = ""
    vain: int = 0
    furthest: int = -1
    not_before: float = _NEVER
    looked_at: float = _NEVER
    given_up_at: float = 0.0
    total: int = -1
    left_over: int = 0
    ordered: bool = False
    problem: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()

    def began(self, when: str) -> Account:
        """A process was started for it; how far the one before came is told until this one speaks."""
        progress = self.progress and replace(self.progress, state=LOADING, seconds_left=None)
        return replace(
            self, state=RUNNING, progress=progress, starts=self.starts + 1, started=when, ended="",
            ordered=False,
        )  # fmt: skip

    def heard(self, progress: Mapping[str, Any]) -> Account:
        """Its process told how far it is."""
        now = ScoringProgress.from_json(progress)
        came_further = now.done > max(self.furthest, 0)
        told = replace(self, progress=now, furthest=max(now.done, self.furthest))
        return replace(told, vain=0, problem="", hint="") if came_further else told

    def finished(self, when: str, warnings: tuple[str, ...] = ()) -> Account:
        """Its process told that it came to the end."""
        return replace(
            self,
            state=DONE,
            ended=when,
            vain=0,
            furthest=-1,
            not_before=_NEVER,
            problem="",
            hint="",
            warnings=warnings,
        )

    def broke_off(self, when: str, problem: str, hint: str, *, now: float) -> Account:
        """Its process ended without a word of the end: it is begun again after a while, or given up.

        Args:
            when: as text.
            problem: what happened.
            hint: what may help.
            now: seconds.
        """
        told = replace(self, ended=when, problem=problem, hint=hint, looked_at=now)
        if self.vain >= len(DELAYS_SECONDS):
            given_up = GIVEN_UP.format(starts=self.starts, name=self.target.name)
            return replace(told, state=FAILED, given_up_at=now, hint=f"{hint} {given_up}".strip())
        delay = DELAYS_SECONDS[self.vain]
        return replace(told, state=QUEUED, vain=self.vain + 1, not_before=now + delay)

    def waits(self, until: float, why: str = "") -> Account:
        """It cannot go on before that second; that is no failure."""
        return replace(self, state=QUEUED, not_before=until, problem=why, hint="")

    def covered(self, coverage: Coverage, now: float) -> Account:
        """Nothing has to be done: what it is to score has scores, or the scoring just left it over."""
        progress = ScoringProgress(DONE, coverage.done, coverage.total, coverage.unreadable)
        done = self.finished(self.ended, self.warnings)
        return replace(done, progress=progress, left_over=coverage.left, looked_at=now, total=coverage.total)

    def lacks(self, coverage: Coverage) -> bool:
        """Whether it is to be begun: more is without scores than the last scoring left over."""
        return self.ordered or not coverage.complete or coverage.left > self.left_over

    def seen(self, coverage: Coverage | None) -> Account:
        """The studies were looked at before it is begun."""
        return self if coverage is None else replace(self, total=coverage.total)

    def looked(self, now: float, coverage: Coverage | None) -> Account:
        """The studies were looked at after it was given up: there may be a new cause to hope.

        Whoever came further meanwhile, or new studies, and it has all its tries again. After an hour it has
        one more.
        """
        if coverage is not None:
            more = 0 <= self.total < coverage.total
            if more or coverage.done > max(self.furthest, 0):
                return replace(self.anew(), ordered=False, total=coverage.total)
        told = self.seen(coverage)
        if now - self.given_up_at >= HOPE_SECONDS:
            return replace(told, state=QUEUED, not_before=now)
        return replace(told, looked_at=now)

    def anew(self) -> Account:
        """Somebody wants it begun again, whatever was: failures are counted from the beginning."""
        return Account(self.target, starts=self.starts, ordered=True)
