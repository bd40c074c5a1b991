"""StudyLabel: what a reader said about one study, and its JSON (``vptct.label/1``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from vpt_plugin.errors import LabelError

SCHEMA = "vptct.label/1"
STATES = ("present", "absent", "indeterminate")
CONFIDENCES = ("certain", "probable", "possible", "")


@dataclass(frozen=True)
class FindingLabel:
    """What a reader said about one finding.

    Attributes:
        state: ``present``, ``absent`` or ``indeterminate`` (kept, never trained on).
        slices_mm: patient-z ranges (low, high) in mm, LPS+, that show it; None where only the study
            is labelled.
        confidence: ``certain``, ``probable``, ``possible``, or "" where it was not said.
    """

    state: str
    slices_mm: tuple[tuple[float, float], ...] | None = None
    confidence: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise LabelError(f"state {self.state!r} is unknown;", f"choose from {', '.join(STATES)}.")
        if self.confidence not in CONFIDENCES:
            raise LabelError(
                f"confidence {self.confidence!r} is unknown;", "choose from certain, probable, possible."
            )
        for low, high in self.slices_mm or ():
            if not low <= high:
                raise LabelError(f"slices_mm has a range from {low} to {high};", "give (low, high) in mm.")
        if self.slices_mm and self.state != "present":
            raise LabelError(f"slices_mm is given for a finding that is {self.state};", "leave it out.")


@dataclass(frozen=True)
class StudyLabel:
    """What one reader said about one study for one task. ``to_json`` and ``from_json`` are the contract."""

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
        for name, finding in self.findings.items():
            findings[name] = {"state": finding.state}
            if finding.slices_mm is not None:
                findings[name]["slices_mm"] = [list(pair) for pair in finding.slices_mm]
            if finding.confidence:
                findings[name]["confidence"] = finding.confidence
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

    @classmethod
    def from_json(cls, data: Any) -> StudyLabel:
        """A label from the JSON of the contract.

        Raises:
            LabelError: names the field that does not follow the contract.
        """
        if isinstance(data, (str, bytes)):
            try:
                data = json.loads(data)
            except ValueError as error:
                raise LabelError(f"the label is not JSON: {error}.") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise LabelError(f"the label must be a JSON object with schema {SCHEMA!r}.")
        known = {"schema", *cls.__dataclass_fields__}
        if unknown := sorted(set(data) - known):
            raise LabelError(f"unknown field {unknown[0]!r};", f"fields: {', '.join(sorted(known))}.")
        findings = _require(data, "findings", dict)
        if not findings:
            raise LabelError("findings is empty;", "say present, absent or indeterminate for at least one.")
        return cls(
            task=_require(data, "task", str),
            findings={name: _finding(name, value) for name, value in findings.items()},
            annotator=_optional(data, "annotator", str, ""),
            created=_optional(data, "created", str, ""),
            seconds_spent=_optional(data, "seconds_spent", (int, float), 0),
            series_uid=_optional(data, "series_uid", str, ""),
            model_suggestion=_optional(data, "model_suggestion", dict, {}),
            comment=_optional(data, "comment", str, ""),
        )


def now() -> str:
    """The present time as the contract writes it: ``2026-11-20T20:31:05Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _finding(name: str, value: Any) -> FindingLabel:
    if not isinstance(value, dict):
        raise LabelError(f"findings.{name} must be an object with a state.")
    if unknown := sorted(set(value) - {"state", "slices_mm", "confidence"}):
        raise LabelError(
            f"unknown field findings.{name}.{unknown[0]};", "fields: state, slices_mm, confidence."
        )
    ranges = value.get("slices_mm")
    pairs: tuple[tuple[float, float], ...] | None = None
    if ranges is not None:
        if not isinstance(ranges, list) or not all(_is_pair(pair) for pair in ranges):
            raise LabelError(f"findings.{name}.slices_mm must be a list of [low, high] in mm.")
        pairs = tuple((float(low), float(high)) for low, high in ranges)
    try:
        return FindingLabel(
            state=_require(value, "state", str),
            slices_mm=pairs,
            confidence=_optional(value, "confidence", str, ""),
        )
    except LabelError as error:
        raise LabelError(f"findings.{name}: {error.message}", error.hint) from error


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(mm, (int, float)) and not isinstance(mm, bool) for mm in pair)
    )


def _require(data: dict[str, Any], name: str, kind: Any) -> Any:
    if name not in data:
        raise LabelError(f"{name} is missing from the label.")
    return _optional(data, name, kind, None)


def _optional(data: dict[str, Any], name: str, kind: Any, default: Any) -> Any:
    value = data.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise LabelError(f"{name} has the wrong type in the label: {value!r}.")
    return value
