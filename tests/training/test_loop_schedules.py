"""A training's course: what is trained when, in which pieces, how long, and going on after an epoch."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vpt_plugin.errors import DeviceMemoryError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.loop import Observer, Placement, TrainingLoop
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.validation import StudyAuroc
from vpt_plugin.training.validator import ValidationSide

CPU = Placement(torch.device("cpu"), torch.float32)
CONFIG = FinetuneConfig(epochs=4, steps_per_epoch=3, batch=4, learning_rate=0.01, patience=9)


class Clips(Dataset[dict[str, Tensor]]):
    """Noise, brighter in every other clip; bags of one clip to learn from, or clips with a study's number."""

    def __init__(self, count: int, *, numbered: bool = False) -> None:
        self.count, self.numbered = count, numbered

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index >= self.count:
            raise IndexError(index)
        rng = torch.Generator().manual_seed(index)
        image = torch.randint(0, 100 + 50 * (index % 2), (1, 4, 32, 32), generator=rng, dtype=torch.uint8)
        if self.numbered:
            return {"image": image, "label": torch.tensor(index)}
        return {"image": image[None], "label": torch.tensor([float(index % 2)])}


def make_loop(
    spec: ModelSpec, config: FinetuneConfig, *, validated: bool = True, **facts: Any
) -> TrainingLoop:
    bags = Clips(config.steps * config.batch)
    side = ValidationSide(Clips(6, numbered=True), StudyAuroc(np.array([[0.0], [1.0]] * 3), "max"))
    classifier = facts.pop("classifier", None) or new_classifier(spec, ("lung_nodule",), seed=1)
    facts = {"observer": Observer()} | facts
    return TrainingLoop(
        classifier, bags, side if validated else None, offset=0.0, config=config, placement=CPU, **facts
    )


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in network.state_dict().items()}


def saved(loop: TrainingLoop) -> dict[str, Any]:
    """What a file would give back: tensors, numbers and words, no code."""
    file = io.BytesIO()
    torch.save(loop.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_head_first_leaves_the_backbone_alone_for_two_epochs(small_spec: ModelSpec) -> None:
    classifier = new_classifier(small_spec, ("lung_nodule",), seed=1)
    states = [copied(classifier)]
    make_loop(
        small_spec,
        replace(CONFIG, train="head_first", head_epochs=2),
        validated=False,
        classifier=classifier,
        after_epoch=lambda loop: states.append(copied(classifier)),
    ).run()
    head = {"head.weight", "head.bias"}
    assert changed(states[0], states[1]) == changed(states[1], states[2]) == head
    assert changed(states[2], states[3]) > head
    assert "backbone.network.stem.1.running_mean" in changed(states[2], states[3])


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"schedule": "plateau", "plateau_patience": 1, "optimizer": "adam"},
        {"train": "head_first", "head_epochs": 1, "layer_decay": 0.5},
        {"gradient_checkpointing": True, "micro_batch": 2},
    ],
    ids=["cosine", "plateau", "head_first", "pieces"],
)
def test_going_on_after_an_epoch_gives_the_same_network_bit_for_bit(
    small_spec: ModelSpec, setting: dict[str, Any]
) -> None:
    config = replace(CONFIG, **setting)
    whole = new_classifier(small_spec, ("lung_nodule",), seed=1)
    states: list[dict[str, Any]] = []
    through = make_loop(
        small_spec, config, classifier=whole, after_epoch=lambda loop: states.append(saved(loop))
    )
    best = through.run()
    for state in states:
        resumed = new_classifier(small_spec, ("lung_nodule",), seed=9)
        loop = make_loop(small_spec, config, classifier=resumed)
        loop.load_state_dict(state)
        again = loop.run()
        assert best is not None
        assert again is not None
        assert (again.epoch, again.auroc, again.log_loss) == (best.epoch, best.auroc, best.log_loss)
        assert changed(copied(whole), copied(resumed)) == set()
        assert [each.to_json() for each in loop.history] == [each.to_json() for each in through.history]
        assert loop.losses == through.losses


def test_a_finished_training_that_is_gone_on_with_trains_no_further(small_spec: ModelSpec) -> None:
    states: list[dict[str, Any]] = []
    # The first epoch cannot be beaten once every AUROC is 1, and one more is waited for.
    config = replace(CONFIG, epochs=9, learning_rate=1e-6, patience=1)
    make_loop(small_spec, config, after_epoch=lambda loop: states.append(saved(loop))).run()
    assert [state["finished"] for state in states] == [False] * (len(states) - 1) + [True]
    assert len(states) < 9
    told: list[Progress] = []
    loop = make_loop(small_spec, config, observer=Observer(report=told.append))
    loop.load_state_dict(states[-1])
    assert loop.run() is not None
    assert told == []


def test_without_a_validation_side_it_trains_for_so_many_epochs_of_the_same_schedule(
    small_spec: ModelSpec,
) -> None:
    states: list[dict[str, Tensor]] = []
    whole = new_classifier(small_spec, ("lung_nodule",), seed=1)
    make_loop(
        small_spec,
        CONFIG,
        validated=False,
        classifier=whole,
        after_epoch=lambda loop: states.append(copied(whole)),
    ).run()
    short = new_classifier(small_spec, ("lung_nodule",), seed=1)
    told: list[Progress] = []
    loop = make_loop(
        small_spec,
        CONFIG,
        validated=False,
        classifier=short,
        stop_after=2,
        observer=Observer(report=told.append),
    )
    assert loop.run() is None
    assert changed(states[1], copied(short)) == set()
    assert (told[-1].epoch, told[-1].epochs, told[-1].step, told[-1].steps) == (2, 2, 6, 6)


def fills_up(monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Let memory be full in validations, with more clips than fit; gives how many were tried."""
    tried: list[int] = []
    forward = Classifier.forward

    def full(network: Classifier, clips: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            tried.append(len(clips))
            if len(clips) > fits:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(network, clips)

    monkeypatch.setattr(Classifier, "forward", full)
    return tried


def test_where_memory_is_full_in_a_validation_it_goes_on_with_half_as_many_clips(
    small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, epochs=2, micro_batch=4)
    best = make_loop(small_spec, config).run()
    tried = fills_up(monkeypatch, fits=1)
    told: list[Progress] = []
    halved = make_loop(small_spec, config, observer=Observer(report=told.append)).run()
    # 6 clips, loaded by 4: too many twice, then one by one, also in the next epoch.
    assert tried == [4, 2, *[1] * 6, *[1] * 6]
    assert best is not None
    assert halved is not None
    np.testing.assert_allclose(halved.logits, best.logits, atol=1e-5)
    assert [(each.state, each.note) for each in told if each.note] == [
        ("validating", "the memory of cpu is full: from now on clips are validated 2 at a time, not 4."),
        ("validating", "the memory of cpu is full: from now on clips are validated 1 at a time, not 2."),
    ]


def test_a_validation_for_which_not_one_clip_fits_says_so(
    small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills_up(monkeypatch, fits=0)
    with pytest.raises(DeviceMemoryError, match=r"cpu does not take a single clip in a validation; nothing"):
        make_loop(small_spec, CONFIG).run()
