"""StudyLabel: what a reader says about a study (``vptct.label/1``), and what the server says about labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .fields import Fields

SCHEMA = "vptct.label/1"
STATES = ("present", "absent", "indeterminate")
CONFIDENCES = ("certain", "probable", "possible", "")


@dataclass(frozen=True)
class FindingLabel:
    """What a reader says about one finding.

    Attributes:
        state: one of ``STATES``.
        slices_mm: patient-z ranges (low, high) in mm, LPS+, that show it; None where only the study is
            labelled. Only for what is present.
        confidence: one of ``CONFIDENCES``; "" where it was not said.
    """

    state: str
    slices_mm: tuple[tuple[float, float], ...] | None = None
    confidence: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES or self.confidence not in CONFIDENCES:
            raise ValueError(f"{self.state!r}, {self.confidence!r}; choose from {STATES} and {CONFIDENCES}")
        if self.slices_mm and self.state != "present":
            raise ValueError(f"slices_mm is given for a finding that is {self.state}")
        if any(not low <= high for low, high in self.slices_mm or ()):
            raise ValueError("a range of slices_mm does not go from low to high")


@dataclass(frozen=True)
class StudyLabel:
    """What a reader says about a study for one task.

    Attributes:
        task: its name.
        findings: by name; those that were not looked at are left out.
        annotator: who; "" lets the server put in who is logged in.
        created: when, as ``2026-11-20T20:31:05Z``; "" lets the server put in its time.
        seconds_spent: on this study.
        series_uid: SeriesInstanceUID, where it is known.
        model_suggestion: what the reader had seen, see ``Result.suggestion``; {} for nothing.
        comment: free text.
    """

    task: str
    findings: Mapping[str, FindingLabel]
    annotator: str = ""
    created: str = ""
    seconds_spent: float = 0
    series_uid: str = ""
    model_suggestion: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    comment: str = ""

    def to_json(self) -> dict[str, Any]:
        """The label as the JSON of the contract."""
        findings: dict[str, Any] = {}
        for name, each in self.findings.items():
            findings[name] = {"state": each.state}
            if each.slices_mm is not None:
                findings[name]["slices_mm"] = [list(pair) for pair in each.slices_mm]
            if each.confidence:
                findings[name]["confidence"] = each.confidence
        return {
            "schema": SCHEMA,
            "task": self.task,
            "findings": findings,
            "annotator": self.annotator,
            "created": self.created,
            "seconds_spent": self.seconds_spent,
            "series_uid": self.series_uid,
            "model_suggestion": dict(self.model_suggestion),
            "comment": self.comment,
        }


@dataclass(frozen=True)
class SavedLabel:
    """What the server answers to a label: it is on its disk.

    Attributes:
        study: the id under which it counts.
        id: of the label.
        version: of this study and task.
        sha256: of its file.
        saved: when, by the server's clock.
        previous_version: that it follows; None for the first one.
        previous_annotator: whose label it follows.
    """

    study: str
    id: str
    version: int
    sha256: str
    saved: str
    previous_version: int | None
    previous_annotator: str | None


@dataclass(frozen=True)
class LabelVersion:
    """One version in a study's history."""

    version: int
    annotator: str
    created: str
    saved: str
    sha256: str
    label: StudyLabel


@dataclass(frozen=True)
class SetAsideLabel:
    """A label that was refused in a conflict and kept; ``settled``: it asks for nobody any more."""

    number: int
    annotator: str
    saved: str
    expected_version: int
    newest_version: int
    settled: bool
    label: StudyLabel


@dataclass(frozen=True)
class DamagedVersion:
    """A version whose file cannot be read."""

    version: int
    problem: str


@dataclass(frozen=True)
class LabelHistory:
    """All that was said about a study for a task, oldest first.

    ``told_version`` is the newest one, as the server has it; None where an older server does not tell.
    """

    study: str
    task: str
    versions: tuple[LabelVersion, ...]
    set_aside: tuple[SetAsideLabel, ...]
    damaged: tuple[DamagedVersion, ...]
    told_version: int | None = None

    @property
    def newest_version(self) -> int:
        """What ``if_version`` is compared with: the newest file counts, readable or not; 0 for none."""
        if self.told_version is not None:
            return self.told_version
        numbers = [each.version for each in self.versions] + [each.version for each in self.damaged]
        return max(numbers, default=0)


@dataclass(frozen=True)
class LabelConflict:
    """Two labels upon the same version.

    Attributes:
        expected_version: upon which this reader's label was meant.
        newest_version: the one that is there.
        newest: what it says; None where it cannot be read.
        yours: what was refused, and set aside on the server.
    """

    expected_version: int
    newest_version: int
    newest: StudyLabel | None
    yours: StudyLabel


def read_label(data: object) -> StudyLabel:
    """A label of the server.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields.of_schema(data, SCHEMA)
    return StudyLabel(
        task=fields.text("task"),
        findings=fields.named("findings", _finding),
        annotator=fields.text("annotator"),
        created=fields.text("created"),
        seconds_spent=fields.number("seconds_spent"),
        series_uid=fields.text("series_uid"),
        model_suggestion=fields.inner("model_suggestion").data,
        comment=fields.text("comment"),
    )


def read_saved(data: object) -> SavedLabel:
    """The answer to a label that was saved."""
    fields = Fields(data, "the saved label")
    return SavedLabel(
        study=fields.text("image"),
        id=fields.text("label"),
        version=fields.whole("version"),
        sha256=fields.text("sha256"),
        saved=fields.text("saved"),
        previous_version=fields.maybe(fields.whole, "previous_version"),
        previous_annotator=fields.maybe(fields.text, "previous_annotator"),
    )


def read_history(data: object) -> LabelHistory:
    """The answer of ``GET /datastore/label/history``."""
    fields = Fields(data, "the history")
    return LabelHistory(
        study=fields.text("image"),
        task=fields.text("task"),
        versions=fields.parts("versions", _version),
        set_aside=fields.parts("set_aside", _set_aside),
        damaged=fields.parts(
            "damaged", lambda each: DamagedVersion(each.whole("version"), each.text("problem"))
        ),
        told_version=fields.optional(fields.whole, "newest_version"),
    )


def read_conflict(data: object) -> LabelConflict:
    """What an answer 409 has under ``conflict``."""
    fields = Fields(data, "the conflict")
    return LabelConflict(
        expected_version=fields.whole("expected_version"),
        newest_version=fields.whole("newest_version"),
        newest=fields.part_or_none("newest", lambda each: read_label(each.data)),
        yours=fields.part("yours", lambda each: read_label(each.data)),
    )


def _finding(fields: Fields) -> FindingLabel:
    return FindingLabel(
        state=fields.text("state"),
        slices_mm=fields.pairs("slices_mm") if "slices_mm" in fields.data else None,
        confidence=fields.text("confidence") if "confidence" in fields.data else "",
    )


def _version(fields: Fields) -> LabelVersion:
    return LabelVersion(
        version=fields.whole("version"),
        annotator=fields.text("annotator"),
        created=fields.text("created"),
        saved=fields.text("saved"),
        sha256=fields.text("sha256"),
        label=fields.part("label", lambda each: read_label(each.data)),
    )


def _set_aside(fields: Fields) -> SetAsideLabel:
    return SetAsideLabel(
        number=fields.whole("number"),
        annotator=fields.text("annotator"),
        saved=fields.text("saved"),
        expected_version=fields.whole("expected_version"),
        newest_version=fields.whole("newest_version"),
        settled=fields.flag("settled"),
        label=fields.part("label", lambda each: read_label(each.data)),
    )
