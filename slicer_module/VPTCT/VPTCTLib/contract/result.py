"""Result: what a network says about a study (``vptct.result/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .estimate import Estimate, read_estimate
from .evidence import (
    UNFIT,
    UNSURE,
    Conformal,
    HeatMapFacts,
    Suitability,
    VersionAnswer,
    read_conformal,
    read_heat_map,
    read_suitability,
    read_version,
)
from .fields import Fields

SCHEMA = "vptct.result/1"


@dataclass(frozen=True)
class AnsweringModel:
    """The version of a network that answered.

    Attributes:
        name: the network, such as ``swin_t``.
        version: of this network for this task.
        pretraining: ``kinetics``, ``ct``, ``kinetics+ct``, ``imagenet``, ``imagenet+ct`` or ``none``.
        trained_on: studies.
        calibrated: whether the probabilities were fitted to what happened.
        validation_auroc: of the finding it is worst at; None where nothing was measured.
    """

    name: str
    version: int
    pretraining: str
    trained_on: int
    calibrated: bool
    validation_auroc: Estimate | None


@dataclass(frozen=True)
class ClipResult:
    """What it says of one run of slices.

    Attributes:
        first_slice, last_slice: by the server's count from the feet, which need not be Slicer's.
        z_mm: where they lie (patient z, LPS+), lower end first.
        probability: of the finding in this clip.
    """

    first_slice: int
    last_slice: int
    z_mm: tuple[float, float]
    probability: float


@dataclass(frozen=True)
class FindingResult:
    """What it says of one finding.

    Attributes:
        name: of the finding.
        probability: that the study has it.
        threshold: from which on it is called present; None where none was found.
        decision: ``present`` or ``absent``; None without a threshold.
        key_slice_mm: where to look first (patient z, LPS+).
        clips: in the order of their slices; they cover the study from end to end.
        conformal: what it says at the site's error rate; None where that was not measured.
    """

    name: str
    probability: float
    threshold: float | None
    decision: str | None
    key_slice_mm: float
    clips: tuple[ClipResult, ...]
    conformal: Conformal | None = None

    @property
    def settled(self) -> str | None:
        """The decision; None where there is none, or where it is unsure."""
        return None if self.is_unsure else self.decision

    @property
    def is_unsure(self) -> bool:
        """Whether neither state can be told at the site's error rate, whatever the threshold says."""
        return self.conformal is not None and self.conformal.decision == UNSURE


@dataclass(frozen=True)
class Result:
    """What a network says about a study.

    Attributes:
        task: the name of the task.
        model: which version answered.
        findings: one per finding of the task.
        entropy: of the probability, in bits: 1 where it is 0.5.
        clip_disagreement: standard deviation of the clips' probabilities.
        warnings: what the reader must know, in plain sight.
        seconds: how long the steps took, by their names.
        raw: the answer as it came, for keeping it with the scene.
        suitability: whether the study is one for the model; None where an older server does not tell.
        heat_map: where it looked; None where that was not asked.
        versions: what other versions said; empty where that was not asked.
        version_disagreement: standard deviation over this version and those; None without them.
    """

    task: str
    model: AnsweringModel
    findings: tuple[FindingResult, ...]
    entropy: float
    clip_disagreement: float
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    raw: Mapping[str, Any]
    suitability: Suitability | None = None
    heat_map: HeatMapFacts | None = None
    versions: tuple[VersionAnswer, ...] = ()
    version_disagreement: float | None = None

    @property
    def is_unfit(self) -> bool:
        """Whether the study is none for the model, and was answered because the reader wanted that."""
        return self.suitability is not None and self.suitability.verdict == UNFIT

    def settled(self) -> dict[str, str | None]:
        """The decision by finding; None where there is none, or where it is unsure."""
        return {each.name: None if self.is_unfit else each.settled for each in self.findings}

    def suggestion(self) -> dict[str, Any]:
        """What a label keeps of it as ``model_suggestion``: the version, and the probability by finding."""
        said = {finding.name: finding.probability for finding in self.findings}
        return {"model": f"{self.task}/{self.model.name}", "version": self.model.version, **said}


def read_result(data: object) -> Result:
    """The result in the answer of ``POST /infer/``.

    Raises:
        ContractError: it is not as agreed.
    """
    whole = Fields(data, "the result")
    fields = Fields.of_schema(whole.data.get("vptct"), SCHEMA)
    uncertainty = fields.inner("uncertainty")
    return Result(
        task=fields.text("task"),
        model=fields.part("model", _model),
        findings=fields.parts("findings", _finding),
        entropy=uncertainty.number("entropy"),
        clip_disagreement=uncertainty.number("clip_disagreement"),
        warnings=fields.texts("warnings"),
        seconds=fields.numbers("seconds"),
        raw=whole.data,
        suitability=fields.optional(lambda name: fields.part(name, read_suitability), "suitability"),
        heat_map=fields.optional(lambda name: fields.part(name, read_heat_map), "heat_map"),
        versions=uncertainty.optional(lambda name: uncertainty.parts(name, read_version), "versions") or (),
        version_disagreement=uncertainty.optional(uncertainty.number, "version_disagreement"),
    )


def _model(fields: Fields) -> AnsweringModel:
    return AnsweringModel(
        name=fields.text("name"),
        version=fields.whole("version"),
        pretraining=fields.text("pretraining"),
        trained_on=fields.whole("trained_on"),
        calibrated=fields.flag("calibrated"),
        validation_auroc=fields.part_or_none("validation_auroc", read_estimate),
    )


def _finding(fields: Fields) -> FindingResult:
    return FindingResult(
        name=fields.text("name"),
        probability=fields.number("probability"),
        threshold=fields.maybe(fields.number, "threshold"),
        decision=fields.maybe(fields.text, "decision"),
        key_slice_mm=fields.number("key_slice_mm"),
        clips=fields.parts("clips", _clip),
        conformal=fields.optional(lambda name: fields.part(name, read_conformal), "conformal"),
    )


def _clip(fields: Fields) -> ClipResult:
    return ClipResult(
        first_slice=fields.whole("first_slice"),
        last_slice=fields.whole("last_slice"),
        z_mm=fields.pair("z_mm"),
        probability=fields.number("probability"),
    )
