"""The predictor around a classifier whose answer can be computed in one's head.

The HU window runs from 0 to 255, so that a voxel's level is its HU. The classifier's logit for the first
finding is the clip's mean HU, for the second its negative.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.errors import (
    CancelledError,
    ClipShapeError,
    ConfigurationError,
    DeviceMemoryError,
    TooFewSlicesError,
    UnsuitableStudyError,
    WeightsError,
)
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.batch_size import MAX_CLIPS_PER_BATCH, clips_that_fit
from vpt_plugin.inference.fitness import ANSWERED_ANYWAY
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS, ShapeRule
from vpt_plugin.tasks import ClipRule, HUWindow, ReadingTask

TASK = ReadingTask(
    name="brightness",
    title="Brightness",
    findings=("bright", "dark"),
    hu_window=HUWindow(centre=127.5, width=255),
    clips=ClipRule(length_slices=4, stride_slices=3),
)
NO_LUNGS = "no lungs were found in this study: it does not show a chest"
CARD = ModelCard("brightness", "mean", ("bright", "dark"), "none", clip_slices=4, version=7)


class MeanClassifier(nn.Module):
    """Features and logits are the clip's mean HU and its negative; keeps the shapes it was shown."""

    spec = replace(
        MODELS["tiny"], name="mean", clip_slices=4, resize_px=8, crop_px=6, shape_rule=ShapeRule(min_pixels=6)
    )
    findings = ("bright", "dark")

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.head = nn.Identity()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(clips.shape))
        mean = 255 * clips.mean(dim=(1, 2, 3, 4))
        return torch.stack([mean, -mean], dim=1)


def volume(levels: list[int], **changes: Any) -> Volume:
    """A slice of 8 x 8 pixels per level, 2.5 mm apart, the first at z = -100 mm."""
    hu = np.repeat(np.array(levels, dtype=np.int16), 64).reshape(-1, 8, 8)
    plain = Volume(
        hu=hu,
        spacing_mm=(2.5, 1.0, 1.0),
        origin_mm=(0.0, 0.0, -100.0),
        direction=np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]),
        study="made-up",
    )
    return replace(plain, **changes)


def predictor(classifier: nn.Module | None = None, **changes: Any) -> Predictor:
    arguments: dict[str, Any] = {"task": TASK, "card": CARD, "device": "cpu", "precision": "float32"}
    # The volumes here are a few slices of one grey, so that answers can be had by hand.
    arguments["unsuitable"] = "warn"
    return Predictor(classifier or MeanClassifier(), **{**arguments, **changes})  # type: ignore[arg-type]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_clips_are_cut_scaled_answered_and_aggregated_as_the_task_says() -> None:
    # Clips of 4 with stride 3 on 6 slices: 0..3 with mean 0 and, moved back to the end, 2..5 with mean 1.
    bright, dark = predictor().predict(volume([0, 0, 0, 0, 2, 2])).findings
    assert [(c.first_slice, c.last_slice, c.z_mm) for c in bright.clips] == [
        (0, 3, (-100.0, -92.5)),
        (2, 5, (-95.0, -87.5)),
    ]
    assert [c.probability for c in bright.clips] == pytest.approx([0.5, sigmoid(1)], abs=1e-6)
    assert [c.probability for c in dark.clips] == pytest.approx([0.5, sigmoid(-1)], abs=1e-6)
    assert bright.probability == pytest.approx(sigmoid(1), abs=1e-6)
    assert dark.probability == pytest.approx(0.5, abs=1e-6)
    # Slices 4 and 5 are seen by the brighter clip alone; the middle of two is the second, at -100 + 5 x 2.5.
    assert bright.key_slice_mm == -87.5
    # Slices 0 and 1 are seen by the darker clip alone.
    assert dark.key_slice_mm == -97.5


def test_the_offset_is_subtracted_after_scaling() -> None:
    shifted = replace(TASK, offset=2 / 255)
    bright = predictor(task=shifted).predict(volume([3, 3, 3, 3])).findings[0]
    assert bright.probability == pytest.approx(sigmoid(1), abs=1e-6)


def test_the_mean_over_clips_when_the_task_asks_for_it() -> None:
    averaging = replace(TASK, aggregation="mean")
    bright = predictor(task=averaging).predict(volume([0, 0, 0, 0, 2, 2])).findings[0]
    assert bright.probability == pytest.approx((0.5 + sigmoid(1)) / 2, abs=1e-6)


def test_temperature_divides_the_logits_and_thresholds_come_from_the_card() -> None:
    card = replace(CARD, temperature=2.0, thresholds={"bright": 0.7})
    bright, dark = predictor(card=card).predict(volume([1, 1, 1, 1])).findings
    assert bright.probability == pytest.approx(sigmoid(0.5), abs=1e-6)  # 0.62
    assert (bright.threshold, bright.decision) == (0.7, "absent")
    assert (dark.threshold, dark.decision) == (0.5, "absent")
    assert predictor().predict(volume([1, 1, 1, 1])).findings[0].decision == "present"


def test_the_clips_cover_every_slice_from_end_to_end() -> None:
    clips = predictor().predict(volume(list(range(23)))).findings[0].clips
    seen = {index for clip in clips for index in range(clip.first_slice, clip.last_slice + 1)}
    assert seen == set(range(23))
    assert [clip.first_slice for clip in clips] == sorted(clip.first_slice for clip in clips)


def test_a_study_shorter_than_a_clip_is_filled_up_with_air() -> None:
    # Air is below this window, so it is 0: the mean of 4, 4, 0, 0.
    bright = predictor().predict(volume([4, 4])).findings[0]
    assert bright.probability == pytest.approx(sigmoid(2), abs=1e-6)
    assert [(c.first_slice, c.last_slice, c.z_mm) for c in bright.clips] == [(0, 1, (-100.0, -97.5))]


def test_fewer_slices_than_half_a_clip_are_refused() -> None:
    with pytest.raises(
        TooFewSlicesError, match="made-up: it has 1 slices; mean sees 4 at once and needs at least 2"
    ):
        predictor().predict(volume([4]))


def test_the_network_sees_the_centre_crop_one_clip_at_a_time_on_the_cpu() -> None:
    classifier = MeanClassifier()
    predictor(classifier).predict(volume([0] * 10))
    assert classifier.shapes == [(1, 1, 4, 6, 6)] * 3


@pytest.mark.parametrize("clips_per_batch", [1, 2, 5, 100])
def test_the_answer_does_not_depend_on_the_batch_size(clips_per_batch: int) -> None:
    study = volume([(7 * i) % 4 for i in range(40)])
    expected = predictor().predict(study).findings
    found = predictor(clips_per_batch=clips_per_batch).predict(study).findings
    for one, other in zip(expected, found, strict=True):
        assert [c.probability for c in other.clips] == pytest.approx(
            [c.probability for c in one.clips], abs=1e-5
        )
        assert other.key_slice_mm == one.key_slice_mm


MPS_IS_FULL = RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB, max allowed: 9.07 GB).")


class ForgetfulClassifier(MeanClassifier):
    """Has memory for so many clips and no more."""

    def __init__(self, clips: int, error: Exception | None = None) -> None:
        super().__init__()
        self.clips = clips
        self.error = error or torch.cuda.OutOfMemoryError()

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > self.clips:
            raise self.error
        return super().features(clips)


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError(), MPS_IS_FULL])
def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(error: Exception) -> None:
    classifier = ForgetfulClassifier(clips=2, error=error)
    study = volume([(7 * i) % 4 for i in range(40)])  # 13 clips
    found = predictor(classifier, clips_per_batch=8).predict(study)
    assert [shape[0] for shape in classifier.shapes] == [2, 2, 2, 2, 2, 2, 1]
    assert found.findings == predictor().predict(study).findings


def test_one_clip_that_does_not_fit_is_an_error_with_a_way_out() -> None:
    with pytest.raises(DeviceMemoryError, match=r"not even one clip fits .* of cpu\. End other"):
        predictor(ForgetfulClassifier(clips=0)).predict(volume([0] * 10))


def test_another_error_of_the_network_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="device-side assert"):
        predictor(ForgetfulClassifier(clips=0, error=RuntimeError("device-side assert"))).predict(
            volume([0] * 10)
        )


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), MPS_IS_FULL])
def test_a_network_or_a_study_that_does_not_fit_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def is_full(*_: Any, **__: Any) -> torch.Tensor:
        raise error

    ready = predictor()
    monkeypatch.setattr(torch.Tensor, "to", is_full)
    with pytest.raises(DeviceMemoryError, match=r"the study does not fit into .* of cpu\. End other"):
        ready.predict(volume([0] * 10))
    monkeypatch.setattr(MeanClassifier, "to", is_full)
    with pytest.raises(DeviceMemoryError, match=r"the network does not fit into .* of cpu\. End other"):
        predictor()


@pytest.mark.parametrize(
    ("free", "per_clip", "clips"), [(1000, 100, 8), (1000, 5000, 1), (10**9, 1, MAX_CLIPS_PER_BATCH)]
)
def test_a_batch_takes_four_fifths_of_the_free_memory(free: int, per_clip: int, clips: int) -> None:
    assert clips_that_fit(free, per_clip) == clips


def test_progress_is_told_after_every_batch() -> None:
    told: list[tuple[int, int]] = []
    predictor(clips_per_batch=2).predict(volume([0] * 13), progress=lambda *now: told.append(now))
    assert told == [(2, 4), (4, 4)]


def test_cancelling_stops_before_the_next_batch() -> None:
    classifier = MeanClassifier()
    with pytest.raises(CancelledError):
        predictor(classifier).predict(volume([0] * 40), cancelled=lambda: len(classifier.shapes) == 3)
    assert len(classifier.shapes) == 3


def test_weights_that_give_no_number_never_answer() -> None:
    broken = MeanClassifier()
    broken.features = lambda clips: torch.full((len(clips), 2), math.nan)  # type: ignore[method-assign]
    with pytest.raises(WeightsError, match="brightness/mean version 7 gave what is no number"):
        predictor(broken).predict(volume([0] * 10))


def test_far_away_logits_are_sure_and_not_an_overflow() -> None:
    extreme = MeanClassifier()
    extreme.features = lambda clips: torch.tensor([[5000.0, -5000.0]] * len(clips))  # type: ignore[method-assign]
    bright, dark = predictor(extreme).predict(volume([0] * 10)).findings
    assert (bright.probability, dark.probability) == (1.0, 0.0)


def test_a_model_of_phantoms_says_so_and_what_the_reader_noted_and_doubted_is_passed_on() -> None:
    provenance = Provenance(kind="dicom", notes=("series 3 was chosen",), warnings=("left may be right",))
    noted = volume([0] * 10, provenance=provenance)
    answer = predictor(card=replace(CARD, synthetic=True)).predict(noted)
    assert answer.warnings == (
        ANSWERED_ANYWAY,
        NO_LUNGS,
        "this model was trained on synthetic phantoms only: for demonstration, never for patients",
        "left may be right",
    )
    assert answer.notes == ("series 3 was chosen",)
    assert answer.to_json()["vptct"]["warnings"] == [*answer.warnings, *answer.notes]


def test_a_study_outside_the_ranges_of_the_training_is_warned_about() -> None:
    card = replace(CARD, ranges={"slice_spacing_mm": (0.6, 1.5)})
    assert predictor(card=card).predict(volume([0] * 10)).warnings == (
        ANSWERED_ANYWAY,
        NO_LUNGS,
        "slice spacing 2.5 mm is outside what this model was trained on (0.6 to 1.5 mm)",
    )


def test_a_figure_of_the_patient_outside_the_training_is_told_and_makes_no_study_doubtful() -> None:
    card = replace(CARD, ranges={"slice_spacing_mm": (2.0, 3.0), "p95_hu": (50.0, 100.0)})
    answer = predictor(card=card).predict(volume([0] * 10))
    told = "attenuation of the brightest 5 % (bone, contrast) 0 HU is outside what this model was trained on"
    assert answer.warnings == (ANSWERED_ANYWAY, NO_LUNGS, f"{told} (50 to 100 HU)")
    assert answer.suitability is not None
    assert [check.name for check in answer.suitability.graver] == ["lungs"]


def test_a_study_for_which_an_answer_would_mean_nothing_gets_none_unless_it_is_asked_for() -> None:
    network = MeanClassifier()
    refusing = predictor(network, unsuitable="refuse")
    with pytest.raises(UnsuitableStudyError, match=f"made-up: {NO_LUNGS}. Give a CT of the chest"):
        refusing.predict(volume([0] * 10))
    assert network.shapes == []
    assert refusing.predict(volume([0] * 10), unsuitable="warn").warnings == (ANSWERED_ANYWAY, NO_LUNGS)
    with pytest.raises(UnsuitableStudyError):
        predictor().predict(volume([0] * 10), unsuitable="refuse")
    with pytest.raises(ConfigurationError, match="'maybe'; choose from refuse, warn"):
        predictor(unsuitable="maybe")


def test_clips_of_another_length_than_in_training_are_warned_about() -> None:
    warnings = predictor(card=replace(CARD, clip_slices=32)).predict(volume([0] * 10)).warnings
    assert warnings == (
        ANSWERED_ANYWAY,
        NO_LUNGS,
        "clips of 4 slices are not what this model was trained on (32 slices)",
    )


def test_seconds_add_up() -> None:
    seconds = predictor().predict(volume([0] * 10), read_seconds=2.0).seconds
    assert list(seconds) == ["read", "prepare", "network", "total"]
    assert seconds["total"] == pytest.approx(2.0 + seconds["prepare"] + seconds["network"])


def test_several_threads_get_the_same_answers_as_one() -> None:
    shared = predictor()
    studies = [volume([level] * 30) for level in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda study: shared.predict(study).findings, studies * 3))
    assert found == [shared.predict(study).findings for study in studies] * 3


def test_a_classifier_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="answers for bright, dark, the task lungs asks for nodule"):
        predictor(task=replace(TASK, name="lungs", findings=("nodule",)))


def test_a_clip_that_the_network_cannot_take_is_refused_before_any_study_is_read() -> None:
    classifier = MeanClassifier()
    classifier.spec = replace(classifier.spec, shape_rule=ShapeRule(only=(32, 224, 224)))
    with pytest.raises(ClipShapeError, match="mean cannot take a clip of 4 slices of 6 x 6 pixels"):
        predictor(classifier)


def test_scoring_prepared_slices_says_what_predict_says_and_gives_the_features_before_the_head() -> None:
    study = volume([0, 40, -40, 200, 2, 2, 90])
    ready = predictor()
    said = ready.predict(study)
    prepared = prepare_slices(study, TASK.hu_window, pixels=8)
    scored = ready.score(prepared, study="made-up")
    clips = [[clip.probability for clip in finding.clips] for finding in said.findings]
    np.testing.assert_array_equal(scored.probabilities.T, clips)
    assert scored.features.shape == (len(clips[0]), 2)
    np.testing.assert_array_equal(scored.features[:, 0], -scored.features[:, 1])


def test_too_few_slices_are_told_in_scoring_too() -> None:
    with pytest.raises(TooFewSlicesError, match="made-up: it has 1 slices"):
        predictor().score(np.zeros((1, 8, 8), dtype=np.uint8), study="made-up")
