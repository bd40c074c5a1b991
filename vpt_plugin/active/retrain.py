"""When to train again: enough labels that no version knows, or readers who contradict the served version.

The second reason needs care, for readers are offered the studies of which a version is least sure, and there
it is wrong more often than on its validation without having become any worse. So what readers say is compared
with what the version itself expected of these very studies: a calibrated 0.7 for present is wrong three times
in ten. Where it was surer of itself on its validation than it should have been, it is expected to be so here
(indirect standardisation, as in a standardised mortality ratio). The count of contradicted answers is
then tested one-sided against the sum of such trials, which with equal probabilities is the binomial test.

The functions here see numbers only; ``retrain_watch.RetrainWatch`` collects them from the stores.

Sources: Poisson, Recherches sur la probabilité des jugements, 1837, on the sum of unequal trials (the
Poisson binomial distribution); Breslow & Day, Statistical Methods in Cancer Research II, 1987, on the ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.words import count_in_words, in_a_sentence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RetrainRule:
    """When a training is due.

    Attributes:
        every: new labels, present or absent, that make one due.
        min_each: labels of each state of each finding before the first training.
        window: of the newest labels, how many are compared with what the version said.
        min_compared: with fewer of them nothing is concluded.
        rarer_than: contradictions that chance brings about less often than that make a training due. The
            findings share it; asked anew with every label, it raises a false alarm somewhat more often.

    Raises:
        ConfigurationError: a number that makes no sense.
    """

    every: int = 20
    min_each: int = 5
    window: int = 50
    min_compared: int = 10
    rarer_than: float = 0.01

    def __post_init__(self) -> None:
        for name in ("every", "min_each", "window", "min_compared"):
            if getattr(self, name) < 1:
                raise ConfigurationError(
                    f"the rule of retraining has {name} {getattr(self, name)};", "give at least 1."
                )
        if not 0 < self.rarer_than < 1:
            raise ConfigurationError(
                f"the rule of retraining has rarer_than {self.rarer_than};", "give a number between 0 and 1."
            )


@dataclass(frozen=True)
class AnsweredFinding:
    """What a version said of one finding before readers did, and how it was validated; arrays of one length.

    Attributes:
        finding: its name.
        threshold: from which probability on it counts as present.
        probabilities: (studies,), said when the study was offered; the newest label last.
        states: (studies,), what the reader said: 1 present, 0 absent.
        validation_probabilities: (validation studies,), said honestly.
        validation_states: (validation studies,), 1 or 0.
    """

    finding: str
    threshold: float
    probabilities: Floats
    states: Floats
    validation_probabilities: Floats
    validation_states: Floats


@dataclass(frozen=True)
class Contradiction:
    """How often readers contradicted a version, beside how often it expected that.

    Attributes:
        finding: its name.
        compared: labels.
        contradicted: of them say something else than the version did.
        expected: by its own probabilities, as far as its validation bears them out.
        chance: of so many contradictions or more, were the version as good as it expects to be.
    """

    finding: str
    compared: int
    contradicted: int
    expected: float
    chance: float


@dataclass(frozen=True)
class RetrainEvidence:
    """What the rule looks at, of one task and network.

    Attributes:
        name: ``nodule_tiny``.
        version: the one that is served; 0 for none.
        new_labels: present or absent, of studies that neither this version nor a later candidate knows.
        labels: studies per finding and state, all of them.
        answered: the new labels whose studies this version had answered before.
        tried_with: how many new labels there were when a training was tried that came to no version, failed
            or stopped; 0 for none.
    """

    name: str
    version: int
    new_labels: int
    labels: Mapping[str, Mapping[str, int]]
    answered: Sequence[AnsweredFinding] = ()
    tried_with: int = 0


@dataclass(frozen=True)
class RetrainAdvice:
    """Whether to train again.

    Attributes:
        due: whether a training is due.
        why: in a sentence, either way.
        new_labels: that no version knows yet.
        every: how many make a training due.
        version: the one that is served; 0 for none.
        contradictions: per finding, of which enough labels could be compared.
    """

    due: bool
    why: str
    new_labels: int
    every: int
    version: int
    contradictions: Mapping[str, Contradiction] = field(default_factory=lambda: MappingProxyType({}))

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "due": self.due,
            "why": self.why,
            "new_labels": self.new_labels,
            "every": self.every,
            "version": self.version or None,
            "contradictions": {name: dict(vars(each)) for name, each in self.contradictions.items()},
        }


def retrain_due(rule: RetrainRule, evidence: RetrainEvidence) -> RetrainAdvice:
    """Whether a training of this task and network is due, and why."""
    found = {
        each.finding: contradiction(each, rule.window)
        for each in evidence.answered
        if len(each.states[-rule.window :]) >= rule.min_compared
    }
    due, why = _decision(rule, evidence, found)
    return RetrainAdvice(due, why, evidence.new_labels, rule.every, evidence.version, found)


def _decision(
    rule: RetrainRule, evidence: RetrainEvidence, found: Mapping[str, Contradiction]
) -> tuple[bool, str]:
    new, tried = evidence.new_labels, evidence.tried_with
    if not evidence.version and (lacking := _lacking(rule, evidence)):
        return False, lacking
    if new - tried >= rule.every:
        return True, (
            f"There are {new} labels that {_served(evidence)} does not know; a training is due every "
            f"{rule.every}."
            if evidence.version
            else f"There are {new} labels, and {evidence.name} was never trained."
        )
    if tried:
        return False, (
            f"The last training came to no version; the next one is due after "
            f"{count_in_words(rule.every - new + tried, 'more label')}."
        )
    # For all findings together, and for as many windows as pass before so many labels make one due anyway.
    limit = rule.rarer_than / (max(1, len(found)) * max(1.0, rule.every / rule.window))
    for each in sorted(found.values(), key=lambda each: each.chance):
        if each.chance < limit:
            return True, (
                f"Of the last {each.compared} new labels on {in_a_sentence(each.finding)}, "
                f"{each.contradicted} contradict {_served(evidence)}, which expected {each.expected:.1f}: "
                f"that is chance alone {_one_in(each.chance)}."
            )
    return False, (
        f"{count_in_words(new, 'new label')} so far; the next training of {evidence.name} is due after "
        f"{rule.every}."
    )


def _served(evidence: RetrainEvidence) -> str:
    return f"version {evidence.version} of {evidence.name}"


def _lacking(rule: RetrainRule, evidence: RetrainEvidence) -> str:
    """What is missing before a first training; "" for nothing."""
    for finding, states in evidence.labels.items():
        for state in ("present", "absent"):
            if states[state] < rule.min_each:
                return (
                    f"{evidence.name} was never trained: it takes at least {rule.min_each} labels with "
                    f"{in_a_sentence(finding)} {state}, and {states[state]} of them are there."
                )
    return ""


def contradiction(answered: AnsweredFinding, window: int) -> Contradiction:
    """How often readers contradicted a version on their newest labels, and how often it expected that.

    Args:
        answered: what it said and what they did.
        window: how many of the newest labels count.
    """
    probabilities, states = answered.probabilities[-window:], answered.states[-window:]
    doubts = expected_errors(probabilities, answered.threshold)
    doubts = np.minimum(doubts * overconfidence(answered), 1.0)
    wrong = int(np.sum((probabilities >= answered.threshold) != (states == 1)))
    return Contradiction(
        answered.finding, len(states), wrong, float(doubts.sum()), chance_of_at_least(wrong, doubts)
    )


def expected_errors(probabilities: ArrayLike, threshold: float) -> Floats:
    """How probable it is, by its own word, that a version is wrong about each study, (studies,)."""
    said = np.asarray(probabilities, dtype=np.float64)
    return np.where(said >= threshold, 1 - said, said)


def overconfidence(answered: AnsweredFinding) -> float:
    """How many times more often than it expected a version was wrong on its validation; at least 1.

    One study is added on both sides, lest a handful of validation studies decide. A version that was right
    more often than it expected is not held to that: few studies can be lucky.
    """
    said = answered.validation_probabilities
    wrong = np.sum((said >= answered.threshold) != (answered.validation_states == 1))
    return float(max(1.0, (wrong + 1) / (expected_errors(said, answered.threshold).sum() + 1)))


def chance_of_at_least(count: int, probabilities: ArrayLike) -> float:
    """The chance that at least ``count`` of independent trials happen, each with a probability of its own."""
    happened = np.ones(1)
    for each in np.asarray(probabilities, dtype=np.float64):
        happened = np.convolve(happened, (1 - each, each))
    return float(min(1.0, happened[count:].sum()))


def _one_in(chance: float) -> str:
    """``1 time in 250``; very small ones are no more exact than that."""
    return f"1 time in {round(1 / max(chance, 1e-6)):,}".replace(",", " ")
