"""What a network's answer says, in words that a reader can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..contract.evidence import ABSENT, DOUBTFUL, FITS, PRESENT, UNFIT, UNSURE, Conformal
from ..contract.info import ModelInfo
from ..contract.result import FindingResult, Result
from ..i18n import tr as _
from .words import finding_in_words, pretraining_in_words, when_in_words

if TYPE_CHECKING:
    from ..scene.results import KeptResult

_SIGNS = {FITS: "✓", DOUBTFUL: "⚠", UNFIT: "✗"}
_UNKNOWN = "?"


@dataclass(frozen=True)
class FindingInWords:
    """One row of the findings.

    Attributes:
        name: of the finding.
        title: the same for people.
        probability: that the study has it.
        threshold: from which on it is called present; None where there is none.
        state: ``PRESENT`` or ``ABSENT``; "" where the network does not decide, or is unsure.
        decision: in words.
        sure: what is said of it at the site's error rate; where that is unsure why, and what the threshold
            says; "" for nothing.
        why: in a sentence; "" for nothing.
    """

    name: str
    title: str
    probability: float
    threshold: float | None
    state: str
    decision: str
    sure: str = ""
    why: str = ""


def finding_row(finding: FindingResult, *, unfit: bool = False) -> FindingInWords:
    """What is said of one finding. That it is unsure stands before what the threshold alone would say.

    Args:
        finding: of the answer.
        unfit: the study is none for the network.
    """
    decision, sure = _decision(finding), ""
    by_threshold = _("By the threshold alone: {decision}").format(decision=decision)
    conformal = finding.conformal
    if finding.is_unsure and conformal is not None:
        decision, sure = _at_error_rate(conformal), f"{conformal.why} {by_threshold}".strip()
    elif unfit:
        decision, sure = _("unsure: this network is not for this study"), by_threshold
    elif conformal is not None:
        sure = _at_error_rate(conformal)
    settled = None if unfit else finding.settled
    return FindingInWords(
        name=finding.name,
        title=finding_in_words(finding.name),
        probability=finding.probability,
        threshold=finding.threshold,
        state=settled if settled in (PRESENT, ABSENT) else "",
        decision=decision,
        sure=_sentence(sure) if sure else "",
        why=conformal.why if conformal is not None else "",
    )


def uncertainty_line(result: Result) -> str:
    """How sure the network is."""
    line = _("Uncertainty {entropy:.2f} of 1; parts of the study differ by {spread:.2f}").format(
        entropy=result.entropy, spread=result.clip_disagreement
    )
    if result.version_disagreement is None:
        return line
    return _("{line}; versions differ by {spread:.2f}").format(line=line, spread=result.version_disagreement)


def uncertainty_tip() -> str:
    """What the figures of ``uncertainty_line`` mean."""
    return _(
        "Uncertainty is the entropy of the probability in bits: 0 where the network is sure, 1 where it "
        "could as well toss a coin. Parts are the short runs of slices that the network sees at once; their "
        "probabilities differ by so much (standard deviation). A finding in one place makes them differ, too."
    )


def suitability_line(result: Result) -> str:
    """Whether the study is one for the network; "" where the server does not tell."""
    if result.suitability is None:
        return ""
    lines = {
        FITS: _("Nothing speaks against this network for this study."),
        DOUBTFUL: _("It is doubtful whether this network is for this study: see above."),
        UNFIT: _("This network is not for this study: do not rely on the answer."),
    }
    return lines.get(result.suitability.verdict, "")


def suitability_tip(result: Result) -> str:
    """All that was looked at before the answer, a line each; "" where the server does not tell."""
    if result.suitability is None:
        return ""
    return "\n".join(
        f"{_SIGNS.get(each.verdict, _UNKNOWN)} {_sentence(each.sentence)}"
        for each in result.suitability.checks
    )


def note_beside(kept: KeptResult | None, model: ModelInfo | None, address: str) -> str:
    """That another version, or another server, would answer now; "" for neither.

    Args:
        kept: the answer; None for none.
        model: the network as it is served now; None for none.
        address: of the server that would answer.
    """
    if kept is None or model is None:
        return ""
    if kept.server != address:
        return _("This answer is of the server {address}.").format(address=kept.server)
    if model.version is None or model.version == kept.result.model.version:
        return ""
    return _("Version {now} answers now; this answer is of version {then}.").format(
        now=model.version, then=kept.result.model.version
    )


def warnings_of(result: Result, note: str) -> tuple[str, ...]:
    """All that the reader must know before the numbers.

    Args:
        result: the answer.
        note: what is to be said beside it, such as that another version would answer now; "" for nothing.
    """
    return tuple(_sentence(each) for each in (*result.warnings, note) if each)


def source_lines(result: Result, model: ModelInfo | None, when: str) -> tuple[str, ...]:
    """Who answered, when, and how well it does.

    Args:
        result: the answer.
        model: the network as the server serves it now; None where it does not.
        when: in UTC, ``2026-11-20T20:31:05Z``; "" where that is not known.
    """
    said = result.model
    who = _("{network}, version {version}").format(
        network=model.title if model is not None else said.name, version=said.version
    )
    auroc = said.validation_auroc
    return (
        who if not when else _("{who}, answered {when}").format(who=who, when=when_in_words(when)),
        _("Validation AUROC {auroc}; {calibrated}").format(
            auroc=_("n/a") if auroc is None else auroc,
            calibrated=_("calibrated") if said.calibrated else _("not calibrated"),
        ),
    )


def source_tip(result: Result) -> str:
    """How the network that answered came to be, and what its figures mean."""
    said = result.model
    return "\n".join(
        (
            _("Trained on {n} studies; pretraining: {pretraining}.").format(
                n=said.trained_on, pretraining=pretraining_in_words(said.pretraining)
            ),
            _("AUROC on studies it was not trained on, with its 95 % interval: 1 is perfect, 0.5 is chance."),
            _("Calibrated: of ten studies with a probability of 0.8, eight have it.")
            if said.calibrated
            else _("Not calibrated: of ten studies with a probability of 0.8, eight need not have it."),
        )
    )


def _decision(finding: FindingResult) -> str:
    if finding.threshold is None or finding.decision not in (PRESENT, ABSENT):
        return _("{probability:.2f}; there is no threshold: decide yourself").format(
            probability=finding.probability
        )
    probability, threshold = _told_apart(finding.probability, finding.threshold)
    if finding.decision == ABSENT:
        words = _("absent: {probability}, below the threshold {threshold}")
    elif finding.probability > finding.threshold:
        words = _("present: {probability}, above the threshold {threshold}")
    else:
        words = _("present: {probability}, at the threshold {threshold}")
    return words.format(probability=probability, threshold=threshold)


def _at_error_rate(conformal: Conformal) -> str:
    decisions = {PRESENT: _("present"), ABSENT: _("absent"), UNSURE: _("unsure")}
    decision = decisions.get(conformal.decision, conformal.decision)
    words = _("{decision} at an error rate of {rate:.3g} %")
    return words.format(decision=decision, rate=100 * conformal.error_rate)


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Both with as many digits as it takes to see which is the larger; two where they are the same."""
    digits = next((n for n in (2, 3, 4) if f"{one:.{n}f}" != f"{other:.{n}f}"), 4 if one != other else 2)
    return f"{one:.{digits}f}", f"{other:.{digits}f}"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
