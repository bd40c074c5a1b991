"""The torch engine against the classifier it is made from, and what is refused in choosing one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.engines import Engine, check_backend, make_engine
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.precision import computed_with
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.tasks import TASKS

TASK = replace(TASKS["nodule"], offset=0.25)


def card_of(name: str) -> ModelCard:
    return ModelCard(TASK.name, name, TASK.findings, "none", MODELS[name].clip_slices)


def engine_of(classifier: Classifier, precision: str = "float32", **settings: Any) -> Engine:
    card = card_of(classifier.spec.name)
    return make_engine(classifier, TASK, card, device="cpu", precision=precision, **settings)


def slices_of(number: int, pixels: int) -> torch.Tensor:
    """Noise that gets brighter towards the head."""
    noise = np.random.default_rng(0).normal(60, 30, size=(number, pixels, pixels))
    noise += np.linspace(0, 120, number)[:, None, None]
    return torch.from_numpy(noise.clip(0, 255).astype(np.uint8))


@torch.inference_mode()
def plainly(classifier: Classifier, slices: torch.Tensor, starts: list[int], length: int) -> torch.Tensor:
    """Logits as the classifier itself gives them, clip by clip, in float32."""
    seen = [scale_clips(slices[start : start + length][None, None], TASK.offset) for start in starts]
    return torch.cat([classifier(clip) for clip in seen]).double()


def small(name: str) -> Classifier:
    """One of the networks for slices of 64 x 64 and clips of 8, with random weights."""
    spec = replace(MODELS[name], clip_slices=8, resize_px=64, crop_px=64)
    return new_classifier(spec, TASK.findings, seed=3).eval().requires_grad_(False)


def train(classifier: Classifier) -> None:
    """Teach it bright cubes, so that a clip that holds one gets a logit far above that of one without."""
    classifier.train().requires_grad_(True)
    draw = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    states = torch.tensor([[1.0], [0.0]] * 4)
    for _ in range(40):
        seen = torch.normal(0.0, 0.1, (8, 1, 8, 64, 64), generator=draw)
        seen[::2, :, 2:6, 20:30, 20:30] += 0.4
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(classifier(seen), states).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        positive, negative = classifier.eval()(seen)[:2]
    assert float(positive) > 1 > -1 > float(negative)


@pytest.mark.parametrize("name", ["tiny", "slow_r50", "swin_t"])
def test_the_fast_way_says_what_the_classifier_says(name: str) -> None:
    classifier, slices = small(name), slices_of(22, 64)
    if name == "tiny":
        train(classifier)
    length = classifier.spec.clip_numbers(TASK.clips).length
    starts = list(clip_starts(22, length=length, stride=6))
    plain = plainly(classifier, slices, starts, length)
    exact, _ = engine_of(classifier).answer(slices, starts)
    torch.testing.assert_close(exact, plain, atol=1e-4, rtol=0)
    half, _ = engine_of(classifier, "bfloat16").answer(slices, starts)
    answers = [study_probability(torch.sigmoid(each).numpy(), "max") for each in (plain, exact, half)]
    assert answers[1] == pytest.approx(answers[0], abs=1e-4)
    assert answers[2] == pytest.approx(answers[0], abs=0.01)


def test_float32_on_cuda_is_computed_without_tf32_and_the_process_keeps_its_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    engine: Any = engine_of(small("tiny"))
    engine.device = torch.device("cuda")
    seen = []
    engine._features = lambda slices, starts: (
        seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        or torch.zeros(1, engine._classifier.head.in_features)
    )
    engine.answer(slices_of(32, 64), [0])
    assert seen == [(False, False)]
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_classifier_that_was_passed_can_be_trained_on_as_before(precision: str) -> None:
    classifier = new_classifier(MODELS["tiny"], TASK.findings, seed=3).train()
    before = copy.deepcopy(classifier.state_dict())
    engine_of(classifier, precision).answer(slices_of(16, 64), [0])
    assert all(module.training for module in classifier.modules())
    assert all(each.requires_grad and each.is_contiguous() for each in classifier.parameters())
    after = classifier.state_dict()
    assert list(after) == list(before)
    assert all(
        torch.equal(after[name], each) and after[name].dtype == each.dtype for name, each in before.items()
    )


def test_warming_up_changes_no_answer() -> None:
    cold, warm = (engine_of(small("slow_r50")) for _ in range(2))
    warm.warm_up()
    slices = slices_of(20, 64)
    for one, other in zip(cold.answer(slices, [0, 6, 12]), warm.answer(slices, [0, 6, 12]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_network_that_folding_would_change_is_left_unfolded_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vpt_plugin.inference.engines import torch_ready

    def wrong(network: Any) -> int:
        network.backbone.network.stem[0].weight.mul_(1.01)
        return 8

    classifier = small("tiny")
    monkeypatch.setattr(torch_ready, "fold_batch_norm", wrong)
    slices = slices_of(32, 64)
    length = classifier.spec.clip_numbers(TASK.clips).length
    said, _ = engine_of(classifier).answer(slices, [0])
    torch.testing.assert_close(said, plainly(classifier, slices, [0], length), atol=1e-5, rtol=0)
    assert "tiny: folding changes features by" in caplog.text


def test_unknown_backends_and_precisions_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="unknown backend 'onnx'; choose from auto, torch, openvino"):
        check_backend("onnx")
    with pytest.raises(ConfigurationError, match="unknown precision 'half'; choose from auto, float32, bfl"):
        engine_of(small("tiny"), "half")
    monkeypatch.setenv("VPTCT_BACKEND", "tensorrt")
    with pytest.raises(ConfigurationError, match="unknown VPTCT_BACKEND 'tensorrt'; choose from auto, torch"):
        check_backend("auto")
    assert check_backend("torch") == "torch"


def test_auto_answers_in_bfloat16_only_what_was_checked_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpt_plugin.models.precision.has_native_bfloat16", lambda device: True)
    classifier, card = small("tiny"), card_of("tiny")
    here = computed_with("torch", torch.device("cpu"))
    passed = {"torch bfloat16 on cpu": PrecisionCheck(60, 60, 0.004, computed_with=here)}
    checked = make_engine(classifier, TASK, replace(card, precision_checks=passed), device="cpu")
    assert (checked.precision, checked.notes) == ("bfloat16", ())
    unchecked = make_engine(classifier, TASK, card, device="cpu")
    assert unchecked.precision == "float32"
    assert "was not checked in torch bfloat16 on cpu" in unchecked.notes[0]
