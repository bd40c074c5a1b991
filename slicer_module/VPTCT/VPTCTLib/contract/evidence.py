"""What a result says beside its probabilities: how sure, whether the study is one for the model, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .fields import Fields

PRESENT, ABSENT, UNSURE = "present", "absent", "unsure"
FITS, DOUBTFUL, UNFIT = "fits", "doubtful", "unfit"

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Conformal:
    """What the network says of a finding at an error rate that the site chose.

    Attributes:
        decision: ``present``, ``absent`` or ``unsure``.
        error_rate: at which it was decided; docs/evidence.md has what it is worth.
        why: one sentence; "" for none.
    """

    decision: str
    error_rate: float
    why: str


@dataclass(frozen=True)
class Check:
    """One look at a study before the answer.

    Attributes:
        name: of the check, such as ``lungs``.
        verdict: ``fits``, ``doubtful``, ``unfit``, or ``unknown`` where it could not be made.
        sentence: what came of it, for people.
    """

    name: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Suitability:
    """Whether a study is one for the model.

    Attributes:
        verdict: ``fits``, ``doubtful`` or ``unfit``.
        checks: what was looked at.
    """

    verdict: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class MapOfFinding:
    """Where in an answer the heat map of a finding is.

    Attributes:
        name: of the finding.
        part: of the answer that holds it, as a NIfTI file.
        key_slice_mm: the slice that is hottest (patient z, LPS+).
        hottest_mm: the hottest voxel (LPS+); None where nothing is hot.
    """

    name: str
    part: str
    key_slice_mm: float | None
    hottest_mm: Point | None


@dataclass(frozen=True)
class HeatMapFacts:
    """The heat maps of an answer that was asked to explain itself.

    Attributes:
        method: how they were made, for people.
        findings: one per map.
    """

    method: str
    findings: tuple[MapOfFinding, ...]

    def of(self, finding: str) -> MapOfFinding | None:
        """That of a finding; None where it has none."""
        return next((each for each in self.findings if each.name == finding), None)


@dataclass(frozen=True)
class VersionAnswer:
    """What another version said of the same study.

    Attributes:
        model: the network.
        version: of it.
        probabilities: by finding.
    """

    model: str
    version: int
    probabilities: Mapping[str, float]


def read_conformal(fields: Fields) -> Conformal:
    """The conformal decision of a finding. Raises: ContractError, it is not as agreed."""
    return Conformal(fields.text("decision"), fields.number("error_rate"), fields.text("why"))


def read_suitability(fields: Fields) -> Suitability:
    """Whether the study is one for the model. Raises: ContractError, it is not as agreed."""
    return Suitability(fields.text("verdict"), fields.parts("checks", _check))


def read_heat_map(fields: Fields) -> HeatMapFacts:
    """What is said of the heat maps. Raises: ContractError, it is not as agreed."""
    return HeatMapFacts(fields.text("method"), fields.parts("findings", _map))


def read_version(fields: Fields) -> VersionAnswer:
    """What another version said. Raises: ContractError, it is not as agreed."""
    return VersionAnswer(fields.text("model"), fields.whole("version"), fields.numbers("probabilities"))


def _check(fields: Fields) -> Check:
    return Check(fields.text("name"), fields.text("verdict"), fields.text("sentence"))


def _map(fields: Fields) -> MapOfFinding:
    return MapOfFinding(
        name=fields.text("name"),
        part=fields.text("part"),
        key_slice_mm=fields.optional(fields.number, "key_slice_mm"),
        hottest_mm=fields.optional(fields.point, "hottest_mm"),
    )
