"""LRCN: slices encoded one by one, their neighbours, the recurrence, and an encoder that never learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vpt_plugin.ct.intensity import air
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.clip_dataset import ClipShape, filled_up
from vpt_plugin.inference import Predictor
from vpt_plugin.models.architectures.lrcn import SliceSequence, with_neighbours
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.slice_backbones import slices_to_read
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]
# The same with a small network for the slices.
SMALL = replace(
    get_model("lrcn"), build=get_model("resnet18_2d").build, resize_px=36, crop_px=32, clip_slices=12
)


@pytest.fixture(scope="module")
def lrcn() -> Classifier:
    return new_classifier(SMALL, ("lung_nodule",), seed=3).eval()


def clip_of(slices: int, seed: int = 1) -> Tensor:
    return torch.rand(1, 1, slices, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_a_slice_stands_between_its_neighbours_and_the_ends_repeat() -> None:
    features = torch.tensor([[1.0], [2.0], [4.0]])
    assert with_neighbours(features).tolist() == [[1, 1, 2], [1, 2, 4], [2, 4, 4]]
    assert with_neighbours(features[:1]).tolist() == [[1, 1, 1]]


def test_a_slice_changes_what_the_recurrence_is_given_at_itself_and_beside_it_alone(lrcn: Classifier) -> None:
    given: list[Tensor] = []
    hook = lrcn.backbone.sequence.gru.register_forward_hook(lambda *call: given.append(call[1][0].data))
    clip = clip_of(9)
    changed = clip.clone()
    changed[:, :, 4] = 1 - changed[:, :, 4]
    with torch.no_grad():
        before, after = lrcn(clip), lrcn(changed)
    hook.remove()
    differs = (given[0] != given[1]).any(dim=1)
    assert differs.tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert before != after


def test_the_sequence_is_the_mean_of_a_two_way_gru_over_the_slices() -> None:
    torch.manual_seed(0)
    sequence = SliceSequence(4, hidden=3).eval()
    long, short = torch.rand(5, 4), torch.rand(2, 4)
    said = sequence([short, long])
    for row, features in zip(said, (short, long), strict=True):
        outputs, _ = sequence.gru(with_neighbours(features)[None])
        torch.testing.assert_close(row, outputs[0].mean(dim=0))
    assert said.shape == (2, 6)


def test_dropout_falls_on_what_the_recurrence_says() -> None:
    sequence = SliceSequence(4, hidden=3)
    assert sequence.dropout.p == 0.5
    features = [torch.rand(5, 4)]
    assert not torch.equal(sequence.train()(features), sequence.train()(features))
    assert torch.equal(sequence.eval()(features), sequence.eval()(features))


def test_a_clip_that_is_filled_up_is_read_as_if_it_were_shorter(lrcn: Classifier) -> None:
    short, filled = clip_of(5), torch.full((1, 1, 12, 32, 32), 0.2)
    filled[:, :, :5] = short
    other = clip_of(12, seed=2)
    with torch.no_grad():
        alone, together = lrcn(short), lrcn(torch.cat([other, filled]))
        torch.testing.assert_close(together[1], alone[0])
        torch.testing.assert_close(together[0], lrcn(other)[0])


def test_slices_without_contrast_are_left_out_at_the_end_only() -> None:
    clips = torch.rand(3, 1, 6, 4, 4)
    clips[0, :, 2] = 0.5
    clips[1, :, 4:] = 0.5
    clips[2] = 0.5
    assert slices_to_read(clips) == [6, 4, 1]


@pytest.mark.parametrize("name", ["paper", "light", "none"])
def test_no_augmentation_gives_the_filling_any_contrast(name: str) -> None:
    rng, filling = np.random.default_rng(0), air(NODULE.hu_window)
    shape = ClipShape(length=6, stride=4, crop_px=24, min_positive_slices=1, air=filling)
    augmentation = make_augmentation(name, shape, Jitter(0.1, 0.05))
    clip = filled_up(rng.integers(0, 255, size=(4, 28, 28), dtype=np.uint8), shape)
    for _ in range(60):
        seen = torch.from_numpy(augmentation(clip, rng))[None, None].float()
        assert slices_to_read(seen) == [4]


def test_a_study_shorter_than_a_clip_gets_the_answer_of_its_own_length() -> None:
    hu = np.random.default_rng(0).normal(-600, 200, size=(5, 36, 36)).astype(np.int16)
    direction = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    volume = Volume(hu, (2.0, 7.0, 7.0), (0.0, 0.0, 0.0), direction, study="short")

    def answer(spec: ModelSpec) -> float:
        classifier = new_classifier(spec, NODULE.findings, seed=3)
        card = ModelCard("nodule", spec.name, NODULE.findings, "none", spec.clip_slices)
        predictor = Predictor(classifier, NODULE, card, device="cpu", precision="float32")
        prediction = predictor.predict(volume, unsuitable="warn")  # noise has no lungs
        (clip,) = prediction.findings[0].clips
        assert (clip.first_slice, clip.last_slice, clip.z_mm) == (0, 4, (0.0, 8.0))
        assert prediction.clip_disagreement == 0
        return clip.probability

    assert answer(SMALL) == pytest.approx(answer(replace(SMALL, clip_slices=5)), abs=1e-6)


def test_more_slices_than_go_through_the_encoder_at_once_are_all_encoded(lrcn: Classifier) -> None:
    clip = clip_of(40)
    with torch.no_grad():
        by_piece = lrcn.backbone._slice_features(clip[0, 0][:, None, None])
        at_once = lrcn.backbone.encoder(clip[0, 0][:, None, None])
    torch.testing.assert_close(by_piece, at_once, atol=1e-5, rtol=1e-4)


def test_the_encoder_stays_in_evaluation_mode_and_gets_no_gradients() -> None:
    classifier = new_classifier(SMALL, ("lung_nodule",)).train()
    encoder = classifier.backbone.encoder
    assert not any(each.training for each in encoder.modules())
    assert classifier.backbone.sequence.training
    before = {name: each.clone() for name, each in encoder.state_dict().items()}
    # Whoever thaws everything changes nothing of that: what the encoder says is taken as given.
    classifier.requires_grad_(True)
    classifier(clip_of(4)).sum().backward()
    assert all(each.grad is None for each in encoder.parameters())
    assert classifier.backbone.sequence.gru.weight_hh_l0.grad.abs().sum() > 0
    assert all(torch.equal(each, before[name]) for name, each in encoder.state_dict().items())


def test_in_bfloat16_the_features_are_float32_and_near_the_exact_ones(lrcn: Classifier) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = lrcn.features(clip_of(6))
    with torch.no_grad():
        exact = lrcn.features(clip_of(6))
    assert half.dtype == exact.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=0.02, rtol=0.1)
