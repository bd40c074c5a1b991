"""The predictor around a real network: batch size and precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS, ReadingTask

SpreadOut = Callable[[Classifier, ReadingTask, Volume], None]

TASK, SPEC = TASKS["nodule"], MODELS["tiny"]
CARD = ModelCard(TASK.name, SPEC.name, TASK.findings, "none", SPEC.clip_slices)


@pytest.fixture(scope="module")
def study() -> Volume:
    """60 slices, 2 mm apart, of noise that gets brighter towards the head: 10 clips that differ."""
    hu = np.random.default_rng(0).normal(-800, 100, size=(60, 48, 48))
    hu += np.linspace(0, 700, 60)[:, None, None]
    direction = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    return Volume(hu.astype(np.int16), (2.0, 7.0, 7.0), (0.0, 0.0, 0.0), direction, study="noise")


@pytest.fixture(scope="module")
def classifier(study: Volume, spread_out: SpreadOut) -> Classifier:
    fresh = new_classifier(SPEC, TASK.findings, seed=3)
    spread_out(fresh, TASK, study)
    return fresh


@pytest.fixture
def answer(study: Volume, classifier: Classifier) -> Callable[..., list[float]]:
    """The clips' probabilities."""

    def predict(**arguments: Any) -> list[float]:
        arguments["unsuitable"] = "warn"  # noise has no lungs
        predictor = Predictor(copy.deepcopy(classifier), TASK, CARD, device="cpu", **arguments)
        return [clip.probability for clip in predictor.predict(study).findings[0].clips]

    return predict


def test_the_clips_differ_so_that_a_mistake_would_show(answer: Callable[..., list[float]]) -> None:
    probabilities = answer(precision="float32")
    assert max(probabilities) - min(probabilities) > 0.3


@pytest.mark.parametrize("clips_per_batch", [2, 3, 100])
def test_in_float32_the_batch_size_changes_probabilities_by_less_than_a_hundred_thousandth(
    answer: Callable[..., list[float]], clips_per_batch: int
) -> None:
    one_by_one = answer(precision="float32")
    assert answer(precision="float32", clips_per_batch=clips_per_batch) == pytest.approx(one_by_one, abs=1e-5)


def test_bfloat16_changes_probabilities_by_less_than_two_hundredths(
    answer: Callable[..., list[float]],
) -> None:
    assert answer(precision="bfloat16") == pytest.approx(answer(precision="float32"), abs=0.02)
