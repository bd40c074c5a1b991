"""Present, absent, or unsure: split conformal decisions at an error rate that the site chooses.

A state is ruled out where the study's probability is rarer among validation studies of that state than the
error rate; where one state is left, that is the decision, and where both are left or none, it is unsure. If
the study and the validation studies of its state are exchangeable, at most that share of the studies that
have the finding is called absent, and at most that share of those without it present; a network that is worth
little is unsure more often. Exchangeable means: from the same scanners, patients and readers, in no telling
order, and of no part in making the network. The last is never quite so: the validation studies chose its
epoch and its temperature, and with folds other networks answered them. Nor are they this site's where a
version was imported, or in no telling order where active learning proposed them. docs/evidence.md has what
that costs.

Sources: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005; class by class: Vovk, ACML
2012 (Mondrian, or label-conditional); Angelopoulos & Bates, Found Trends Mach Learn 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.suitability.verdict import UNFIT
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.prediction import FindingPrediction, Prediction
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.conformal_record import ConformalScores

DEFAULT_ERROR_RATE = 0.1
# Of every second study being wrong a reader has nothing; below one in a thousand no validation set decides.
LEAST_ERROR_RATE, LARGEST_ERROR_RATE = 0.001, 0.5
PRESENT, ABSENT, UNSURE = "present", "absent", "unsure"
_OTHER_CLIPS = (
    "It was read coarse to fine: other clips were looked at than of the validation studies, so its "
    "probability cannot be held against theirs; the task's own stride can decide."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ConformalDecision:
    """What can be said of one finding at an error rate.

    Attributes:
        decision: ``present``, ``absent`` or ``unsure``.
        error_rate: of the exchangeable studies of either state, so many at most are decided wrongly.
        p_present: p-value of the study having the finding: how rare so low a probability is among such.
        p_absent: p-value of it not having the finding: how rare so high a probability is among such.
        why: a sentence, and after it what else is to be known of the decision.
    """

    decision: str
    error_rate: float
    p_present: float
    p_absent: float
    why: str

    def unsure(self, why: str) -> ConformalDecision:
        """Nothing is decided, for a reason that the p-values do not know."""
        return replace(self, decision=UNSURE, why=why)

    def with_sentences(self, *sentences: str) -> ConformalDecision:
        """More to know of it; empty sentences are left out."""
        return replace(self, why=" ".join(filter(None, (self.why, *sentences))))

    def to_json(self) -> dict[str, Any]:
        """As in ``vptct.result/1``."""
        return dict(vars(self))


def check_error_rate(error_rate: float) -> float:
    """The error rate, if it is one.

    Raises:
        ConfigurationError: it is not from 0.001 to 0.5.
    """
    try:
        rate = float(error_rate)
    except OverflowError:
        # A whole number of hundreds of digits.
        rate = math.inf
    # Written so that nan is refused.
    if not LEAST_ERROR_RATE <= rate <= LARGEST_ERROR_RATE:
        raise ConfigurationError(
            f"the error rate {rate:g} is none;",
            f"give a share of studies of at least {LEAST_ERROR_RATE:g} and at most {LARGEST_ERROR_RATE:g}, "
            "such as 0.1 or 0.05.",
        )
    return rate


def decide_finding(
    card: ModelCard, finding: str, probability: float, error_rate: float = DEFAULT_ERROR_RATE
) -> ConformalDecision | None:
    """The decision about a finding of a study; None where the version has no record to decide by.

    Args:
        card: of the version that answered.
        finding: its name.
        probability: the study's, calibrated.
        error_rate: see ``ConformalDecision``.

    Raises:
        ConfigurationError: as of ``check_error_rate``.
    """
    check_error_rate(error_rate)
    if card.conformal is None or finding not in card.conformal.scores:
        return None
    decided = decide(card.conformal.scores[finding], probability, error_rate)
    # Unsure is no error, so nothing is to be said of how many there are.
    return decided if decided.decision == UNSURE else decided.with_sentences(card.conformal.reservation)


def decide(scores: ConformalScores, probability: float, error_rate: float) -> ConformalDecision:
    """The decision about a study of this probability."""
    (present,), (absent,) = p_values(scores.present, scores.absent, [probability])
    p_present, p_absent = float(present), float(absent)
    left = (p_present > error_rate, p_absent > error_rate)
    decision = {(True, False): PRESENT, (False, True): ABSENT}.get(left, UNSURE)
    as_low = round(p_present * (1 + len(scores.present))) - 1
    as_high = round(p_absent * (1 + len(scores.absent))) - 1
    with_it = f"{_of(as_low, scores.present)} with it got so low a probability"
    without_it = f"{_of(as_high, scores.absent)} without it got so high a probability"
    at = f"at an error rate of {100 * error_rate:g} %"
    why = {
        (True, False): f"{_only(without_it)}, which rules out {at} that it is absent.",
        (False, True): f"{_only(with_it)}, which rules out {at} that it is present.",
        (False, False): f"It is like neither {at}: {with_it}, {without_it}.",
        (True, True): _too_few(scores, error_rate)
        or f"Neither state can be ruled out {at}: {with_it}, {without_it}.",
    }[left]
    return ConformalDecision(decision, error_rate, p_present, p_absent, why)


def with_decisions(prediction: Prediction, error_rate: float = DEFAULT_ERROR_RATE) -> Prediction:
    """The same answer with the decisions at this error rate.

    They take nothing but the probabilities, so an answer that was kept is decided anew at every site's rate.
    About a study that is unfit, or of which other clips were looked at than of the validation studies,
    nothing is decided: it is not one of those that the rate is meant for.

    Raises:
        ConfigurationError: as of ``check_error_rate``.
    """
    findings = (
        replace(each, conformal=_decided(prediction, each, error_rate)) for each in prediction.findings
    )
    return replace(prediction, findings=tuple(findings))


def _decided(
    prediction: Prediction, finding: FindingPrediction, error_rate: float
) -> ConformalDecision | None:
    """The decision about one finding of an answer, with all that is to be known of it."""
    decided = decide_finding(prediction.card, finding.name, finding.probability, error_rate)
    if decided is None:
        return None
    suitability = prediction.suitability
    if suitability is not None and suitability.verdict == UNFIT:
        return decided.unsure(f"The study is unfit for an answer: {suitability.warnings[0]}.")
    if not prediction.task_clips:
        return decided.unsure(_OTHER_CLIPS)
    # Where no threshold was found, there is nothing to contradict.
    if decided.decision in (UNSURE, finding.decision) or math.isnan(finding.threshold):
        return decided
    return decided.with_sentences(
        f"The threshold alone says {finding.decision}: {finding.probability:.3f} is "
        f"{'at or above' if finding.decision == PRESENT else 'below'} {finding.threshold:.3f}."
    )


def p_values(
    present: Sequence[float] | Floats,
    absent: Sequence[float] | Floats,
    probabilities: Sequence[float] | Floats,
) -> tuple[Floats, Floats]:
    """How rare such probabilities are among studies that have a finding, and among those that do not.

    The study itself counts as one of them: where it is, its rank among them is any with equal chance. Equal
    probabilities count as rarer than the study's own, so that ties never break the promise.

    Args:
        present, absent: of studies of either state, ascending.
        probabilities: (studies,), of those that are asked about.

    Returns:
        The p-values (studies,) of having it, whose rare ones are low, and of not having it.
    """
    asked = np.asarray(probabilities, dtype=np.float64)
    as_low = np.searchsorted(np.asarray(present, dtype=np.float64), asked, side="right")
    as_high = len(absent) - np.searchsorted(np.asarray(absent, dtype=np.float64), asked, side="left")
    return (1 + as_low) / (1 + len(present)), (1 + as_high) / (1 + len(absent))


def least_studies(error_rate: float) -> int:
    """So many validation studies of a state it takes before anything can be ruled out of that state.

    Args:
        error_rate: as ``check_error_rate`` lets through.
    """
    # The rate is the nearest number to 1/20, not 1/20: without the margin that might take 20 and not 19.
    studies = math.ceil(1 / error_rate - 1e-9) - 1
    # The margin itself may have been one too few.
    return studies + (1 / (1 + studies) > error_rate)


def _of(number: int, scores: tuple[float, ...]) -> str:
    return f"{number or 'none'} of {len(scores)} validation studies"


def _only(said: str) -> str:
    return said.capitalize() if said.startswith("none") else f"Only {said}"


def _too_few(scores: ConformalScores, error_rate: float) -> str:
    """Why nothing could be decided, where the reason is how few studies there are; "" where it is not."""
    least = least_studies(error_rate)
    told = [
        f"{len(found)} {state} it"
        for state, found in (("with", scores.present), ("without", scores.absent))
        if len(found) < least
    ]
    if not told:
        return ""
    return (
        f"There are too few validation studies, {' and '.join(told)}: an error rate of "
        f"{100 * error_rate:g} % takes {least} of a state before it can be ruled out."
    )
