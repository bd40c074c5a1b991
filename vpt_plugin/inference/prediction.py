"""Prediction: the answer for one study, and its JSON (``vptct.result/1``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vpt_plugin.ct.suitability.verdict import Suitability
from vpt_plugin.inference.evidence import AnswerFile, HeatMapFacts, MapFacts
from vpt_plugin.models.card import Estimate, ModelCard

if TYPE_CHECKING:
    from vpt_plugin.inference.conformal import ConformalDecision

SCHEMA = "vptct.result/1"


@dataclass(frozen=True)
class ClipProbability:
    """What the classifier said about one clip.

    Attributes:
        first_slice, last_slice: the clip's slices within the study, both included, counted from the feet.
        z_mm: patient z of the centres of those two slices.
        probability: of the finding, in [0, 1].
    """

    first_slice: int
    last_slice: int
    z_mm: tuple[float, float]
    probability: float


@dataclass(frozen=True)
class FindingPrediction:
    """What the classifier said about one finding.

    Attributes:
        name: the finding.
        probability: the study's, in [0, 1], aggregated over the clips by the task's rule.
        threshold: probability from which the decision is ``present``.
        key_slice_mm: patient z of the slice to look at first.
        clips: in the order of patient z; together they cover the study.
        conformal: present, absent or unsure at an error rate; None where that cannot be told.
    """

    name: str
    probability: float
    threshold: float
    key_slice_mm: float
    clips: tuple[ClipProbability, ...]
    conformal: ConformalDecision | None = None

    @property
    def decision(self) -> str:
        """``present`` or ``absent``."""
        return "present" if self.probability >= self.threshold else "absent"

    @property
    def evidence_mm(self) -> list[tuple[float, float]]:
        """Patient-z ranges of the clips at or above the threshold; clips that touch make one range.

        Every aggregation there is lies between the lowest and the highest clip, so that a finding that is
        present always has evidence.
        """
        runs: list[list[ClipProbability]] = []
        for clip in (clip for clip in self.clips if clip.probability >= self.threshold):
            if runs and clip.first_slice <= runs[-1][-1].last_slice + 1:
                runs[-1].append(clip)
            else:
                runs.append([clip])
        return [(run[0].z_mm[0], run[-1].z_mm[1]) for run in runs]


@dataclass(frozen=True)
class VersionAnswer:
    """What another version said of the same study; see ``vpt_plugin.inference.versions``.

    Attributes:
        model, version: which it is.
        probabilities: of the study, by finding.
    """

    model: str
    version: int
    probabilities: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The answer as the JSON of the contract."""
        return {"model": self.model, "version": self.version, "probabilities": dict(self.probabilities)}


@dataclass(frozen=True)
class Prediction:
    """The answer for one study.

    Attributes:
        card: of the classifier that answered.
        findings: in the task's order.
        warnings: what the reader must know before trusting the answer, one sentence each.
        seconds: per stage: ``read``, ``prepare``, ``network``, ``total``.
        notes: what was decided in reading the study, which is nothing to worry about, one sentence each. The
            JSON has them after the warnings.
        computed: which ``backend`` computed, in which ``precision`` and on which ``device``.
        kept: whether it was computed for an earlier question; ``seconds`` are those of this question.
        versions: what other versions of the model said of the study; empty where nobody asked them.
        suitability: whether the study is one for this version; None where that was not looked at.
        heat_map: where the network looked; None where nobody asked for it.
        files: what goes along with the JSON, such as heat maps.
        task_clips: whether the task's own clips were looked at, as they were of the validation studies.
    """

    card: ModelCard
    findings: tuple[FindingPrediction, ...]
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()
    computed: Mapping[str, str] = field(default_factory=dict)
    kept: bool = False
    versions: tuple[VersionAnswer, ...] = ()
    suitability: Suitability | None = None
    heat_map: HeatMapFacts | None = None
    files: tuple[AnswerFile, ...] = ()
    task_clips: bool = True

    @property
    def entropy(self) -> float:
        """Entropy of the study probability in bits: 0 is sure, 1 is undecided; the largest over findings."""
        return max(binary_entropy_bits(finding.probability) for finding in self.findings)

    @property
    def clip_disagreement(self) -> float:
        """Standard deviation of the clip probabilities, from 0 to 0.5; the largest over findings.

        A small finding in few clips raises it too: high says "look where", not only "doubt".
        """
        return max(
            standard_deviation([clip.probability for clip in finding.clips]) for finding in self.findings
        )

    @property
    def version_disagreement(self) -> float | None:
        """Standard deviation of what this and the other versions say of the study, from 0 to 0.5.

        The largest over findings; None where no other version was asked.
        """
        if not self.versions:
            return None
        return max(
            standard_deviation(
                [finding.probability, *(each.probabilities[finding.name] for each in self.versions)]
            )
            for finding in self.findings
        )

    def for_question(self, seconds: float, warnings: Sequence[str] = ()) -> Prediction:
        """The answer to one of several equal questions.

        Args:
            seconds: that this question took. Of a kept answer they are all there is to tell.
            warnings: what came up with this question; they come first.
        """
        spent = {**dict.fromkeys(self.seconds, 0.0), "total": seconds} if self.kept else self.seconds
        return replace(self, warnings=(*warnings, *self.warnings), seconds=spent)

    def explained(
        self, method: str, maps: Sequence[MapFacts], seconds: float, *, files: Sequence[AnswerFile] = ()
    ) -> Prediction:
        """The answer with its heat maps.

        Args:
            method: by which they came about.
            maps: what is said of each.
            seconds: that they took, to be had as files too.
            files: that go along with the answer.
        """
        spent = {**self.seconds, "explain": seconds, "total": self.seconds["total"] + seconds}
        facts = HeatMapFacts(method, tuple(maps))
        return replace(self, heat_map=facts, files=tuple(files), seconds=spent)

    def to_json(self) -> dict[str, Any]:
        """The answer as the JSON of the contract; an undefined figure is null.

        MONAI Label's own ``prediction`` list comes first, so that its other clients keep working.
        """
        return {
            "prediction": [
                {"idx": index, "label": finding.name, "score": finding.probability}
                for index, finding in enumerate(self.findings)
            ],
            "vptct": {
                "schema": SCHEMA,
                "task": self.card.task,
                "model": _model_json(self.card),
                "findings": [_finding_json(finding) for finding in self.findings],
                "uncertainty": {
                    "entropy": self.entropy,
                    "clip_disagreement": self.clip_disagreement,
                    "versions": [each.to_json() for each in self.versions],
                    "version_disagreement": self.version_disagreement,
                },
                "suitability": _json_or_none(self.suitability),
                "heat_map": _json_or_none(self.heat_map),
                "warnings": [*self.warnings, *self.notes],
                "seconds": dict(self.seconds),
                "computed": dict(self.computed),
                "kept": self.kept,
            },
        }


def binary_entropy_bits(probability: float) -> float:
    """Entropy of a yes or no of that probability, in bits: 1 at 0.5, 0 at 0 and 1."""
    if probability <= 0 or probability >= 1:
        return 0.0
    rest = 1 - probability
    return -(probability * math.log2(probability) + rest * math.log2(rest))


def standard_deviation(values: Sequence[float]) -> float:
    """Standard deviation of all there is (divided by n, not n - 1); 0 for one value."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def _model_json(card: ModelCard) -> dict[str, Any]:
    auroc = weakest_estimate(card.validation_auroc)
    return {
        "name": card.model,
        "version": card.version,
        "pretraining": card.pretraining,
        "trained_on": card.trained_on,
        "calibrated": card.calibrated,
        "validation_auroc": auroc.to_json() if auroc else None,
    }


def weakest_estimate(estimates: Mapping[str, Estimate]) -> Estimate | None:
    """The lowest figure over findings, an undefined one before all; None where nothing was measured.

    The contract has room for one figure per model: for a task of several findings that is the one the model
    is worst at.
    """
    return min(estimates.values(), key=lambda e: -1 if math.isnan(e.value) else e.value, default=None)


def _json_or_none(told: ConformalDecision | Suitability | HeatMapFacts | None) -> dict[str, Any] | None:
    return None if told is None else told.to_json()


def _finding_json(finding: FindingPrediction) -> dict[str, Any]:
    return {
        "name": finding.name,
        "probability": finding.probability,
        "threshold": finding.threshold,
        "decision": finding.decision,
        "conformal": _json_or_none(finding.conformal),
        "key_slice_mm": finding.key_slice_mm,
        "clips": [
            {
                "first_slice": clip.first_slice,
                "last_slice": clip.last_slice,
                "z_mm": list(clip.z_mm),
                "probability": clip.probability,
            }
            for clip in finding.clips
        ],
    }
