"""The predictor around a real network: batch size and precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import FindingPrediction, Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS

TASK, SPEC = TASKS["nodule"], MODELS["tiny"]
CARD = ModelCard(TASK.name, SPEC.name, TASK.findings, "none", SPEC.clip_slices)


@pytest.fixture(scope="module")
def study() -> Volume:
    """60 slices, 2 mm apart, of noise that gets brighter towards the head: 10 clips that differ."""
    hu = np.random.default_rng(0).normal(-800, 100, size=(60, 48, 48))
    hu += np.linspace(0, 700, 60)[:, None, None]
    direction = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    return Volume(hu.astype(np.int16), (2.0, 7.0, 7.0), (0.0, 0.0, 0.0), direction, study="noise")


def answer(study: Volume, **arguments: object) -> FindingPrediction:
    """The tiny network's, from a fixed seed; its head is made steeper so that the clips differ."""
    classifier = new_classifier(SPEC, TASK.findings, seed=3)
    with torch.no_grad():
        classifier.head.weight.mul_(50)
    predictor = Predictor(classifier, TASK, CARD, device="cpu", **arguments)  # type: ignore[arg-type]
    return predictor.predict(study).findings[0]


@pytest.fixture(scope="module")
def one_by_one(study: Volume) -> FindingPrediction:
    return answer(study, precision="float32")


def test_the_clips_differ_so_that_a_mistake_would_show(one_by_one: FindingPrediction) -> None:
    probabilities = [clip.probability for clip in one_by_one.clips]
    assert len(probabilities) == 10
    assert max(probabilities) - min(probabilities) > 0.05


@pytest.mark.parametrize("clips_per_batch", [2, 5])
def test_in_float32_the_batch_size_changes_probabilities_by_less_than_a_hundred_thousandth(
    study: Volume, one_by_one: FindingPrediction, clips_per_batch: int
) -> None:
    found = answer(study, precision="float32", clips_per_batch=clips_per_batch)
    assert [clip.probability for clip in found.clips] == pytest.approx(
        [clip.probability for clip in one_by_one.clips], abs=1e-5
    )
    assert found.key_slice_mm == one_by_one.key_slice_mm


def test_bfloat16_changes_probabilities_by_less_than_two_hundredths(
    study: Volume, one_by_one: FindingPrediction
) -> None:
    found = answer(study, precision="bfloat16")
    assert [clip.probability for clip in found.clips] == pytest.approx(
        [clip.probability for clip in one_by_one.clips], abs=0.02
    )
