"""ScoreReader: the scores that choose, found by what is served, read once and kept in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.acquisition.space import Geometry
from vpt_plugin.active.score_folders import score_folders, scores_root
from vpt_plugin.active.scores import ScoredBy, ScoreFolder, Scores
from vpt_plugin.active.served_last import served_versions
from vpt_plugin.errors import UnknownModelError

if TYPE_CHECKING:
    from vpt_plugin.models.catalog import ModelSpec
    from vpt_plugin.store.source import StudySource
    from vpt_plugin.tasks import ReadingTask
    from vpt_plugin.training.model_store import ModelStore

# What is served is looked up in a few small files; of many requests at once one does it.
_FRESH_SECONDS = 2.0
# Two networks of a task may be asked in turn, or a version and the cold start before it.
_KEPT_OF_A_TASK = 2
Number = TypeVar("Number", np.float32, np.float64)


@dataclass(frozen=True)
class StudyScores:
    """What is scored of some studies, a row per study; see ``vpt_plugin.acquisition.pool.Pool``.

    Attributes:
        studies: ids of the rows.
        rows: the row of each study.
        scored: (studies,): has scores. Where it has none, its numbers are nan.
        geometry: of the embeddings, worked out with the first pick and kept for the next ones.
        probabilities, disagreement: (studies, findings); None without a trained head.
        by: what computed them; None where nothing is scored.
        complete: the scoring came to its end.
        dates: StudyDate of the scored studies, YYYYMMDD, by study; "" where it is not known.
        unreadable: why a study could not be scored, by study.
        warnings: what a reader should know of these scores.
        awaited: where another version is served, which has not scored all studies yet: those that it has
            scored; None where these scores are of what is served.
    """

    studies: tuple[str, ...]
    rows: Mapping[str, int]
    scored: NDArray[np.bool_]
    geometry: Geometry
    probabilities: NDArray[np.float64] | None
    disagreement: NDArray[np.float64] | None
    by: ScoredBy | None
    complete: bool
    dates: Mapping[str, str]
    unreadable: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    awaited: frozenset[str] | None = None

    def probabilities_of(self, study: str) -> dict[str, float] | None:
        """What a trained head said of a study, by finding; None where none scored it."""
        if self.by is None or self.probabilities is None or not self.scored[self.rows[study]]:
            return None
        said = self.probabilities[self.rows[study]]
        return {name: float(each) for name, each in zip(self.by.findings, said, strict=True)}


@dataclass(frozen=True)
class _Found:
    """Which scores choose, and what is to be said of that."""

    folder: ScoreFolder | None
    warnings: tuple[str, ...] = ()
    awaited: frozenset[str] | None = None


@dataclass(frozen=True)
class _Kept:
    """The scores of a folder in memory, once: of the arrays there is only the table that was asked for last.

    Attributes:
        stamp: of the folder when it was read.
        scored: all studies with scores, also those that were not asked for.
        table: of the studies that were.
    """

    stamp: tuple[str, ...]
    scored: frozenset[str]
    table: StudyScores

    def for_studies(self, studies: tuple[str, ...]) -> _Kept | None:
        """With the table of these studies; None where some of them are not in memory."""
        if studies == self.table.studies:
            return self
        if not self.scored.isdisjoint(set(studies).difference(self.table.studies)):
            return None
        return replace(self, table=_of_rows(self.table, self.table.rows, studies))


class ScoreReader:
    """The scores of each task, of the version that is served; several threads may ask.

    Args:
        models: the model store; scores lie beside its versions.
        studies: whose scores; those of others with the same ids do not count.
        networks: whose versions count.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        models: ModelStore,
        studies: StudySource,
        networks: Iterable[ModelSpec],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._studies = studies
        self._networks = {spec.name: spec for spec in networks}
        self._clock = clock
        self._found: dict[tuple[str, str, bool], tuple[float, _Found]] = {}
        # By the key of the folder, what was asked for last at the end.
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def table(
        self, task: ReadingTask, model: str, studies: tuple[str, ...], *, trained: bool = False
    ) -> StudyScores:
        """What is scored of these studies; reads the scores only where they are others than the last time.

        Until the served version has scored all studies once, another one that has chooses, and a warning
        says so: a choice among all by what was known yesterday beats one among the first few.

        Args:
            task: that they are of.
            model: the network; "" takes the one that was served last.
            studies: the rows, sorted.
            trained: features without a trained head are of no use to whoever asks.

        Raises:
            UnknownModelError: no such network.
        """
        if model and model not in self._networks:
            raise UnknownModelError(model[:100], list(self._networks))
        with self._lock:
            found = self._which(task, model, trained)
            if found.folder is None:
                return replace(_nothing(studies), warnings=found.warnings)
            table = self._keep(found.folder, studies).table
        # That no head is trained, as the scoring of the cold start has it, is no longer so.
        own = () if found.awaited is not None and not found.folder.by.version else table.warnings
        return replace(table, warnings=(*found.warnings, *own), awaited=found.awaited)

    def _keep(self, folder: ScoreFolder, studies: tuple[str, ...]) -> _Kept:
        """The scores of a folder and their table, from memory where nothing has changed."""
        key, stamp = folder.by.key, folder.stamp()
        before = self._kept.pop(key, None)
        kept = before.for_studies(studies) if before is not None and before.stamp == stamp else None
        if kept is None:
            # Before the new ones are read, so that no more than they are in memory at a time.
            del before
            self._forget(folder.by.task, but=_KEPT_OF_A_TASK - 1)
            scores = folder.read()
            kept = _Kept(stamp, frozenset(scores.studies), _table(scores, studies))
        self._kept[key] = kept
        return kept

    def _forget(self, task: str, *, but: int) -> None:
        """Keep so many of a task, those asked for last."""
        keys = [key for key, kept in self._kept.items() if kept.table.by and kept.table.by.task == task]
        for key in keys[: max(0, len(keys) - but)]:
            del self._kept[key]

    def _which(self, task: ReadingTask, model: str, trained: bool) -> _Found:
        before = self._found.get((task.name, model, trained))
        if before is not None and self._clock() - before[0] < _FRESH_SECONDS:
            return before[1]
        found = self._look(task, model, trained)
        self._found[task.name, model, trained] = (self._clock(), found)
        return found

    def _look(self, task: ReadingTask, model: str, trained: bool) -> _Found:
        root = scores_root(self._models.root, self._studies)
        networks = [self._networks[model]] if model else list(self._networks.values())
        served = served_versions(self._models, task, networks)
        others = [
            each
            for each in score_folders(root)
            if each.by.task == task.name and each.by.model in {spec.name for spec in networks}
            and each.by.findings == task.findings
        ]  # fmt: skip
        if served.last is None:
            cold = [each for each in others if each.by.version == 0]
            return _Found(max(cold, key=ScoreFolder.used_at, default=None), served.problems)
        by = ScoredBy.of_card(served.last)
        # Where another way of computing scores them anew, the whole scores choose until it is done.
        own = max(
            (each for each in others if each.by.alike(by)),
            key=lambda each: (each.state().once_complete, each.used_at()),
            default=ScoreFolder(root, by),
        )
        able = [each for each in others if each.by.version or not trained]
        whole = [each for each in able if each.state().once_complete]
        if own.state().once_complete or not whole:
            return _Found(own, served.problems)
        other = max(whole, key=lambda each: (each.by.version > 0, each.used_at()))
        instead = (
            f"the scores of version {other.by.version} of {other.by.name} choose"
            if other.by.version
            else "features without a trained head choose"
        )
        told = (
            f"version {own.by.version} of {own.by.name} has not scored all studies yet; until then {instead}"
        )
        awaited = frozenset(study for study, has in own.studies().items() if has)
        return _Found(other, (*served.problems, told), awaited)


def _nothing(studies: tuple[str, ...]) -> StudyScores:
    """That nothing is scored of some studies."""
    numbered = {study: row for row, study in enumerate(studies)}
    empty = np.zeros((len(studies), 0), dtype=np.float32)
    none = np.zeros(len(studies), dtype=bool)
    return StudyScores(studies, numbered, none, Geometry(empty, empty), None, None, None, False, {}, {})


def _table(scores: Scores, studies: tuple[str, ...]) -> StudyScores:
    """What was read, as a table of these studies."""
    rows = {study: row for row, study in enumerate(scores.studies)}
    table = StudyScores(
        scores.studies,
        rows,
        np.ones(len(rows), dtype=bool),
        Geometry(scores.embeddings, scores.key_embeddings),
        scores.probabilities,
        scores.disagreement,
        scores.by,
        scores.complete,
        dict(zip(scores.studies, scores.study_dates, strict=True)),
        scores.unreadable,
        (*scores.state.warnings, *_of_damage(scores)),
    )
    return table if studies == scores.studies else _of_rows(table, rows, studies)


def _of_damage(scores: Scores) -> tuple[str, ...]:
    damaged = len(scores.damaged)
    if not damaged:
        return ()
    files = "1 file of scores is" if damaged == 1 else f"{damaged} files of scores are"
    return (f"{files} damaged; the next scoring mends that",)


def _of_rows(table: StudyScores, known: Mapping[str, int], studies: tuple[str, ...]) -> StudyScores:
    """The table with other rows; the one that it is made of need not be kept.

    Args:
        table: of whatever studies.
        known: its rows by study.
        studies: the new rows.
    """
    rows = np.array([known.get(study, -1) for study in studies], dtype=np.int64)
    # A table that nothing was scored for has no row that -1 could stand for.
    scored = rows >= 0
    scored[scored] = table.scored[rows[scored]]
    embeddings = _at(rows, table.geometry.embeddings)
    # Without a trained head they are one array, which need not be there twice.
    same = table.geometry.key_embeddings is table.geometry.embeddings
    return replace(
        table,
        studies=studies,
        rows={study: row for row, study in enumerate(studies)},
        scored=scored,
        geometry=Geometry(embeddings, embeddings if same else _at(rows, table.geometry.key_embeddings)),
        probabilities=None if table.probabilities is None else _at(rows, table.probabilities),
        disagreement=None if table.disagreement is None else _at(rows, table.disagreement),
    )


def _at(rows: NDArray[np.int64], array: NDArray[Number]) -> NDArray[Number]:
    """These rows of an array, nan for -1."""
    found = np.full((len(rows), array.shape[1]), np.nan, dtype=array.dtype)
    found[rows >= 0] = array[rows[rows >= 0]]
    return found
