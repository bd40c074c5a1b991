"""MadeUpSite: studies that are only names, with labels, leases, versions and scores that are real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vpt_plugin.active.offers import ActiveSettings, Offer, Wish
from vpt_plugin.active.score_arrays import ScoredBy
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.score_shard import FailedStudy, StudyScore
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.active.worklist import Worklist
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook
from vpt_plugin.store.source import OpenedStudy, SourceState
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.training.model_store import ModelStore

NODULE = TASKS["nodule"]
GROUPS = 4


class ListedStudies:
    """Studies of which nothing but the names is known; to open one would be a mistake of the worklist."""

    name = origin = "made up"

    def __init__(self, ids: Sequence[str]) -> None:
        self.listed = list(ids)
        self.dated: dict[str, str] = {}

    def ids(self) -> list[str]:
        return list(self.listed)

    def require(self, study_id: str) -> str:
        return study_id

    def study_of_series(
        self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
    ) -> str:
        return self.require(series_uid)

    def remember(self, study_id: str) -> None:
        pass

    @contextmanager
    def opened(self, study_id: str, **_: Any) -> Iterator[OpenedStudy]:
        raise AssertionError(f"{study_id} was opened to choose a study")
        yield OpenedStudy(Path())

    def dates(self) -> dict[str, str]:
        return dict(self.dated)

    def facts(self, study_id: str) -> dict[str, Any]:
        return {"name": study_id, "kind": "dicom", "place": study_id}

    def refresh(self) -> None:
        pass

    def state(self) -> SourceState:
        return SourceState("folder")


class MadeUpSite:
    """Everything that a worklist works on.

    Args:
        root: an empty folder.
        studies: their ids; the one at place ``i`` is of group ``i % 4``.
        task: that they are labelled for.
    """

    def __init__(self, root: Path, studies: Sequence[str], *, task: ReadingTask = NODULE) -> None:
        self.root = root
        self.task = task
        self.studies = ListedStudies(studies)
        self.labels = LabelFolder(root / "labels")
        self.models = ModelStore(root / "models")
        self.now = 1_800_000_000.0

    def worklist(self, **settings: Any) -> Worklist:
        """A new one, as of a server that has just started."""
        return Worklist(
            self.studies, self.labels, self.models, self.leases(), [self.task], ActiveSettings(**settings)
        )

    def leases(self) -> LeaseBook:
        return LeaseBook(self.root / "labels" / "worklist", clock=lambda: self.now)

    def wish(self, **wished: Any) -> Wish:
        return Wish(**{"task": self.task.name, "reader": "anna", **wished})

    def next(self, **wished: Any) -> Offer:
        return self.worklist().next(self.wish(**wished))

    def label(self, study: str, state: str = "absent", *, reader: str = "anna", task: str = "") -> None:
        findings = {name: FindingLabel(state) for name in self.task.findings}
        self.labels.save(study, StudyLabel(task or self.task.name, findings, annotator=reader))

    def publish(self, network: str = "tiny", *, seed: int = 0) -> ScoredBy:
        """A version with random weights, served from now on."""
        spec = get_model(network)
        weights = new_classifier(get_model("tiny"), self.task.findings, seed=seed)
        card = ModelCard(self.task.name, network, self.task.findings, "none", spec.clip_slices)
        return ScoredBy.of_card(self.models.publish(weights, card))

    def cold(self) -> ScoredBy:
        """What scores where nothing is trained yet."""
        return ScoredBy(self.task.name, "tiny", 0, "0" * 64, self.task.findings)

    def score(
        self,
        by: ScoredBy,
        studies: Sequence[str] | None = None,
        *,
        probabilities: Mapping[str, float] | None = None,
        dates: Mapping[str, str] | None = None,
        unreadable: Sequence[str] = (),
        complete: bool = True,
    ) -> None:
        """Write scores: studies of one group lie close together, groups far apart.

        Args:
            by: what computed them; with version 0 there are no probabilities.
            studies: all of the site by default.
            probabilities: of each finding; 0.1 for those that are not named.
            dates: of those that have one.
            unreadable: those that could not be read.
            complete: the scoring came to its end.
        """
        folder = ScoreFolder(scores_root(self.models.root, self.studies), by)
        wanted = self.studies.listed if studies is None else studies
        rows = [
            self._row(study, by, (probabilities or {}).get(study, 0.1), (dates or {}).get(study, ""))
            for study in wanted
            if study not in unreadable
        ]
        with folder.scoring():
            folder.begin(len(self.studies.listed))
            folder.add(rows, [FailedStudy(study, "1", "it holds no slices") for study in unreadable])
            if complete:
                folder.end()

    def _row(self, study: str, by: ScoredBy, probability: float, date: str) -> StudyScore:
        place = self.studies.listed.index(study)
        embedding = np.random.default_rng(place).normal(0, 0.05, GROUPS)
        embedding[place % GROUPS] += 1
        row = StudyScore(study, "1", embedding, embedding, clips=2, study_date=date)
        if not by.version:
            return row
        findings = len(by.findings)
        return replace(row, probabilities=np.full(findings, probability), disagreement=np.zeros(findings))
