"""StudyLabel: what a reader said about one study, and its JSON (``vptct.label/1``)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from vpt_plugin.errors import LabelError

SCHEMA = "vptct.label/1"
STATES = ("present", "absent", "indeterminate")
CONFIDENCES = ("certain", "probable", "possible", "")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIME_PATTERN = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
)
# Far beyond any table's travel: a hundred metres.
MAX_MM = 1e5
# What a caller sent comes back in a message only so far; it may be of any length.
_SHOWN_CHARACTERS = 100


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
            raise LabelError(f"state {_shown(self.state)} is unknown;", f"choose from {', '.join(STATES)}.")
        if self.confidence not in CONFIDENCES:
            raise LabelError(
                f"confidence {_shown(self.confidence)} is unknown;",
                "choose from certain, probable, possible.",
            )
        for low, high in self.slices_mm or ():
            if not (_is_position(low) and _is_position(high)):
                raise LabelError(
                    f"slices_mm has a range from {_shown(low)} to {_shown(high)};",
                    f"positions are numbers from {-MAX_MM:g} to {MAX_MM:g} mm.",
                )
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
            except (ValueError, RecursionError) as error:
                # The message of a wrong encoding can hold all of the text.
                raise LabelError(f"the label is not JSON: {str(error)[:_SHOWN_CHARACTERS]}.") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise LabelError(f"the label must be a JSON object with schema {SCHEMA!r}.")
        known = {"schema", *cls.__dataclass_fields__}
        if unknown := sorted(set(data) - known):
            raise LabelError(f"unknown field {_shown(unknown[0])};", f"fields: {', '.join(sorted(known))}.")
        findings = _require(data, "findings", dict)
        if not findings:
            raise LabelError("findings is empty;", "say present, absent or indeterminate for at least one.")
        return cls(
            task=_require(data, "task", str),
            findings={name: _finding(name, value) for name, value in findings.items()},
            annotator=_optional(data, "annotator", str, ""),
            created=_time(_optional(data, "created", str, "")),
            seconds_spent=_finite(data, "seconds_spent", (int, float), 0),
            series_uid=_optional(data, "series_uid", str, ""),
            model_suggestion=_finite(data, "model_suggestion", dict, {}),
            comment=_optional(data, "comment", str, ""),
        )


def now() -> str:
    """The present time as the contract writes it: ``2026-11-20T20:31:05Z``."""
    return datetime.now(timezone.utc).strftime(_TIME)


def _finite(data: dict[str, Any], name: str, kind: Any, default: Any) -> Any:
    """As ``_optional``, without NaN and infinity, which Python reads from JSON and other programs do not."""
    value = _optional(data, name, kind, default)
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{name} holds a number that JSON does not know: {error}.") from error
    return value


def _time(created: str) -> str:
    """The time as it is, where it follows the contract or was left blank."""
    if created and not _TIME_PATTERN.fullmatch(created):
        raise LabelError(f"created {_shown(created)} is no time;", "write it as 2026-11-20T20:31:05Z.")
    return created


def _finding(name: str, value: Any) -> FindingLabel:
    field = f"findings.{_plain(name)}"
    if not isinstance(value, dict):
        raise LabelError(f"{field} must be an object with a state.")
    if unknown := sorted(set(value) - {"state", "slices_mm", "confidence"}):
        raise LabelError(
            f"unknown field {field}.{_plain(unknown[0])};", "fields: state, slices_mm, confidence."
        )
    ranges = value.get("slices_mm")
    pairs: tuple[tuple[float, float], ...] | None = None
    if ranges is not None:
        if not isinstance(ranges, list) or not all(_is_pair(pair) for pair in ranges):
            raise LabelError(f"{field}.slices_mm must be a list of [low, high] in mm.")
        pairs = tuple((_number(low), _number(high)) for low, high in ranges)
    try:
        return FindingLabel(
            state=_require(value, "state", str),
            slices_mm=pairs,
            confidence=_optional(value, "confidence", str, ""),
        )
    except LabelError as error:
        raise LabelError(f"{field}: {error.message}", error.hint) from error


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(mm, (int, float)) and not isinstance(mm, bool) for mm in pair)
    )


def _number(mm: float) -> float:
    """The number as a float; JSON's integers may be too large for one."""
    try:
        return float(mm)
    except OverflowError:
        return math.inf if mm > 0 else -math.inf


def _is_position(mm: float) -> bool:
    return -MAX_MM <= mm <= MAX_MM  # false for nan, too


def _shown(value: object) -> str:
    """The beginning of a value from a caller, as Python writes it."""
    return _cut(repr(value))


def _plain(name: str) -> str:
    """The beginning of a field's name from a caller; half a surrogate pair in it stays printable."""
    return _cut(name.encode("utf-8", "backslashreplace").decode())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _require(data: dict[str, Any], name: str, kind: Any) -> Any:
    if name not in data:
        raise LabelError(f"{name} is missing from the label.")
    return _optional(data, name, kind, None)


def _optional(data: dict[str, Any], name: str, kind: Any, default: Any) -> Any:
    value = data.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise LabelError(f"{name} has the wrong type in the label: {_shown(value)}.")
    return value
