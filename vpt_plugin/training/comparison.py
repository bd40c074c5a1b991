"""Is a new version better than the served one? A paired bootstrap on the same validation studies.

Both versions answer the same studies, and every resample draws the same patients for both: a hard study is
hard for both, which makes their difference far more certain than either figure.

The rules, and what they cost. Few studies cannot prove a small gain: with 12, a rise from 0.85 to 0.90 is
significant one time in a hundred, and a rule that asks for that would serve the first version for ever. A
rule that asks for no more than a higher figure would change half of the time between versions that are equal.
``better``, the default, lies between: a higher figure, and nine of ten resamples in which the new version is
less than 0.01 behind. How often it lets a new version be served, of 500 drawn comparisons each (the served
AUROC is 0.85, and the answers of both are correlated by 0.7 within a state):

==========================  ==========  ==========  ==========  ===========
the new version really has  12 studies  24 studies  60 studies  200 studies
==========================  ==========  ==========  ==========  ===========
AUROC 0.90                  41 %        38 %        63 %        94 %
AUROC 0.85                  18 %        17 %        14 %        16 %
AUROC 0.80                  10 %        5 %         2 %         0 %
AUROC 0.70                  1 %         0 %         0 %         0 %
==========================  ==========  ==========  ==========  ===========

The table holds where the epochs of both versions were chosen on these studies, or of neither. The served one
answers some of them for the first time, while the best epoch of the new one was chosen on them: where that is
so of all studies and the best of 5 epochs was taken, an equal one is served 33 % of the time with 24 studies
and 27 % with 60.

What is not served is kept, and a person who knows more than the validation studies may promote it. Each
comparison looks at the same studies again, so after many the served figure flatters: only a test set that was
never looked at says how good it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import Estimate
from vpt_plugin.training.metrics.bootstrap import RESAMPLES, PatientBootstrap, Resampled, mean_of
from vpt_plugin.training.metrics.definitions import FIGURES

Floats = NDArray[np.float64]

COMPARABLE = ("auroc", "auprc", "brier", "calibration_error", "log_loss")
# Where the interval of the gain reaches this far to either side, a sentence about few studies is in place.
_WIDE = 0.05
# Equal figures may differ in their last bits.
_EQUAL = 1e-12


@dataclass(frozen=True)
class ComparisonRule:
    """When a new version counts as better.

    Attributes:
        name: as a setting writes it.
        meaning: for people.
        must_gain: whether the figure itself has to be higher.
        margin: how far behind it may be in a resample that still speaks for it.
        confidence: share of the resamples that have to speak for it.
    """

    name: str
    meaning: str
    must_gain: bool
    margin: float
    confidence: float


RULES: Mapping[str, ComparisonRule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            ComparisonRule("better", "a higher figure that is not by chance alone", True, 0.01, 0.9),
            ComparisonRule("significant", "the whole 95 % interval of the gain is above 0", True, 0.0, 0.975),
            ComparisonRule("not_worse", "surely at most 0.02 behind, even if not ahead", False, 0.02, 0.95),
        )
    }
)


def comparison_rule(name: str) -> ComparisonRule:
    """The rule of that name.

    Raises:
        ConfigurationError: no such rule; names those there are.
    """
    if name not in RULES:
        choices = "; ".join(f"{rule.name} ({rule.meaning})" for rule in RULES.values())
        raise ConfigurationError(f"unknown comparison rule {name!r};", f"choose from {choices}.")
    return RULES[name]


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same validation studies.

    Attributes:
        rule: by which they were compared.
        figure: of ``COMPARABLE``, mean over the findings.
        findings: how many they are.
        served, candidate: that figure of each version.
        gain: of the candidate over the served version; above 0 it is the better one, whatever the figure.
        share: of the resamples that speak for the candidate, as the rule counts them; nan where none says
            anything.
        undefined: resamples without the figure, for want of a state; they are left out.
        resamples: in all.
        better: whether the candidate is to be served.
    """

    rule: ComparisonRule
    figure: str
    findings: int
    served: Estimate
    candidate: Estimate
    gain: Estimate
    share: float
    undefined: int
    resamples: int
    better: bool

    def sentence(self) -> str:
        """What was found and what follows from it, for a person."""
        said = (
            f"On the same {self.gain.n} validation studies the new version has {self._title()} "
            f"{_in_words(self.candidate)}, the served one {_in_words(self.served)}"
        )
        if math.isnan(self.share):
            return f"{said}. They cannot be compared, so the served version stays."
        return f"{said}: a gain of {_in_words(self.gain, sign='+')}. {self._verdict()}{self._few_studies()}"

    def side_by_side(self, served: str, candidate: str) -> str:
        """Both figures and the gain, under these names and without a verdict."""
        said = (
            f"On the {self.gain.n} studies that both were validated on, {served} has {self._title()} "
            f"{_in_words(self.served)}, {candidate} {_in_words(self.candidate)}"
        )
        if math.isnan(self.share):
            return f"{said}."
        return f"{said}: a gain of {_in_words(self.gain, sign='+')}; {candidate} {self._speaks()}."

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; what is undefined is null."""
        return {**self.figures_json(), "better": self.better, "sentence": self.sentence()}

    def figures_json(self) -> dict[str, Any]:
        """The figures as JSON, without a verdict."""
        return {
            "rule": self.rule.name,
            "figure": self.figure,
            "served": self.served.to_json(),
            "candidate": self.candidate.to_json(),
            "gain": self.gain.to_json(),
            "share": None if math.isnan(self.share) else self.share,
            "undefined_resamples": self.undefined,
            "resamples": self.resamples,
        }

    def _verdict(self) -> str:
        if self.rule.must_gain and self.gain.value <= _EQUAL:
            return "It is not better, so the served version stays."
        speaks = f"it {self._speaks()}"
        asked = f"the rule {self.rule.name!r} asks for {100 * self.rule.confidence:g} %"
        if self.better:
            return f"That is enough to be served: {speaks}, and {asked}."
        return f"That may be chance: {speaks}, and {asked}. The served version stays."

    def _title(self) -> str:
        title = FIGURES[self.figure].title
        return title if self.findings == 1 else f"{title} (mean of {self.findings} findings)"

    def _speaks(self) -> str:
        """In how many resamples the candidate does what the rule asks for."""
        does = f"stays less than {self.rule.margin:g} behind" if self.rule.margin else "is ahead"
        return f"{does} in {math.floor(100 * self.share)} % of {self.resamples - self.undefined} resamples"

    def _few_studies(self) -> str:
        low, high = self.gain.ci95
        if math.isnan(low) or not low <= 0 <= high or (high - low) / 2 < _WIDE:
            return ""
        return (
            f" {self.gain.n} studies say little: a gain below about {(high - low) / 2:.2f} cannot be told "
            "from chance."
        )


def compare(
    states: ArrayLike,
    served: ArrayLike,
    candidate: ArrayLike,
    patients: Sequence[str],
    *,
    rule: str = "better",
    figure: str = "auroc",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare a candidate with the served version on the same validation studies.

    Neither may have been trained on any of them: a served version that was would win for having seen them.

    Args:
        states: (studies, findings), 1 present, 0 absent, nan not known.
        served, candidate: (studies, findings), the probabilities of each version, in the same order.
        patients: (studies,), whose each is; the study's name where the patient is not known.
        rule: of ``RULES``.
        figure: of ``COMPARABLE``.
        resamples, seed: of the bootstrap.

    Raises:
        ConfigurationError: no such rule or figure.
        ValueError: shapes that differ, or no probability.
    """
    chosen = comparison_rule(rule)
    if figure not in COMPARABLE:
        raise ConfigurationError(
            f"versions cannot be compared by {figure!r};", f"choose from {', '.join(COMPARABLE)}."
        )
    known = np.asarray(states, dtype=np.float64)
    answers = [np.asarray(each, dtype=np.float64) for each in (served, candidate)]
    if known.ndim != 2 or any(each.shape != known.shape for each in answers) or len(patients) != len(known):
        raise ValueError(
            f"states {known.shape}, both versions' probabilities {answers[0].shape} and {answers[1].shape} "
            f"must be of one shape (studies, findings), and each study of one of {len(patients)} patients"
        )
    bootstrap = PatientBootstrap(patients, resamples=resamples, seed=seed)
    before, after = (_mean_over_findings(bootstrap, figure, known, each) for each in answers)
    gain = after.minus(before) if FIGURES[figure].higher_is_better else before.minus(after)
    share = gain.share_above(-chosen.margin)
    return Comparison(
        rule=chosen,
        figure=figure,
        findings=known.shape[1],
        served=before.estimate(),
        candidate=after.estimate(),
        gain=gain.estimate(),
        share=share,
        undefined=gain.undefined,
        resamples=resamples,
        better=share >= chosen.confidence and (gain.value > _EQUAL or not chosen.must_gain),
    )


def _mean_over_findings(
    bootstrap: PatientBootstrap, figure: str, states: Floats, probabilities: Floats
) -> Resampled:
    """The figure as a mean over findings; nan where one of them has none."""
    found = [
        bootstrap.figures((figure,), states[:, index], probabilities[:, index], rows=rows)[figure]
        for index, rows in enumerate(~np.isnan(states).T)
    ]
    return mean_of(found, int((~np.isnan(states)).any(axis=1).sum()))


def _in_words(estimate: Estimate, sign: str = "") -> str:
    """``0.912 [0.850, 0.961]``; an undefined interval is [n/a, n/a]."""
    if math.isnan(estimate.value):
        return "n/a"
    low, high = estimate.ci95
    interval = " [n/a, n/a]" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f}{interval}"
