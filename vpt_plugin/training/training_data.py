"""TrainingData: the studies that take part in a training, and who is trained on and validated on when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vpt_plugin.ct.suitability import headers_seen
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.labels import StudyLabel
from vpt_plugin.tasks import ReadingTask


@dataclass(frozen=True)
class Round:
    """One training with its validation; no patient is on both sides.

    Attributes:
        train, validation: by the studies' names.
    """

    train: tuple[LabelledStudy, ...]
    validation: tuple[LabelledStudy, ...]


@dataclass(frozen=True)
class TrainingData:
    """The studies that take part.

    Attributes:
        rounds: one; or with folds as many, and every study is in exactly one validation.
        folds: how many; 0 where one validation side is kept apart.
        labels: what the readers said, by study.
        synthetic: whether the studies are phantoms; a training never mixes them with patients.
        left_out: how many studies were left out, by reason.
    """

    rounds: tuple[Round, ...]
    folds: int
    labels: Mapping[str, StudyLabel]
    synthetic: bool
    left_out: Mapping[str, int]

    @property
    def everything(self) -> tuple[LabelledStudy, ...]:
        """All studies of both sides, by name."""
        first = self.rounds[0]
        return tuple(sorted((*first.train, *first.validation), key=lambda study: study.study))

    @property
    def trained_on(self) -> tuple[LabelledStudy, ...]:
        """What the published network is trained on: with folds everything, else the training side."""
        return self.everything if self.folds else self.rounds[0].train

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of every study fact over what the published network is trained on."""
        facts = [study.prepared.facts.as_dict() for study in self.trained_on]
        return {name: (min(f[name] for f in facts), max(f[name] for f in facts)) for name in facts[0]}

    def headers(self) -> dict[str, dict[str, int]]:
        """What the headers of the studies that the published network is trained on say of the scanner."""
        return headers_seen(study.prepared.header for study in self.trained_on)

    def counts(self, task: ReadingTask) -> dict[str, Any]:
        """Studies per side, finding and state, and those left out; with folds all are on both sides."""
        counts: dict[str, Any] = {"left_out": dict(self.left_out)}
        if self.folds:
            counts["folds"] = self.folds
        validated = [study for each in self.rounds for study in each.validation]
        for side, studies in (("train", self.trained_on), ("validation", validated)):
            counts[side] = {
                finding: {
                    "present": sum(bool(study.states[index] == 1) for study in studies),
                    "absent": sum(bool(study.states[index] == 0) for study in studies),
                }
                for index, finding in enumerate(task.findings)
            }
        return counts

    def split_hash(self) -> str:
        """SHA-256 over which study and patient was validated in which round."""
        return _sha256(
            [
                [[study.study, study.patient] for study in side]
                for each in self.rounds
                for side in (each.train, each.validation)
            ]
        )

    def labels_hash(self, task: ReadingTask) -> str:
        """SHA-256 over what the labels say of the findings, not over who said it and when."""
        return _sha256(
            [[study.study, self.labels[study.study].to_json()["findings"]] for study in self.everything]
        )


def lacking_state(studies: Sequence[LabelledStudy], task: ReadingTask) -> tuple[int, str] | None:
    """A finding, by its number, and the state that none of the studies has; None where they have all."""
    for index in range(len(task.findings)):
        for state, value in (("present", 1), ("absent", 0)):
            if not any(study.states[index] == value for study in studies):
                return index, state
    return None


def states_in_words(studies: Sequence[LabelledStudy], index: int) -> str:
    """``7 present, 5 absent``, of one finding."""
    present, absent = (sum(bool(study.states[index] == state) for study in studies) for state in (1, 0))
    return f"{present} present, {absent} absent"


def _sha256(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
