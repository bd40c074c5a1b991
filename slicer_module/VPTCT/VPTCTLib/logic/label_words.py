"""Labels in the words that a reader would use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from ..contract.label import FindingLabel, StudyLabel
from ..i18n import tr as _
from ..kept_label import KeptLabel
from .draft import Draft, Range
from .words import finding_in_words, when_in_words


def state_in_words(state: str) -> str:
    """A state of a finding."""
    return {"present": _("present"), "absent": _("absent"), "indeterminate": _("indeterminate")}[state]


def confidence_in_words(confidence: str) -> str:
    """How sure a reader is."""
    return {
        "certain": _("certain"),
        "probable": _("probable"),
        "possible": _("possible"),
        "": _("not said"),
    }[confidence]


def range_in_words(range_mm: Range) -> str:
    """``z -142.5 to -118.0 mm``, or the one slice ``z -142.5 mm``."""
    # With the minus sign of the evidence strip, as long as a plus sign.
    low, high = (f"{each:.1f}".replace("-", "\u2212") for each in range_mm)
    if low == high:
        return _("z {low} mm").format(low=low)
    return _("z {low} to {high} mm").format(low=low, high=high)


def slices_in_words(count: int) -> str:
    """How many slices."""
    return _("1 slice") if count == 1 else _("{n} slices").format(n=count)


def finding_label_in_words(name: str, said: FindingLabel) -> str:
    """``Pulmonary embolism: present, probable, z -142.5 to -118.0 mm``."""
    parts = [state_in_words(said.state)]
    if said.confidence:
        parts.append(confidence_in_words(said.confidence))
    parts += [range_in_words(each) for each in said.slices_mm or ()]
    return f"{finding_in_words(name)}: {', '.join(parts)}"


def label_in_words(label: StudyLabel) -> str:
    """What a label says, a line per finding, and its comment."""
    lines = [finding_label_in_words(name, said) for name, said in label.findings.items()]
    if label.comment:
        lines.append(f"“{label.comment}”")
    return "\n".join(lines)


def finding_list_in_words(findings: Iterable[str]) -> str:
    """``Effusion, Emphysema``."""
    return ", ".join(finding_in_words(name) for name in findings)


def missing_in_words(draft: Draft, findings: Sequence[str]) -> str:
    """Why a form cannot be submitted yet; "" where it can.

    Args:
        draft: what it says.
        findings: of the task.
    """
    if draft.is_kept:
        return _("This label was submitted; change something to submit a newer one.")
    if unconfirmed := [name for name in findings if draft.finding(name).from_network]:
        return _("Confirm or change what the network filled in: {findings}.").format(
            findings=finding_list_in_words(unconfirmed)
        )
    if all(draft.finding(name).state is None for name in findings):
        return _("Say whether it is present, absent or indeterminate: {findings}.").format(
            findings=finding_list_in_words(findings)
        )
    return ""


def labels_in_words(count: int) -> str:
    """How many labels wait."""
    return _("1 label waits") if count == 1 else _("{n} labels wait").format(n=count)


def host_in_words(address: str) -> str:
    """``https://ct.example.org/reading`` as ``ct.example.org``."""
    return urlsplit(address).netloc or address


def kept_label_in_words(kept: KeptLabel) -> str:
    """A label on this computer: of which study, since when, and what it says."""
    return _("{study}, {when}\n{label}").format(
        study=kept.study, when=when_in_words(kept.label.created), label=label_in_words(kept.label)
    )
