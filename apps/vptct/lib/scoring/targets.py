"""Targets: which scorings this server needs, by what is served, and which studies they lack."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.active.job import ScoringJob
from vpt_plugin.active.score_folders import newest_scores, scores_of, scores_root
from vpt_plugin.active.score_sample import studies_to_score
from vpt_plugin.active.scores import ScoredBy, ScoreFolder, ScoreState
from vpt_plugin.active.served_last import served_versions, untrained_network
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..conf import AppConf

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """One scoring: of a published version, or of a task that has none yet.

    Attributes:
        task, model: their names.
        version: 0 where no head was trained yet.
        by: of a published version; None where none was trained, for what computes then is only known to the
            process that scores.
    """

    task: str
    model: str
    version: int
    by: ScoredBy | None = None

    @property
    def name(self) -> str:
        """``<task>_<model>``."""
        return f"{self.task}_{self.model}"

    def __str__(self) -> str:
        return f"{self.name} version {self.version}" if self.version else f"{self.name}, not trained yet"


@dataclass(frozen=True)
class Coverage:
    """What is scored of the studies that are there.

    Attributes:
        complete: the last scoring came to its end, and the studies were compared with what they were lately.
        done: studies that are scored, or were found unreadable.
        total: studies that are to be scored.
        unreadable: of those done.
    """

    complete: bool
    done: int
    total: int
    unreadable: int

    @property
    def left(self) -> int:
        """Studies that are to be scored and are not."""
        return max(0, self.total - self.done)


class Targets:
    """Looks at what is served; asked by one thread.

    Args:
        conf: what is served, and how studies are proposed.
        store: where versions lie.
        labels: of the studies.
        source: gives the studies.
        job: makes the job of a ``task``, a ``model`` and a ``version``.
        weights: where published weights are.
        now: seconds since 1970.
    """

    def __init__(
        self,
        conf: AppConf,
        store: ModelStore,
        labels: LabelFolder,
        source: Callable[[], StudySource],
        job: Callable[..., ScoringJob],
        *,
        weights: WeightsFolder | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._conf = conf
        self._store = store
        self._labels = labels
        self._source = source
        self._job = job
        self._weights = weights or WeightsFolder()
        self._now = now
        self._found: dict[Target, ScoreFolder] = {}
        self._seen: object = None
        self._wanted: tuple[Target, ...] = ()
        self._problems: tuple[str, ...] = ()

    def wanted(self) -> tuple[Target, ...]:
        """The scoring of each task, in the site's order; files are read only where what is served changed."""
        seen = tuple(
            _stamp(self._store.root / f"{task.name}_{spec.name}")
            for task in self._conf.tasks
            for spec in self._conf.models
        )
        if seen != self._seen:
            before, self._problems = self._problems, ()
            self._wanted = tuple(self._of(task) for task in self._conf.tasks)
            for problem in self._problems:
                if problem not in before:
                    _logger.warning("not scored: %s", problem)
            # A card that could not be read may be read the next time, without any file having changed.
            self._seen = None if self._problems else seen
        return self._wanted

    def of(self, task: ReadingTask, spec: ModelSpec) -> Target:
        """The scoring of one network: of what is served of it, else without a trained head."""
        card = served_versions(self._store, task, (spec,)).last
        return _of_card(card) if card else Target(task.name, spec.name, 0)

    def job(self, target: Target) -> ScoringJob:
        """What its process is told."""
        return self._job(task=target.task, model=target.model, version=target.version)

    def away(self) -> str:
        """Why studies cannot be had at the moment; "" where they can. Asks nobody."""
        state = self._source().state()
        return "" if state.reachable else state.problem or "the studies cannot be reached."

    def coverage(self, target: Target) -> Coverage:
        """What is scored of the studies that are there. Looks for studies.

        Raises:
            ArchiveError: which studies there are was never known.
        """
        labelled = {saved.study for saved in self._labels.newest() if saved.task == target.task}
        job, source = self.job(target), self._source()
        to_score = studies_to_score(source.ids(), labelled, limit=job.studies_at_most)
        folder = self._folder(target, source)
        if folder is not None:
            self._found[target] = folder
        readable = folder.studies() if folder is not None else {}
        known = [readable[study] for study in to_score if study in readable]
        complete = folder is not None and self._is_complete(folder.state(), job)
        return Coverage(complete, len(known), len(to_score), known.count(False))

    def are_deleted(self, target: Target) -> bool:
        """Whether the scores that ``coverage`` found last are gone; asks for one file, so at every look."""
        folder = self._found.get(target)
        return folder is not None and not folder.used_at()

    def _is_complete(self, state: ScoreState, job: ScoringJob) -> bool:
        return state.complete and self._now() - state.compared_at < job.compare_seconds

    def _folder(self, target: Target, source: StudySource) -> ScoreFolder | None:
        root = scores_root(self._store.root, source)
        if target.by is not None:
            return scores_of(root, target.by, precision=self.job(target).precision)
        return newest_scores(root, target.task, target.model, 0)

    def _of(self, task: ReadingTask) -> Target:
        networks = [each for each in self._conf.models if self._conf.active.model in ("", each.name)]
        served = served_versions(self._store, task, networks)
        self._problems = (*self._problems, *served.problems)
        if served.last is not None:
            return _of_card(served.last)
        return Target(task.name, untrained_network(networks, self._weights).name, 0)


def _of_card(card: ModelCard) -> Target:
    return Target(card.task, card.model, card.version, ScoredBy.of_card(card))


def _stamp(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Another one after every change of the versions or of which one is served."""
    stamps: list[tuple[int, ...]] = []
    for path in (folder, folder / "served.json"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            stamps.append(())
            continue
        # The number of the file, for it is replaced: clocks of shares count seconds.
        stamps.append((stat.st_mtime_ns, stat.st_ino))
    return tuple(stamps)
