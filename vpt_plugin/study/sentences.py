"""Differences as sentences, for a reader who may know no statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable

from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.rows import Kind, dataset_in_words, in_figures, percent_in_words
from vpt_plugin.words import in_a_sentence, number_in_words

# What a 3D and a 2D network were pretrained on where the arm is "video".
_SEEN: dict[Kind, str] = {"3d": "video", "2d": "image"}
_ROUNDED = "Gains are of means before they are rounded, so a last digit may not be that of the rounded ones."
_MANY = (
    "Each interval holds for one difference alone: where no pretraining makes any difference, one in twenty "
    "still leaves out 0."
)
_TRAININGS = "Intervals know the chance of the test patients alone; that every training differs comes on top."


def how_to_read(differences: Iterable[Difference]) -> list[str]:
    """What has to be known of any differences, before one draws conclusions from them."""
    if all(math.isnan(each.gain.ci95[0]) for each in differences):
        return [_ROUNDED]
    return [_ROUNDED, _MANY, _TRAININGS]


def place_in_words(difference: Difference) -> str:
    """``RSNA-PE, 10 % of the training side``."""
    return (
        f"{dataset_in_words(difference.dataset)}, {percent_in_words(difference.percent)} of the training side"
    )


def sentence(difference: Difference) -> str:
    """What was compared and what came out, without the place.

    For example: "Video pretraining lifts the mean AUROC of seven 3D networks from 0.573 to 0.719: +0.146."
    """
    if math.isnan(difference.gain.value):
        why = f" ({difference.note})" if difference.note else ""
        return f"{_compared(difference)}: not known{why}."
    said = _best(difference) if difference.claim == "best_3d_over_best_2d" else _change(difference)
    return f"{said}: {_gain(difference)}.{_chance(difference)}"


def _compared(difference: Difference) -> str:
    if difference.kind == "":
        return f"The best 3D against the best 2D network {_with(difference)}"
    return f"What {_subject(difference.claim, difference.kind)} does to {_auroc(difference)}"


def _change(difference: Difference) -> str:
    subject = _subject(difference.claim, difference.kind or "3d")
    gain = round(difference.gain.value, 3)
    verb = "lifts" if gain > 0 else "lowers" if gain < 0 else "does not change"
    before, after = difference.worse.value, difference.better.value
    return f"{subject[0].upper()}{subject[1:]} {verb} {_auroc(difference)} from {before:.3f} to {after:.3f}"


def _best(difference: Difference) -> str:
    gain = round(difference.gain.value, 3)
    stands = "is ahead of" if gain > 0 else "is behind" if gain < 0 else "is as good as"
    first, second = difference.titles
    finding = f" for {in_a_sentence(difference.finding)}" if difference.finding else ""
    return (
        f"The best 3D network {_with(difference)}, {first} with an AUROC{finding} of "
        f"{difference.better.value:.3f}, {stands} the best 2D one, {second} with {difference.worse.value:.3f}"
    )


def _with(difference: Difference) -> str:
    arm = difference.arms[0]
    return "without pretraining" if arm == "none" else f"with {ARMS[arm]} pretraining"


def _subject(claim: str, kind: Kind) -> str:
    seen = _SEEN[kind]
    return {
        "video_gain": f"{seen} pretraining",
        "gain_over_ct": f"{seen} instead of CT pretraining",
        "ct_after_video": f"CT pretraining after {seen} pretraining",
        "both_over_ct": f"{seen} pretraining before CT pretraining",
        "ct_gain": "CT pretraining",
    }[claim]


def _auroc(difference: Difference) -> str:
    finding = f" for {in_a_sentence(difference.finding)}" if difference.finding else ""
    if not difference.is_mean:
        return f"the AUROC{finding} of {difference.titles[0]}"
    networks = f"{number_in_words(len(difference.networks))} {difference.kind.upper()} networks"
    return f"the mean AUROC{finding} of {networks}"


def _gain(difference: Difference) -> str:
    """``+0.146 [+0.098, +0.241]``; without the interval where it is not known."""
    if math.isnan(difference.gain.ci95[0]):
        return f"{difference.gain.value:+.3f}"
    return in_figures(difference.gain, sign="+")


def _chance(difference: Difference) -> str:
    """How sure that is, of the chance of the test patients alone."""
    low, high = difference.gain.ci95
    if math.isnan(low):
        return ""
    share = math.floor(100 * difference.share)
    said = f" The gain is above 0 in {share} % of the resamples of {difference.patients:,} patients"
    return f"{said}, so it may be chance." if low <= 0 <= high else f"{said}."
