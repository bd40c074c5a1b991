"""Networks of single slices: how a task is read for them, and what becomes of a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import WeightsNotFoundError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.prediction import Prediction
from vpt_plugin.models.backbones import sum_input_channels
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.spec import ClipNumbers
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS, ClipRule, ReadingTask

SpreadOut = Callable[[Classifier, ReadingTask, Volume], None]
NODULE = TASKS["nodule"]
SMALL = replace(get_model("resnet18_2d"), resize_px=36, crop_px=32)
SINGLE = ClipNumbers(length=1, stride=1, min_positive_slices=1, min_slices=1)
STUDY_SLICES = 21


def noise(seed: int = 0) -> np.ndarray:
    """HU of slices that all differ."""
    rng = np.random.default_rng(seed)
    tones = rng.permutation(np.linspace(-1000, 0, STUDY_SLICES))[:, None, None]
    return (rng.normal(0, 120, size=(STUDY_SLICES, 36, 36)) + tones).astype(np.int16)


def study(hu: np.ndarray) -> Volume:
    direction = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    return Volume(hu, (2.0, 7.0, 7.0), (0.0, 0.0, 0.0), direction, study="noise")


@pytest.fixture(scope="module")
def classifier(spread_out: SpreadOut) -> Classifier:
    fresh = new_classifier(SMALL, NODULE.findings, seed=3)
    spread_out(fresh, NODULE, study(noise()))
    return fresh


def predict(classifier: Classifier, hu: np.ndarray, **settings: Any) -> Prediction:
    card = ModelCard("nodule", classifier.spec.name, NODULE.findings, "none", clip_slices=1)
    arguments = {"device": "cpu", "precision": "float32", **settings}
    # Noise has no lungs.
    return Predictor(classifier, NODULE, card, **arguments).predict(study(hu), unsuitable="warn")


def slice_probabilities(prediction: Prediction) -> list[float]:
    return [clip.probability for clip in prediction.findings[0].clips]


@pytest.mark.parametrize("name", ["resnet18_2d", "resnext101_2d"])
@pytest.mark.parametrize("rule", [ClipRule(), ClipRule(32, 24, 4), ClipRule(8, None, 2), ClipRule(1, 1, 1)])
def test_a_slice_network_sees_one_slice_whatever_the_task_says_of_clips(name: str, rule: ClipRule) -> None:
    assert get_model(name).clip_numbers(rule) == SINGLE


def test_other_networks_take_the_tasks_clips_or_else_their_own() -> None:
    swin, lrcn, rule = get_model("swin_t"), get_model("lrcn"), ClipRule(16, None, 2)
    assert swin.clip_numbers(ClipRule()) == ClipNumbers(32, 24, 4, 16)
    assert swin.clip_numbers(rule) == ClipNumbers(16, 12, 2, 8)
    # Three quarters of 150 slices; a study may have any number of them.
    assert lrcn.clip_numbers(ClipRule()) == ClipNumbers(150, 112, 4, 1)
    assert lrcn.clip_numbers(rule) == ClipNumbers(16, 12, 2, 1)


def test_the_studys_probability_is_the_highest_of_its_slices_each_seen_alone(classifier: Classifier) -> None:
    hu = noise()
    together = predict(classifier, hu)
    alone = [
        slice_probabilities(predict(classifier, hu[number : number + 1]))[0] for number in range(len(hu))
    ]
    assert max(alone) - min(alone) > 0.3
    assert slice_probabilities(together) == pytest.approx(alone, abs=1e-5)
    (finding,) = together.findings
    assert finding.probability == pytest.approx(max(alone), abs=1e-5)
    # 2 mm from slice to slice, the first one at 0.
    assert finding.key_slice_mm == 2.0 * int(np.argmax(alone))
    assert together.clip_disagreement == pytest.approx(float(np.std(alone)), abs=1e-5)


def test_a_result_has_every_slice_once_with_one_z(classifier: Classifier) -> None:
    clips = predict(classifier, noise()).to_json()["vptct"]["findings"][0]["clips"]
    assert [(clip["first_slice"], clip["last_slice"]) for clip in clips] == [
        (n, n) for n in range(STUDY_SLICES)
    ]
    assert [clip["z_mm"] for clip in clips] == [[2.0 * n, 2.0 * n] for n in range(STUDY_SLICES)]


def test_the_order_of_the_slices_does_not_matter_to_the_study(classifier: Classifier) -> None:
    hu = noise()
    order = np.random.default_rng(5).permutation(len(hu))
    straight, shuffled = predict(classifier, hu), predict(classifier, hu[order])
    assert shuffled.findings[0].probability == pytest.approx(straight.findings[0].probability, abs=1e-6)
    moved = np.array(slice_probabilities(straight))[order]
    assert slice_probabilities(shuffled) == pytest.approx(moved.tolist(), abs=1e-5)


@pytest.mark.parametrize("slices_at_once", [1, 2, 100])
def test_how_many_slices_go_together_does_not_change_their_answers(
    classifier: Classifier, slices_at_once: int
) -> None:
    hu = noise()
    by_itself = slice_probabilities(predict(classifier, hu))
    asked = slice_probabilities(predict(classifier, hu, clips_per_batch=slices_at_once))
    assert asked == pytest.approx(by_itself, abs=1e-5)


def test_on_the_cpu_sixteen_slices_go_together() -> None:
    told: list[tuple[int, int]] = []
    card = ModelCard("nodule", SMALL.name, NODULE.findings, "none", clip_slices=1)
    predictor = Predictor(
        new_classifier(SMALL, NODULE.findings), NODULE, card, device="cpu", unsuitable="warn"
    )
    predictor.predict(study(noise()), progress=lambda done, clips: told.append((done, clips)))
    assert told == [(16, 21), (21, 21)]


def test_bfloat16_gives_nearly_the_same_slices(classifier: Classifier) -> None:
    # Half the digits: the order of weights in memory is another one, too, and back again.
    exact = slice_probabilities(predict(classifier, noise()))
    half = predict(classifier, noise(), precision="bfloat16")
    assert slice_probabilities(half) == pytest.approx(exact, abs=0.1)
    assert slice_probabilities(predict(classifier, noise())) == pytest.approx(exact, abs=1e-6)


def test_a_one_channel_stem_of_images_gives_the_answer_of_three_equal_channels() -> None:
    conv = torch.nn.Conv2d(3, 5, kernel_size=7, stride=2, padding=3)
    image = torch.randn(2, 1, 20, 24)
    of_three = conv(image.expand(-1, 3, -1, -1))
    sum_input_channels(conv)
    assert conv.weight.shape == (5, 1, 7, 7)
    torch.testing.assert_close(conv(image), of_three, atol=1e-5, rtol=0)


def test_one_imported_file_starts_both_networks_that_share_it(
    tmp_path: Path,
    save_as_published: Callable[..., Path],
    without_checksum: Callable[[ModelSpec], ModelSpec],
) -> None:
    of_slices, lrcn = (without_checksum(get_model(name)) for name in ("resnext101_2d", "lrcn"))
    folder, source = WeightsFolder(tmp_path / "weights"), of_slices.weights["imagenet"][0]
    with pytest.raises(WeightsNotFoundError, match="vpt weights fetch resnext101_2d`"):
        new_classifier(lrcn, NODULE.findings, pretraining="imagenet", weights=folder)
    entries = of_slices.build().state_dict()
    folder.import_file(source, save_as_published(entries, source.layout, tmp_path / "given.pth"))
    loaded = new_classifier(lrcn, NODULE.findings, pretraining="imagenet", weights=folder)
    kernel = loaded.backbone.encoder.network.layer4[2].conv2.weight
    assert torch.equal(kernel, entries["layer4.2.conv2.weight"])
    torch.testing.assert_close(
        loaded.backbone.encoder.network.conv1.weight, entries["conv1.weight"].sum(dim=1, keepdim=True)
    )
