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
    from vpt_plugin.tasks import ReadingTask
    from vpt_plugin.training.model_store import ModelStore

# What is served is looked up in a few small files; of many requests at once one does it.
_FRESH_SECONDS = 2.0
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


@dataclass(frozen=True)
class _Kept:
    stamp: tuple[str, ...]
    scores: Scores
    table: StudyScores


class ScoreReader:
    """The scores of each task, of the version that is served; several threads may ask.

    Args:
        models: the model store; scores lie beside its versions.
        networks: whose versions count.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        models: ModelStore,
        networks: Iterable[ModelSpec],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._root = scores_root(models.root)
        self._networks = {spec.name: spec for spec in networks}
        self._clock = clock
        self._found: dict[tuple[str, str, bool], tuple[float, _Found]] = {}
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
                return replace(_aligned(None, studies), warnings=found.warnings)
            kept = self._keep(found.folder, studies)
        warnings = [*found.warnings, *kept.scores.state.warnings]
        if kept.scores.damaged:
            damaged = len(kept.scores.damaged)
            files = "1 file of scores is" if damaged == 1 else f"{damaged} files of scores are"
            warnings.append(f"{files} damaged; the next scoring mends that")
        return replace(kept.table, warnings=tuple(warnings))

    def _keep(self, folder: ScoreFolder, studies: tuple[str, ...]) -> _Kept:
        """The scores of a folder and their table, from memory where nothing has changed."""
        stamp, task = (folder.by.key, *folder.stamp()), folder.by.task
        kept = self._kept.get(task)
        if kept is None or kept.stamp != stamp:
            # Before the new ones are read: both at once would need twice the memory.
            self._kept.pop(task, None)
            scores = folder.read()
            kept = _Kept(stamp, scores, _aligned(scores, studies))
        elif kept.table.studies != studies:
            kept = replace(kept, table=_aligned(kept.scores, studies))
        self._kept[task] = kept
        return kept

    def _which(self, task: ReadingTask, model: str, trained: bool) -> _Found:
        before = self._found.get((task.name, model, trained))
        if before is not None and self._clock() - before[0] < _FRESH_SECONDS:
            return before[1]
        found = self._look(task, model, trained)
        self._found[task.name, model, trained] = (self._clock(), found)
        return found

    def _look(self, task: ReadingTask, model: str, trained: bool) -> _Found:
        networks = [self._networks[model]] if model else list(self._networks.values())
        served = served_versions(self._models, task, networks)
        others = [
            each
            for each in score_folders(self._root)
            if each.by.task == task.name and each.by.model in {spec.name for spec in networks}
            and each.by.findings == task.findings
        ]  # fmt: skip
        if served.last is None:
            cold = [each for each in others if each.by.version == 0]
            return _Found(max(cold, key=ScoreFolder.used_at, default=None), served.problems)
        own = ScoreFolder(self._root, ScoredBy.of_card(served.last))
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
        return _Found(other, (*served.problems, told))


def _aligned(scores: Scores | None, studies: tuple[str, ...]) -> StudyScores:
    """The scores in the order of some studies."""
    numbered = {study: row for row, study in enumerate(studies)}
    if scores is None:
        nothing = np.zeros((len(studies), 0), dtype=np.float32)
        none = np.zeros(len(studies), dtype=bool)
        return StudyScores(
            studies, numbered, none, Geometry(nothing, nothing), None, None, None, False, {}, {}
        )
    known = {study: row for row, study in enumerate(scores.studies)}
    rows = np.array([known.get(study, -1) for study in studies], dtype=np.int64)
    embeddings = _at(rows, scores.embeddings)
    # Without a trained head they are one array, which need not be there twice.
    same = scores.key_embeddings is scores.embeddings
    return StudyScores(
        studies,
        numbered,
        rows >= 0,
        Geometry(embeddings, embeddings if same else _at(rows, scores.key_embeddings)),
        None if scores.probabilities is None else _at(rows, scores.probabilities),
        None if scores.disagreement is None else _at(rows, scores.disagreement),
        scores.by,
        scores.complete,
        dict(zip(scores.studies, scores.study_dates, strict=True)),
        scores.unreadable,
    )


def _at(rows: NDArray[np.int64], array: NDArray[Number]) -> NDArray[Number]:
    """These rows of an array, nan for -1; the array itself, which may be large, where they are all of it."""
    if len(rows) == len(array) and (rows == np.arange(len(array))).all():
        return array
    found = np.full((len(rows), array.shape[1]), np.nan, dtype=array.dtype)
    found[rows >= 0] = array[rows[rows >= 0]]
    return found
