"""Draft: what a reader says so far about a study for one task; its text in the scene is ``vptct.draft/1``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..contract.fields import Fields
from ..contract.label import CONFIDENCES, STATES, FindingLabel, StudyLabel
from ..errors import ContractError

SCHEMA = "vptct.draft/1"
PRESENT = "present"
FROM, TO = "from", "to"

# Patient z, low and high, in mm.
Range = tuple[float, float]


@dataclass(frozen=True)
class FindingDraft:
    """What is said so far about one finding.

    Attributes:
        state: one of ``STATES``; None where nothing is said.
        ranges_mm: patient-z ranges (low, high), in the order in which they were marked. They stay while
            another state is tried on, and count only for what is present.
        confidence: one of ``CONFIDENCES``.
        from_network: the state was filled in from the network's answer, and nobody has confirmed it.
        first_end: ``FROM`` or ``TO`` while the last range has only this end; "" once it has both.
    """

    state: str | None = None
    ranges_mm: tuple[Range, ...] = ()
    confidence: str = ""
    from_network: bool = False
    first_end: str = ""

    def said(self, state: str | None) -> FindingDraft:
        """The reader says it, or takes it back with None."""
        return replace(self, state=state, from_network=False, first_end="")

    def marked(self, end: str, z_mm: float) -> FindingDraft:
        """The reader marks one end of a range, or moves the end that was marked last. It is then present.

        Args:
            end: ``FROM`` or ``TO``; which of the two comes first, or lies higher, does not matter.
            z_mm: of the slice.
        """
        here = (z_mm, z_mm)
        ranges, first_end = self.ranges_mm, self.first_end
        if not first_end:
            ranges, first_end = (*ranges, here), end
        elif first_end == end:
            ranges = (*ranges[:-1], here)
        else:
            # The end that was marked first is both ends of the range so far.
            ranges, first_end = _joined((*ranges[:-1], _ordered(ranges[-1][0], z_mm))), ""
        return replace(self.said(PRESENT), ranges_mm=ranges, first_end=first_end)

    def with_ranges(self, ranges_mm: Sequence[Range]) -> FindingDraft:
        """The reader changed them by hand. Where there is one, it is present."""
        changed = replace(
            self,
            ranges_mm=_joined([_ordered(*each) for each in ranges_mm]),
            first_end="",
            from_network=False,
        )
        return replace(changed, state=PRESENT) if changed.ranges_mm else changed

    @property
    def shown_mm(self) -> tuple[Range, ...]:
        """The ranges without a first end that lies in one of the others, where it says nothing yet."""
        *others, last = self.ranges_mm or ((0.0, 0.0),)
        is_inside = any(low <= last[0] <= high for low, high in others)
        return tuple(others) if self.first_end and is_inside else self.ranges_mm

    def to_label(self) -> FindingLabel | None:
        """As it is sent, ranges from feet to head, those that overlap as one; None where nothing is said."""
        if self.state is None:
            return None
        ranges = _merged(self.ranges_mm) if self.state == PRESENT else ()
        return FindingLabel(self.state, ranges or None, self.confidence)


@dataclass(frozen=True)
class Draft:
    """What is said so far about a study for one task.

    Attributes:
        findings: by name; those of which nothing is known are left out.
        comment: free text.
        seconds_spent: on it, with the study on screen.
        seen: the network's answer that the reader has seen, see ``Result.suggestion``; {} for none.
        is_kept: it was submitted, and nothing was changed since.
    """

    findings: Mapping[str, FindingDraft] = field(default_factory=lambda: MappingProxyType({}))
    comment: str = ""
    seconds_spent: float = 0.0
    seen: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    is_kept: bool = False

    def finding(self, name: str) -> FindingDraft:
        """What is said about one finding."""
        return self.findings.get(name, FindingDraft())

    def with_finding(self, name: str, finding: FindingDraft) -> Draft:
        """The same with another word about one finding, which is not submitted yet."""
        return replace(self, findings={**self.findings, name: finding}, is_kept=False)

    def confirmed(self) -> Draft:
        """The reader says all that was filled in from the network's answer, too."""
        return replace(
            self, findings={name: replace(each, from_network=False) for name, each in self.findings.items()}
        )

    def filled_in(self, decisions: Mapping[str, str | None]) -> Draft:
        """With the network's decisions by finding, only where the reader has said nothing."""
        findings = dict(self.findings)
        for name, state in decisions.items():
            said = self.finding(name)
            if state is not None and (said.state is None or said.from_network):
                findings[name] = FindingDraft(state, from_network=True)
        return replace(self, findings=findings)

    def after(self, taken: Draft) -> Draft:
        """What becomes of it when a label is safe that was made of ``taken``: the time counts from there."""
        same = replace(self, seconds_spent=taken.seconds_spent) == taken
        left = 0.0 if same else max(0.0, self.seconds_spent - taken.seconds_spent)
        return replace(self, seconds_spent=left, is_kept=same)

    @property
    def is_touched(self) -> bool:
        """Whether the reader has said something that was not submitted."""
        said = any(each.state is not None and not each.from_network for each in self.findings.values())
        return not self.is_kept and (said or bool(self.comment.strip()))


@dataclass(frozen=True)
class TakenDraft:
    """What the form said when a label was made of it.

    Attributes:
        volume: that it is about.
        task: the name of the task.
        draft: what it said.
    """

    volume: Any
    task: str
    draft: Draft


def draft_of(label: StudyLabel, seen: Mapping[str, Any]) -> Draft:
    """A draft that says what a label says.

    Args:
        label: where it begins.
        seen: the network's answer that the reader of the draft has seen.
    """
    findings = {
        name: FindingDraft(each.state, each.slices_mm or (), each.confidence)
        for name, each in label.findings.items()
    }
    return Draft(findings, label.comment, seen=seen)


def draft_to_text(draft: Draft) -> str:
    """For the scene."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "findings": {
                name: {
                    "state": each.state,
                    "ranges_mm": [list(pair) for pair in each.ranges_mm],
                    "confidence": each.confidence,
                    "from_network": each.from_network,
                    "first_end": each.first_end,
                }
                for name, each in draft.findings.items()
            },
            "comment": draft.comment,
            "seconds_spent": round(draft.seconds_spent, 1),
            "seen": dict(draft.seen),
            "is_kept": draft.is_kept,
        }
    )


def draft_from_text(text: str) -> Draft:
    """From the scene.

    Raises:
        ValueError: it is not one of ours, or of another version of this module.
    """
    try:
        fields = Fields.of_schema(json.loads(text), SCHEMA)
        return Draft(
            findings=fields.named("findings", _finding),
            comment=fields.text("comment"),
            seconds_spent=fields.number("seconds_spent"),
            seen=fields.inner("seen").data,
            is_kept=fields.flag("is_kept"),
        )
    except ContractError as error:
        raise ValueError(str(error)) from error


def _finding(fields: Fields) -> FindingDraft:
    finding = FindingDraft(
        state=fields.maybe(fields.text, "state"),
        ranges_mm=fields.pairs("ranges_mm"),
        confidence=fields.text("confidence"),
        from_network=fields.flag("from_network"),
        first_end=fields.text("first_end"),
    )
    if finding.state not in (None, *STATES) or finding.confidence not in CONFIDENCES:
        raise ValueError(f"{finding.state!r}, {finding.confidence!r}")
    return finding


def _ordered(one_mm: float, other_mm: float) -> Range:
    return (one_mm, other_mm) if one_mm <= other_mm else (other_mm, one_mm)


def _joined(ranges_mm: Sequence[Range]) -> tuple[Range, ...]:
    """Those that overlap as one, in the order in which the first of each was marked."""
    merged = _merged(ranges_mm)
    first = [min(i for i, (low, _) in enumerate(ranges_mm) if each[0] <= low <= each[1]) for each in merged]
    return tuple(each for _, each in sorted(zip(first, merged)))


def _merged(ranges_mm: Sequence[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for low, high in sorted(ranges_mm):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)
