"""score_pool: the scores of all studies by one version, once; what was stopped goes on where it stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any, TypeVar

from vpt_plugin.active.in_hand import InHand
from vpt_plugin.active.job import DEFAULT_LIMIT, ScoringProgress
from vpt_plugin.active.pool_reader import PoolReader
from vpt_plugin.active.scorer import Scorer
from vpt_plugin.active.scores import FailedStudy, KnownStudy, ScoreFolder, StudyScore
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
_IN_HAND = "in-hand.json"
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
        sleep: waits for some seconds.
        patience_seconds: how long an archive, or a share, that is away is waited for.
    """

    progress: Callable[[ScoringProgress], None] = lambda now: None
    cancelled: Callable[[], bool] = lambda: False
    paused: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    patience_seconds: float = 600.0


@dataclass(frozen=True)
class ScoringResult:
    """How a scoring ended.

    Attributes:
        key: of the scores.
        scored: studies scored now.
        kept: studies whose earlier scores still hold, or that were found unreadable before.
        unreadable: studies that give nothing, of now and before.
        total: studies in all.
        seconds: it took, without pauses and waiting.
        warnings: what a person should know of these scores.
    """

    key: str
    scored: int
    kept: int
    unreadable: int
    total: int
    seconds: float
    warnings: tuple[str, ...] = ()


def studies_to_score(
    studies: Iterable[str], labelled: Collection[str], *, limit: int = DEFAULT_LIMIT, seed: int = 0
) -> list[str]:
    """Which studies are scored, in which order: unlabelled ones first, for they are waited for.

    The order is that of a hash: where a limit cuts it, or a scoring is looked at half way, what is scored is
    a random sample. A label changes nothing of the sample, and a study that comes later pushes few others
    out.

    Args:
        studies: ids of all studies.
        labelled: those with a label of the task.
        limit: the size of the sample; labelled studies outside it are scored, too, at most as many.
        seed: of the order.
    """
    ordered = sorted(studies, key=lambda each: hashlib.sha256(f"{seed}\n{each}".encode()).digest())
    unlabelled = [each for each in ordered[:limit] if each not in labelled]
    return [*unlabelled, *[each for each in ordered if each in labelled][:limit]]


def score_pool(
    reader: PoolReader,
    scorer: Scorer,
    folder: ScoreFolder,
    *,
    labelled: Collection[str],
    limit: int = DEFAULT_LIMIT,
    watch: Watch | None = None,
) -> ScoringResult:
    """Score the studies of a source; those whose scores still hold are not read again.

    A study that cannot be read is noted and stops nothing. Of all that is computed no more than one shard is
    in memory.

    Args:
        reader: of the studies.
        scorer: computes.
        folder: of the scorer's scores.
        labelled: the studies with a label of the task.
        limit: as of ``studies_to_score``.
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
    return _Scoring(reader, scorer, folder, watch or Watch()).run(labelled, limit)


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

    def run(self, labelled: Collection[str], limit: int) -> ScoringResult:
        self._tell(state="loading")
        with self._folder.scoring():
            self._in_hand = InHand(self._folder.path / _IN_HAND)
            everything = self._patiently(self._reader.studies.ids)
            studies = studies_to_score(everything, labelled, limit=limit)
            warnings = (*self._scorer.warnings, *_of_limit(len(studies), len(everything)))
            self._begin(studies, warnings)
            try:
                for done, study in enumerate(studies, start=1):
                    note = self._one(study)
                    self._keep(at_least=_STUDIES_OF_A_SHARD, after_seconds=_SECONDS_OF_A_SHARD)
                    self._tell(state="scoring", done=done, note=note)
            finally:
                self._in_hand.put_down()
                self._keep()
            self._folder.end()
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

    def _begin(self, studies: Sequence[str], warnings: tuple[str, ...]) -> None:
        self._known = self._folder.known()
        self._folder.begin(len(studies), warnings)
        self._to_compute = sum(study not in self._known for study in studies)
        self._began_at, self._waited_seconds = self._watch.clock(), 0.0
        self._tell(state="scoring", total=len(studies))

    def _one(self, study: str) -> str:
        """Score a study, unless that was done before; what is to be told of it."""
        if self._stopped():
            raise CancelledError
        identity = ""
        try:
            identity = self._patiently(lambda: self._identity(study))
            known = self._known.get(study)
            if known is not None and known.identity == identity:
                self._now = replace(self._now, unreadable=self._now.unreadable + known.unreadable)
                return ""
            if self._in_hand.ends_the_process(study):
                return self._fail(FailedStudy(study, identity, _ENDS_THE_PROCESS))
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
            return self._fail(FailedStudy(study, identity, why, again=passing))
        except MemoryError:
            return self._fail(FailedStudy(study, identity, _NOT_ENOUGH_MEMORY, again=True))
        return ""

    def _identity(self, study: str) -> str:
        try:
            return self._reader.identity(study)
        except OSError as error:
            raise UnreadableStudyError(study, f"cannot be read: {error}.") from error

    def _fail(self, failed: FailedStudy) -> str:
        self._failed.append(failed)
        self._computed += 1
        self._failures += 1
        self._now = replace(self._now, unreadable=self._now.unreadable + 1)
        return f"{failed.study} is left out: {failed.why}"

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
        self._tell(state="waiting", note=note)
        until = self._watch.clock() + seconds
        while (left := until - self._watch.clock()) > 0:
            if self._stopped():
                raise CancelledError
            self._watch.sleep(min(left, _LONGEST_SLEEP_SECONDS))
        self._waited_seconds += seconds
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


def _of_limit(scored: int, there: int) -> tuple[str, ...]:
    if scored == there:
        return ()
    return (f"{scored} of {there} studies are scored, drawn at random; a higher limit takes more.",)
