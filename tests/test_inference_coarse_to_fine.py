"""Coarse to fine: which clips are looked at, what the answer is made of, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.coarse_to_fine import CoarseToFine, EveryClip, SeenClips, choose_look
from vpt_plugin.inference.conformal import with_decisions
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS, ShapeRule
from vpt_plugin.models.conformal_record import ConformalRecord, ConformalScores
from vpt_plugin.tasks import TASKS, ClipRule, HUWindow, ReadingTask

NODULE = TASKS["nodule"]
SWIN = MODELS["swin_t"]
CARD = ModelCard("nodule", "swin_t", ("lung_nodule",), "none", 32)
WAY = CoarseToFine(length=8, stride=2, thresholds=(0.5, 0.9))


def answers(values: NDArray[np.float64]) -> Any:
    """What is said of a clip is written down at its first slice, (slices, findings)."""

    def answer(starts: Sequence[int]) -> NDArray[np.float64]:
        return values[list(starts)]

    return answer


@st.composite
def studies(draw: st.DrawFn) -> NDArray[np.float64]:
    slices = draw(st.integers(1, 90))
    return np.random.default_rng(draw(st.integers(0, 9999))).random((slices, 2))


@given(studies(), st.integers(2, 12), st.data())
def test_every_slice_is_in_a_clip_and_no_clip_is_looked_at_twice(
    values: NDArray[np.float64], length: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, length - 1))
    slices = len(values)
    seen = CoarseToFine(length, stride, (0.5, 0.9)).look(slices, answers(values))
    assert seen.starts == sorted(set(seen.starts))
    covered = {each for start in seen.starts for each in range(start, start + length)}
    assert covered >= set(range(slices))
    assert seen.starts[-1] + length == max(slices, length)
    assert np.array_equal(seen.probabilities, values[seen.starts])
    fine = clip_starts(slices, length=length, stride=stride)
    assert set(seen.starts) <= {*fine, *clip_starts(slices, length=length, stride=length)}


@given(studies(), st.sampled_from(["max", "top3_mean"]))
def test_where_coarse_clips_are_among_the_fine_ones_the_answer_is_never_above_that_of_all(
    values: NDArray[np.float64], rule: str
) -> None:
    # With fewer than three clips the mean of three is that of all, which more clips may lower.
    slices = len(values)
    looked = WAY.look(slices, answers(values))
    everything = EveryClip(8, 2).look(slices, answers(values))
    assert set(looked.starts) <= set(everything.starts)
    if rule == "max" or len(looked.starts) >= 3:
        few, all_of_them = (study_probability(each.probabilities, rule) for each in (looked, everything))
        assert (few <= all_of_them + 1e-12).all()


@given(st.integers(1, 90), st.integers(1, 7))
def test_looking_around_all_clips_is_looking_at_all_of_them(slices: int, stride: int) -> None:
    coarse = clip_starts(slices, length=8, stride=8)
    everywhere = np.ones((len(coarse), 1), dtype=np.bool_)
    fine = CoarseToFine(8, stride, (0.5,)).finer(slices, coarse, everywhere)
    assert {*coarse, *fine} >= set(clip_starts(slices, length=8, stride=stride))


def test_the_three_highest_of_each_finding_and_those_near_its_threshold_are_looked_around() -> None:
    first = np.array(
        [[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.45, 0.7], [0.65, 0.85], [0.44, 0.6], [0.41, 0.0]]
    )
    chosen = WAY.chosen(first)
    # Of the first finding the three highest are 4, 3 and 5; 6 lies within a tenth of 0.5.
    assert np.flatnonzero(chosen[:, 0]).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(chosen[:, 1]).tolist() == [3, 4, 5]


def test_around_a_clip_is_up_to_half_a_clip_before_and_behind() -> None:
    chosen = np.array([[False], [False], [True], [False], [False]])
    assert WAY.finer(40, [0, 8, 16, 24, 32], chosen) == [12, 14, 18, 20]


def test_of_300_slices_22_clips_are_looked_at_instead_of_35() -> None:
    values = np.zeros((300, 1))
    values[[0, 96, 192]] = [[0.9], [0.8], [0.7]]
    seen = CoarseToFine(32, 8, (0.2,)).look(300, answers(values))
    # Ten side by side; of the fine ones two behind the first and two on each side of the others.
    assert len(seen.starts) == 10 + 2 + 4 + 4
    assert len(clip_starts(300, length=32, stride=8)) == 35


class BrightestSlice(nn.Module):
    """The logit is the HU of the brightest slice in the middle half of the clip, less 100."""

    spec = replace(
        MODELS["tiny"],
        name="middle",
        clip_slices=8,
        resize_px=8,
        crop_px=8,
        shape_rule=ShapeRule(min_pixels=8),
    )
    findings = ("bright",)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Identity()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        means = 255 * clips.mean(dim=(1, 3, 4))
        return means[:, 2:6].amax(dim=1, keepdim=True) - 100


BRIGHT = ReadingTask(
    name="bright",
    title="Bright",
    findings=("bright",),
    hu_window=HUWindow(centre=127.5, width=255),
    clips=ClipRule(length_slices=8, stride_slices=2),
)
BRIGHT_CARD = ModelCard("bright", "middle", ("bright",), "none", clip_slices=8)


def bright_at(*places: tuple[int, int]) -> Volume:
    """48 slices, 2 mm apart, with some of them at a HU."""
    hu = np.zeros((48, 8, 8), dtype=np.int16)
    for index, level in places:
        hu[index] = level
    direction = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    return Volume(hu, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction, study="bright")


def predictor(stride: str) -> Predictor:
    network: Any = BrightestSlice()
    return Predictor(
        network, BRIGHT, BRIGHT_CARD, device="cpu", backend="torch", precision="float32", stride=stride,
        unsuitable="warn",  # slices of one grey, so that answers can be had by hand
    )  # fmt: skip


def test_what_lies_between_coarse_clips_is_found_and_shown_in_the_slices_looked_at_closely() -> None:
    # Slice 23 is the last of the clip from 16 and one before the clip from 24: no coarse clip has it in its
    # middle. Slice 19, fainter, is in the middle of the clip from 16, which is therefore looked around.
    volume = bright_at((19, 99), (23, 103))
    (plain,) = predictor("task").predict(volume).findings
    closer = predictor("coarse-to-fine").predict(volume)
    (finding,) = closer.findings
    # A logit of 3, against -1 of the coarse clips.
    assert finding.probability == pytest.approx(1 / (1 + np.exp(-3)))
    assert finding.probability == plain.probability
    assert 2 * 16 <= finding.key_slice_mm <= 2 * 31
    assert len(finding.clips) < len(plain.clips)
    assert (finding.clips[0].first_slice, finding.clips[-1].last_slice) == (0, 47)
    assert closer.notes == (
        "read coarse to fine: clips of 8 slices side by side, and every 2 slices around those that matter; "
        "clips at that stride all along may give another probability",
    )


def test_the_progress_of_both_looks_is_one() -> None:
    told: list[tuple[int, int]] = []
    prediction = predictor("coarse-to-fine").predict(
        bright_at((20, 150)), progress=lambda done, total: told.append((done, total))
    )
    clips = len(prediction.findings[0].clips)
    # Six clips of 8 slices side by side; then how many there are is known.
    assert told[:6] == [(done, 6) for done in range(1, 7)]
    assert told[6:] == [(done, clips) for done in range(7, clips + 1)]


def test_the_task_s_own_way_is_the_default_and_says_nothing() -> None:
    assert choose_look("task", NODULE, SWIN, CARD) == EveryClip(32, 24)
    assert predictor("task").predict(bright_at()).notes == ()


@pytest.mark.parametrize(
    ("stride", "of_task", "fine"),
    [("coarse-to-fine", 16, 16), ("coarse-to-fine", 24, 8), ("coarse-to-fine:12", 24, 12)],
)
def test_the_fine_stride_is_the_task_s_unless_that_is_coarse_or_another_is_given(
    stride: str, of_task: int, fine: int
) -> None:
    task = replace(NODULE, clips=ClipRule(stride_slices=of_task))
    assert choose_look(stride, task, SWIN, CARD) == CoarseToFine(32, fine, (CARD.threshold("lung_nodule"),))


def test_single_slices_have_nothing_between_them() -> None:
    assert choose_look("coarse-to-fine", NODULE, MODELS["resnet18_2d"], CARD) == EveryClip(1, 1)


@pytest.mark.parametrize(
    "stride", ["", "fine", "coarse-to-fine:", "coarse-to-fine:0", "task:8", "coarse-to-fine:x"]
)
def test_an_unknown_stride_is_refused_with_the_choices(stride: str) -> None:
    with pytest.raises(ConfigurationError, match="choose from task, coarse-to-fine, coarse-to-fine:8"):
        choose_look(stride, NODULE, SWIN, CARD)


def test_a_stride_of_a_whole_clip_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not finer than a clip of swin_t, which has 32 slices"):
        choose_look("coarse-to-fine:32", NODULE, SWIN, CARD)


def test_the_mean_of_all_clips_is_refused_because_looking_closer_would_raise_it() -> None:
    # Four clips side by side, 0.8 0 0 0: their mean is 0.2. Four more of 0.8 around the first make it 0.5.
    task = replace(NODULE, aggregation="mean")
    with pytest.raises(ConfigurationError, match="mean of all clips, which every closer look"):
        choose_look("coarse-to-fine", task, SWIN, CARD)


def test_the_slices_looked_at_closely_are_those_of_each_finding_s_own_clips() -> None:
    values = np.full((32, 2), 0.01)
    values[0], values[24] = (0.9, 0.0), (0.0, 0.8)
    seen: SeenClips = CoarseToFine(8, 4, (0.3, 0.3)).look(32, answers(values))
    # Three of four coarse clips each: all but the one that says least, the last and the first.
    assert np.flatnonzero(~seen.closely[0]).tolist() == list(range(24, 32))
    assert np.flatnonzero(~seen.closely[1]).tolist() == list(range(8))


def test_at_an_error_rate_nothing_is_decided_coarse_to_fine() -> None:
    """Whatever the probability: the validation studies were read at the task's own stride."""
    # None of nine without it got so much as 0.1, so that at 10 % absent is ruled out.
    scores = ConformalScores.of([0.1 * n for n in range(1, 10)], [0.01 * n for n in range(1, 10)])
    card = replace(BRIGHT_CARD, conformal=ConformalRecord({"bright": scores}, False, {}))
    decided = []
    for stride in ("task", "coarse-to-fine"):
        answer = predictor(stride).predict(bright_at((23, 103)))
        # A study of one grey is unfit, which would be reason enough.
        (finding,) = with_decisions(replace(answer, card=card, suitability=None), 0.1).findings
        decided.append(finding.conformal.decision if finding.conformal else None)
    assert decided == ["present", "unsure"]
