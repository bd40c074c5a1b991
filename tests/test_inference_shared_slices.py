"""What overlapping clips share: the same answers as without it, and every slice looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.inference.engines import make_engine
from vpt_plugin.inference.engines.shared_slices import SharedSlices
from vpt_plugin.inference.engines.torch_engine import TorchEngine
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.overlap import per_slice_part
from vpt_plugin.tasks import TASKS

LENGTH, PIXELS, SLICES = 4, 32, 16
STUDY = torch.randint(0, 256, (SLICES, PIXELS, PIXELS), generator=torch.Generator().manual_seed(1)).byte()


@pytest.fixture(scope="module")
def slow() -> Classifier:
    """One whose residual branches speak: their last norm begins with zeros, which would leave them out."""
    classifier = new_classifier(get_model("slow_r50"), ("finding",), seed=2).requires_grad_(False)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.fill_(0.1)
            module.momentum = 1.0
    classifier.train()(scaled(STUDY))
    return classifier.eval()


class Seen:
    """The trunk of a classifier, and how many slices went through it."""

    def __init__(self, classifier: Classifier) -> None:
        parts = per_slice_part(classifier)
        assert parts is not None
        self._trunk, self.rest = parts
        self.slices = 0

    def __call__(self, clips: Tensor) -> Tensor:
        self.slices += clips.shape[2]
        maps: Tensor = self._trunk(clips)
        return maps


def scaled(slices: Tensor) -> Tensor:
    return scale_clips(slices[None, None], 0.1)


def shared(trunk: Seen, at_once: int = 3) -> SharedSlices:
    return SharedSlices(trunk, trunk.rest, scaled, length=LENGTH, at_once=at_once)


def plain(classifier: Classifier, slices: Tensor, starts: Sequence[int]) -> Tensor:
    logits = [classifier(scaled(slices[start : start + LENGTH])) for start in starts]
    return torch.cat(logits)


def test_slow_r50_looks_at_slices_alone_in_its_stem_and_first_two_stages(slow: Classifier) -> None:
    parts = per_slice_part(slow)
    assert parts is not None
    trunk: Any = parts[0]
    rest: Any = parts[1]
    clip = scaled(STUDY[:LENGTH])
    maps = trunk(clip)
    # 32 pixels, halved by the stem, by its pooling and by the second stage.
    assert maps.shape == (1, 512, LENGTH, 4, 4)
    alone = torch.cat([trunk(clip[:, :, index : index + 1]) for index in range(LENGTH)], dim=2)
    assert (alone - maps).abs().max() <= 1e-5 * maps.abs().max()
    # One stage more would not: there a slice's maps depend on the slices beside it.
    further = rest.stages[0]
    across = further(maps)
    assert (across[:, :, :1] - further(maps[:, :, :1])).abs().max() > 0.1 * across.abs().max()
    assert torch.equal(rest(maps), slow.features(clip))


@pytest.mark.parametrize("name", ["r2plus1d_r50", "csn_r101", "slowfast_r50", "swin_t", "tiny"])
def test_no_other_network_has_a_part_that_is_worth_sharing(name: str) -> None:
    with torch.device("meta"):
        classifier = Classifier(get_model(name), ("finding",), get_model(name).backbone())
    assert per_slice_part(classifier.eval()) is None


@settings(max_examples=5, deadline=None)
@given(slices=st.integers(LENGTH, SLICES), stride=st.integers(1, LENGTH), together=st.integers(1, 3))
def test_clips_in_their_order_say_the_same_and_every_slice_is_looked_at_once(
    slow: Classifier, slices: int, stride: int, together: int
) -> None:
    study = STUDY[:slices]
    starts = clip_starts(slices, length=LENGTH, stride=stride)
    with torch.inference_mode():
        trunk = Seen(slow)
        parts = shared(trunk)
        batches = [starts[first : first + together] for first in range(0, len(starts), together)]
        features = torch.cat([parts.features(study, batch) for batch in batches])
        assert (slow.head(features) - plain(slow, study, starts)).abs().max() <= 1e-5
    assert trunk.slices == slices


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, SLICES - LENGTH), min_size=1, max_size=5))
def test_clips_in_any_order_say_the_same(slow: Classifier, starts: list[int]) -> None:
    with torch.inference_mode():
        parts = shared(Seen(slow))
        features = torch.cat([parts.features(STUDY, [start]) for start in starts])
        assert (slow.head(features) - plain(slow, STUDY, starts)).abs().max() <= 1e-5


def test_bfloat16_says_the_same_as_without_sharing_to_its_own_rounding(slow: Classifier) -> None:
    starts = [0, 3, 12]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = slow.head(shared(Seen(slow)).features(STUDY, starts)).float()
        expected = plain(slow, STUDY, starts).float()
    # bfloat16 has eight bits, steps of 1/256 of a number: two of them.
    assert (logits - expected).abs().max() <= 2 * expected.abs().max() / 256


def test_the_slices_of_another_study_are_never_taken_for_those_of_the_one_before(slow: Classifier) -> None:
    trunk = Seen(slow)
    parts = shared(trunk)
    with torch.inference_mode():
        for study in (STUDY, 255 - STUDY, STUDY.clone()):
            expected = plain(slow, study, [4])
            assert (slow.head(parts.features(study, [4])) - expected).abs().max() <= 1e-5
    assert trunk.slices == 3 * LENGTH


def test_the_maps_go_with_the_slices_of_their_study(slow: Classifier) -> None:
    study = STUDY.clone()
    parts = shared(Seen(slow))
    with torch.inference_mode():
        parts.features(study, [0, 2])
    # One clip's: 512 channels of 4 slices of 4 x 4 cells, four bytes each.
    assert parts.bytes_kept == 512 * 4 * 4 * 4 * 4
    del study
    assert parts.bytes_kept == 0


def test_torch_s_engine_shares_and_says_of_each_clip_what_it_says_of_the_clip_alone(slow: Classifier) -> None:
    spec = replace(slow.spec, clip_slices=LENGTH, crop_px=PIXELS)
    small = new_classifier(spec, slow.findings)
    small.load_state_dict(slow.state_dict())
    task = replace(TASKS["nodule"], findings=slow.findings, offset=0.1)
    card = ModelCard(task.name, spec.name, task.findings, "none", LENGTH)
    engine = make_engine(small, task, card, device="cpu", precision="float32", backend="torch")
    assert isinstance(engine, TorchEngine)
    assert engine.shares_slices
    starts = clip_starts(SLICES, length=LENGTH, stride=2)
    logits = torch.cat([engine.answer(STUDY, (start,))[0] for start in starts])
    alone = torch.cat([engine.answer(STUDY[start : start + LENGTH].clone(), (0,))[0] for start in starts])
    # The engine's fused convolutions round otherwise for two slices than for four.
    assert (logits - alone).abs().max() <= 1e-4
    assert (logits - plain(slow, STUDY, starts)).abs().max() <= 1e-4
