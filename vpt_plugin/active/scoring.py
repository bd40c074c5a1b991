"""score_pool: the scores of all studies by one version, once; what was stopped goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any, TypeVar

from vpt_plugin.active.in_hand import InHand
from vpt_plugin.active.job import DEFAULT_LIMIT, ScoringProgress, ScoringResult
from vpt_plugin.active.pool_reader import PoolReader
from vpt_plugin.active.score_failure import SOON_SECONDS, TOMORROW_SECONDS, failure
from vpt_plugin.active.score_sample import studies_to_score, told_of_sample
from vpt_plugin.active.scorer import Scorer
from vpt_plugin.active.scores import IN_HAND, FailedStudy, KnownStudy, ScoreFolder, StudyScore
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    CancelledError,
    IncompleteSeriesError,
    StudyError,
    StudyNotFoundError,
    UnreadableStudyError,
)
from vpt_plugin.store.archive.failures import LoginRefusedError

# What a killed process computed and had not written yet is computed again: at most so much.
_STUDIES_OF_A_SHARD = 32
_SECONDS_OF_A_SHARD = 20.0
_WAITS_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
_LONGEST_SLEEP_SECONDS, _PAUSED_SLEEP_SECONDS = 0.5, 0.05
Answer = TypeVar("Answer")
_ENDS_THE_PROCESS = "each time it was read, the process that scores crashed or was killed"
_NOT_ENOUGH_MEMORY = "there was not enough memory for it"


@dataclass(frozen=True)
class Watch:
    """What a scoring looks at and what it tells.

    Attributes:
        progress: called after every study, and whenever the state changes.
        cancelled: asked all the time, whether to stop.
        paused: asked all the time, whether to wait with everything.
        clock: seconds that only grow.
        now: seconds since 1970.
        sleep: waits for some seconds.
        patience_seconds: how long an archive, or a share, that is away is waited for.
    """

    progress: Callable[[ScoringProgress], None] = lambda now: None
    cancelled: Callable[[], bool] = lambda: False
    paused: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    patience_seconds: float = 600.0


def score_pool(
    reader: PoolReader,
    scorer: Scorer,
    folder: ScoreFolder,
    *,
    labelled: Collection[str],
    limit: int = DEFAULT_LIMIT,
    compare_seconds: float = 0.0,
    watch: Watch | None = None,
) -> ScoringResult:
    """Score the studies of a source; those whose scores still hold are not read again.

    First come those that were never scored. A study that cannot be read is noted and stops nothing. Of all
    that is computed no more than one shard is in memory.

    Args:
        reader: of the studies.
        scorer: computes.
        folder: of the scorer's scores.
        labelled: the studies with a label of the task.
        limit: as of ``studies_to_score``.
        compare_seconds: whether the studies that have scores are still what they were is looked at only if
            that was done longer ago than this; of a folder on a share it asks for each of millions of files.
        watch: tells, and may pause or cancel.

    Raises:
        CancelledError: the watch said so; what was computed is kept.
        ArchiveUnreachableError: the archive, or the share, stayed away for longer than the patience, or
            refuses the login; what was computed is kept.
        ArchiveError: what is fetched of an archive cannot be written.
        WeightsError, DeviceMemoryError: the network cannot compute.
        ConfigurationError: another process computes the same scores.
        OSError: the disk is full, the folder is not writable.
    """
    return _Scoring(reader, scorer, folder, watch or Watch()).run(labelled, limit, compare_seconds)


class _Scoring:
    """One run of ``score_pool``."""

    def __init__(self, reader: PoolReader, scorer: Scorer, folder: ScoreFolder, watch: Watch) -> None:
        self._reader = reader
        self._scorer = scorer
        self._folder = folder
        self._watch = watch
        self._scored: list[StudyScore] = []
        self._failed: list[FailedStudy] = []
        self._known: dict[str, KnownStudy] = {}
        self._now = ScoringProgress("loading")
        self._began_at = self._written_at = watch.clock()
        self._waited_seconds = 0.0
        # Of those that had to be computed, how many are done, how many there were to do, and how many failed.
        self._computed = self._to_compute = self._failures = 0

    def run(self, labelled: Collection[str], limit: int, compare_seconds: float) -> ScoringResult:
        self._tell(state="loading")
        with self._folder.scoring():
            self._in_hand = InHand(self._folder.path / IN_HAND)
            everything = self._patiently(self._reader.studies.ids)
            studies = studies_to_score(everything, labelled, limit=limit)
            warnings = (*self._scorer.warnings, *told_of_sample(len(studies), len(everything)))
            began_at = self._watch.now()
            compare = began_at - self._folder.state().compared_at >= compare_seconds
            compare = compare or self._reader.identities_are_at_hand
            try:
                self._all(self._begin(studies, warnings), compare=compare)
            finally:
                self._in_hand.put_down()
                self._keep()
            self._folder.end(compared_at=began_at if compare else 0.0)
        self._tell(state="done", done=len(studies), seconds_left=0.0)
        return ScoringResult(
            key=self._folder.by.key,
            scored=self._computed - self._failures,
            kept=len(studies) - self._computed,
            unreadable=self._now.unreadable,
            total=len(studies),
            seconds=self._seconds(),
            warnings=warnings,
        )

    def _begin(self, studies: Sequence[str], warnings: tuple[str, ...]) -> Sequence[str]:
        """Look at what is there already, and say so; the studies."""
        known = self._folder.known()
        self._known = {study: known[study] for study in studies if study in known}
        self._folder.begin(len(studies), warnings)
        self._began_at, self._waited_seconds = self._watch.clock(), 0.0
        kept = [each for each in self._known.values() if not each.tries]
        self._to_compute = len(studies) - len(kept)
        unreadable = sum(each.unreadable for each in kept)
        self._tell(state="scoring", total=len(studies), done=len(kept), unreadable=unreadable)
        return studies

    def _all(self, studies: Sequence[str], *, compare: bool) -> None:
        """First what has no scores, for it is waited for; then, if wanted, what may have changed since."""
        kept = {study for study, known in self._known.items() if not known.tries}
        for study in [each for each in studies if each not in kept]:
            self._step(study, counts=1)
        for study in [each for each in studies if each in kept] if compare else ():
            self._step(study, counts=0)

    def _step(self, study: str, *, counts: int) -> None:
        note = self._one(study)
        self._keep(at_least=_STUDIES_OF_A_SHARD, after_seconds=_SECONDS_OF_A_SHARD)
        self._tell(state="scoring", done=self._now.done + counts, note=note)

    def _one(self, study: str) -> str:
        """Score a study, unless that was done before; what is to be told of it."""
        if self._stopped():
            raise CancelledError
        identity = ""
        try:
            identity = self._patiently(lambda: self._identity(study))
            if self._holds(study, identity):
                return ""
            if self._in_hand.ends_the_process(study):
                return self._fail(study, identity, _ENDS_THE_PROCESS, again_after=TOMORROW_SECONDS)
            self._in_hand.take(study)
            read = self._patiently(lambda: self._reader.read(study, identity, self._stopped))
            self._scored.append(self._scorer.score(read, self._stopped))
            self._computed += 1
        except StudyNotFoundError:
            return f"{study} is no longer there"
        except (StudyError, IncompleteSeriesError) as error:
            # What the disk refused may work the next time, and so may what an archive has not got whole.
            passing = isinstance(error, IncompleteSeriesError) or isinstance(error.__cause__, OSError)
            why = str(error).removeprefix(f"{study}: ")
            return self._fail(study, identity, why, again_after=SOON_SECONDS if passing else None)
        except MemoryError:
            return self._fail(study, identity, _NOT_ENOUGH_MEMORY, again_after=SOON_SECONDS)
        finally:
            self._in_hand.finished()
        return ""

    def _holds(self, study: str, identity: str) -> bool:
        """Whether what was found of a study before still holds; else it counts no more."""
        known = self._known.get(study)
        if known is None or known.tries:
            return False
        if known.identity == identity:
            return True
        self._to_compute += 1
        self._now = replace(self._now, unreadable=self._now.unreadable - known.unreadable)
        return False

    def _identity(self, study: str) -> str:
        try:
            return self._reader.identity(study)
        except OSError as error:
            raise UnreadableStudyError(study, f"cannot be read: {error}.") from error

    def _fail(self, study: str, identity: str, why: str, *, again_after: float | None) -> str:
        """Note that it gave nothing; ``again_after`` as of ``failure``."""
        before, now = self._known.get(study), self._watch.now()
        self._failed.append(failure(study, identity, why, before=before, again_after=again_after, now=now))
        self._computed += 1
        self._failures += 1
        self._now = replace(self._now, unreadable=self._now.unreadable + 1)
        return f"{study} is left out: {why}"

    def _keep(self, *, at_least: int = 1, after_seconds: float = 0.0) -> None:
        """Write down what was computed, where it is so much or so old."""
        number = len(self._scored) + len(self._failed)
        age_seconds = self._watch.clock() - self._written_at
        if number and number < at_least and age_seconds < after_seconds:
            return
        self._folder.add(self._scored, self._failed)
        self._scored, self._failed = [], []
        self._written_at = self._watch.clock()

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """The answer of an archive, or a share, that may be away for a while."""
        waited = 0.0
        for seconds in chain(_WAITS_SECONDS, repeat(_WAITS_SECONDS[-1])):
            try:
                return ask()
            except LoginRefusedError:
                raise  # asking again and again may lock the account
            except ArchiveUnreachableError as error:
                if waited + seconds > self._watch.patience_seconds:
                    raise type(error)(
                        f"the scoring stops where it is, after {waited / 60:.0f} minutes of waiting: "
                        f"{error.message}",
                        f"{error.hint} What is scored is kept; start the scoring again later.".lstrip(),
                    ) from error
                self._keep()
                self._wait(seconds, f"waiting: {error.message}")
                waited += seconds
        raise AssertionError("the waits have no end")

    def _wait(self, seconds: float, note: str) -> None:
        # Who ends the process now does so for no study: an archive may be away for minutes.
        self._in_hand.put_down()
        self._tell(state="waiting", note=note)
        until = self._watch.clock() + seconds
        while (left := until - self._watch.clock()) > 0:
            if self._stopped():
                raise CancelledError
            self._watch.sleep(min(left, _LONGEST_SLEEP_SECONDS))
        self._waited_seconds += seconds
        self._in_hand.take_up()
        self._tell(state="scoring")

    def _stopped(self) -> bool:
        """Whether to stop; asked all the time, also while clips are computed, so that a pause begins soon."""
        watch = self._watch
        if watch.paused() and not watch.cancelled():
            before, began = self._now.state, watch.clock()
            self._in_hand.put_down()
            self._tell(state="paused")
            while watch.paused() and not watch.cancelled():
                watch.sleep(_PAUSED_SLEEP_SECONDS)
            self._in_hand.take_up()
            self._waited_seconds += watch.clock() - began
            self._tell(state=before)
        return watch.cancelled()

    def _seconds(self) -> float:
        return self._watch.clock() - self._began_at - self._waited_seconds

    def _tell(self, **changes: Any) -> None:
        left = max(0, self._to_compute - self._computed)
        speed = self._seconds() / self._computed if self._computed else None
        changes = {"note": "", "seconds_left": None if speed is None else speed * left, **changes}
        self._now = replace(self._now, **changes)
        self._watch.progress(self._now)
