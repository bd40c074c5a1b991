"""RetrainWatch: what the stores hold, put before the rule of ``retrain``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vpt_plugin.active.offered import OfferedStudy, offered_studies
from vpt_plugin.active.retrain import (
    AnsweredFinding,
    RetrainAdvice,
    RetrainEvidence,
    RetrainRule,
    retrain_due,
)
from vpt_plugin.data.split_file import SplitFile
from vpt_plugin.errors import VptError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import GONE, NOT_LABELLED
from vpt_plugin.training.validation_record import ValidationRecord

# Studies of these reasons are no labels to learn from here, either; the others could not be learned from.
_NO_LABELS = (NOT_LABELLED, GONE, "indeterminate")


@dataclass(frozen=True)
class _Version:
    """What is known of a published version; it never changes.

    Attributes:
        card: its card.
        record: how it was validated; None for an imported one.
        studies: that it learned from or was chosen by.
    """

    card: ModelCard
    record: ValidationRecord | None
    studies: frozenset[str]


class RetrainWatch:
    """Says of a task and network whether a training is due; several threads may ask.

    Cheap enough for every request: what a version learned from is read once.

    Args:
        labels: what readers said.
        models: the model store.
        leases: what was offered, and what the served version said then.
        rule: when a training is due.
    """

    def __init__(self, labels: LabelFolder, models: ModelStore, leases: LeaseBook, rule: RetrainRule) -> None:
        self.rule = rule
        self._labels = labels
        self._models = models
        self._leases = leases
        self._versions: dict[tuple[str, str, int], _Version] = {}

    def advice(
        self,
        task: ReadingTask,
        model: str,
        *,
        there: Collection[str] | None = None,
        tried_with: int = 0,
    ) -> RetrainAdvice:
        """Whether a training is due, and why.

        Where it cannot be told what is served, or what it learned from, none is due, and the reason says so.

        Args:
            task: of the labels.
            model: the network that would be trained.
            there: the studies that are there; labels of others are not counted. None counts all.
            tried_with: as of ``RetrainEvidence``.

        Raises:
            OSError: the history of the worklist is there and cannot be read.
        """
        try:
            evidence = self._evidence(task, model, there, tried_with)
        except VptError as error:
            return RetrainAdvice(False, f"{error.message} {error.hint}".strip(), 0, self.rule.every, 0)
        return retrain_due(self.rule, evidence)

    def _evidence(
        self, task: ReadingTask, model: str, there: Collection[str] | None, tried_with: int
    ) -> RetrainEvidence:
        """What the rule looks at.

        Raises:
            ModelCardError, NotTrainedError: what is served, or how it was validated, cannot be read.
            TrainingError: the file of the split is damaged.
        """
        served = self._models.current_version(task.name, model) or 0
        usable = self._usable(task, there)
        versions = self._from(task.name, model, served)
        known = frozenset[str]().union(*(each.studies for each in versions))
        new = [each for each in usable if each.study not in known]
        hopeless = sum(
            count
            for reason, count in (versions[-1].card.counts.get("left_out", {}) if versions else {}).items()
            if reason not in _NO_LABELS
        )
        return RetrainEvidence(
            name=f"{task.name}_{model}",
            version=served,
            new_labels=max(0, len(new) - hopeless),
            labels=_counts(task, usable),
            answered=_answered(task, model, versions[0], new) if served else (),
            tried_with=tried_with,
        )

    def _usable(self, task: ReadingTask, there: Collection[str] | None) -> list[OfferedStudy]:
        """The labelled studies that a training could learn from, the newest label last."""
        split = SplitFile(self._labels.root / "splits" / f"{task.name}.json").read()
        found = offered_studies(task.name, task.findings, self._labels.newest(), self._leases.history())
        usable = [
            each
            for each in found.values()
            if each.states and (there is None or each.study in there) and not split.is_test(each.study)
        ]
        return sorted(usable, key=lambda each: (each.saved, each.study))

    def _from(self, task: str, model: str, served: int) -> Sequence[_Version]:
        """The served version and the later candidates; a candidate, too, has learned all there was."""
        numbers = [number for number in self._models.versions(task, model) if number >= served]
        for number in numbers:
            if (task, model, number) not in self._versions:
                self._versions[task, model, number] = self._version(task, model, number)
        for key in [key for key in self._versions if key[:2] == (task, model) and key[2] not in numbers]:
            self._versions.pop(key, None)
        return [self._versions[task, model, number] for number in numbers]

    def _version(self, task: str, model: str, number: int) -> _Version:
        record = ValidationRecord.read(self._models.place(task, model, number))
        seen = (*record.trained_on, *record.chosen_by_in_all) if record else ()
        return _Version(
            self._models.card(task, model, number), record, frozenset(each.study for each in seen)
        )


def _counts(task: ReadingTask, usable: Sequence[OfferedStudy]) -> Mapping[str, Mapping[str, int]]:
    """Studies per finding and state."""
    counts = {}
    for name in task.findings:
        states = Counter(each.states.get(name) for each in usable)
        counts[name] = {"present": states[1.0], "absent": states[0.0]}
    return counts


def _answered(
    task: ReadingTask, model: str, version: _Version, new: Sequence[OfferedStudy]
) -> tuple[AnsweredFinding, ...]:
    """Per finding, what this version had said of the studies with a new label."""
    mine = [each for each in new if (each.model, each.version) == (model, version.card.version)]
    if not (version.record or version.card.calibrated):
        return ()  # nobody knows how far its probabilities can be believed
    validated = version.record.validated if version.record else ()
    found = []
    for name in task.findings:
        said = [each for each in mine if name in each.states and name in each.probabilities]
        checked = [each for each in validated if not np.isnan(each.states.get(name, np.nan))]
        found.append(
            AnsweredFinding(
                name,
                version.card.threshold(name),
                np.array([each.probabilities[name] for each in said], dtype=np.float64),
                np.array([each.states[name] for each in said], dtype=np.float64),
                np.array([each.probabilities[name] for each in checked], dtype=np.float64),
                np.array([each.states[name] for each in checked], dtype=np.float64),
            )
        )
    return tuple(found)
