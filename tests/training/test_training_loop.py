from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from vpt_plugin.errors import CancelledError, DeviceMemoryError, TrainingError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.bag_loss import bag_cross_entropy
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.loop import (
    Observer,
    Placement,
    TrainingLoop,
)
from vpt_plugin.training.optimization import learning_rate_share
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.validation import StudyAuroc, Validation
from vpt_plugin.training.validator import ValidationSide

CPU = Placement(torch.device("cpu"), torch.float32)
CONFIG = FinetuneConfig(epochs=3, steps_per_epoch=10, batch=4, learning_rate=0.05, patience=9)


STATES = np.array([[1.0], [0.0]] * 3)


class MeanBackbone(nn.Module):
    """One feature: the mean of the clip, normalised over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1)

    def forward(self, clips: Tensor) -> Tensor:
        normalised: Tensor = self.norm(clips.mean(dim=(2, 3, 4)) * self.scale)
        return normalised


class BrightClips(Dataset[dict[str, Tensor]]):
    """Bags of one clip of 1 x 2 x 32 x 32 that is bright (positive) and dark (negative) in turn."""

    def __init__(self, clips: int, *, numbered: bool = False) -> None:
        self.clips, self.numbered = clips, numbered

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index >= self.clips:
            raise IndexError(index)
        bright = index % 2 == 0
        image = torch.full((1, 2, 32, 32), 200 if bright else 50, dtype=torch.uint8)
        if self.numbered:
            return {"image": image, "label": torch.tensor(index)}
        return {"image": image[None], "label": torch.tensor([float(bright)])}


@pytest.fixture
def classifier(small_spec: ModelSpec) -> Classifier:
    torch.manual_seed(0)
    return Classifier(replace(small_spec, feature_dim=1), ("lung_nodule",), MeanBackbone())


def make_loop(
    classifier: Classifier,
    config: FinetuneConfig = CONFIG,
    observer: Observer | None = None,
    *,
    states: NDArray[np.float64] = STATES,
) -> TrainingLoop:
    return TrainingLoop(
        classifier,
        BrightClips(config.steps * config.batch),
        ValidationSide(BrightClips(6, numbered=True), StudyAuroc(states, "max")),
        offset=0.0,
        config=config,
        placement=CPU,
        observer=observer or Observer(),
    )


def test_the_loss_falls_and_the_studies_are_told_apart(classifier: Classifier) -> None:
    loop = make_loop(classifier)
    best = loop.run()
    losses = [each.train_loss for each in loop.history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    assert best.auroc == 1.0
    assert best.probabilities[0, 0] > 0.5 > best.probabilities[1, 0]


def test_every_step_and_every_validation_is_reported(classifier: Classifier) -> None:
    told: list[Progress] = []
    make_loop(classifier, observer=Observer(report=told.append)).run()
    steps = [p for p in told if p.state == "training"]
    assert [p.step for p in steps] == [*range(1, 11), 10, *range(11, 21), 20, *range(21, 31), 30]
    assert [p.epoch for p in told if p.state == "validating"] == [1, 2, 3]
    assert {(p.steps, p.epochs) for p in told} == {(30, 3)}
    assert steps[0].validation_auroc is None
    assert steps[-1].best_auroc == 1.0
    assert steps[-1].seconds_left == 0
    assert all(p.seconds_left is not None and p.seconds_left > 0 for p in steps[:-2])


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_loss_of_an_epoch_is_the_mean_over_its_own_steps(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    losses: list[float] = []

    def recorded(logits: Tensor, labels: Tensor, bag: Tensor, pooling: str) -> Tensor:
        loss = bag_cross_entropy(logits, labels, bag, pooling)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr("vpt_plugin.training.step.bag_cross_entropy", recorded)
    loop = make_loop(classifier, replace(CONFIG, steps_per_epoch=steps))
    loop.run()
    expected = np.array(losses).reshape(3, steps).mean(axis=1)
    assert [each.train_loss for each in loop.history] == pytest.approx(expected.tolist())


def test_the_classifier_ends_in_its_best_state(classifier: Classifier) -> None:
    loop = make_loop(classifier)
    best = loop.run()
    assert best.epoch == 3  # every AUROC is 1, and the loss still falls
    with torch.inference_mode():
        clip = torch.full((1, 1, 2, 32, 32), 200 / 255)
        probability = float(classifier.eval()(clip).sigmoid())
    assert probability == pytest.approx(best.probabilities[0, 0], abs=1e-6)


def test_of_two_validations_the_higher_auroc_is_better_and_between_equal_ones_the_lower_loss() -> None:
    def found(auroc: float, loss: float) -> Validation:
        nothing = np.zeros((0, 1))
        return Validation(1, 0.5, auroc, loss, nothing, nothing, np.zeros(0, dtype=np.int64))

    assert found(0.9, 0.9).better_than(None)
    assert found(0.9, 0.9).better_than(found(0.8, 0.1))
    assert found(0.9, 0.3).better_than(found(0.9, 0.4))
    assert not found(0.9, 0.4).better_than(found(0.9, 0.4))


def test_it_stops_when_validation_no_longer_gets_better(classifier: Classifier) -> None:
    loop = make_loop(classifier, replace(CONFIG, epochs=9, patience=2))
    loop.run()
    # The first epoch reaches 1.0; two more do not beat it.
    assert [each.epoch for each in loop.history] == [1, 2, 3]


def test_the_same_seed_trains_the_same_classifier_and_leaves_the_generators_alone(
    small_spec: ModelSpec,
) -> None:
    def trained(before: int) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(0)
        classifier = Classifier(replace(small_spec, feature_dim=1), ("lung_nodule",), MeanBackbone())
        torch.manual_seed(before)
        make_loop(classifier).run()
        return classifier.state_dict(), torch.rand(1)

    (first, drawn_first), (second, drawn_second) = trained(1), trained(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    assert torch.equal(drawn_first, torch.rand(1))
    assert not torch.equal(drawn_first, drawn_second)


@pytest.mark.parametrize("failing", [False, True])
def test_cudnn_repeats_itself_as_long_as_it_trains_and_is_then_as_it_was(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, *, failing: bool
) -> None:
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", True)
    monkeypatch.setattr(cudnn, "deterministic", False)
    seen: set[tuple[bool, bool]] = set()

    def look(_: Progress) -> None:
        seen.add((cudnn.deterministic, cudnn.benchmark))
        if failing:
            raise KeyError

    with pytest.raises(KeyError) if failing else nullcontext():
        make_loop(classifier, observer=Observer(report=look)).run()
    assert seen == {(True, False)}
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_training_the_head_alone_leaves_the_backbone_as_it_was(classifier: Classifier) -> None:
    before = {name: entry.clone() for name, entry in classifier.state_dict().items()}
    make_loop(classifier, replace(CONFIG, train="head")).run()
    after = classifier.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}


def test_training_the_whole_network_moves_weights_and_batch_norm(classifier: Classifier) -> None:
    before = {name: entry.clone() for name, entry in classifier.state_dict().items()}
    make_loop(classifier).run()
    after = classifier.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"head.weight", "backbone.norm.running_mean", "backbone.norm.weight"} <= changed


def test_a_loss_that_is_no_number_ends_the_training_at_once(classifier: Classifier) -> None:
    told: list[Progress] = []

    def poison(progress: Progress) -> None:
        told.append(progress)
        if progress.step == 4:
            nn.init.constant_(classifier.head.weight, math.nan)

    with pytest.raises(TrainingError, match="the loss became nan at step 5; nothing was published"):
        make_loop(classifier, observer=Observer(report=poison)).run()
    assert told[-1].step == 4


def test_a_validation_that_is_no_number_ends_the_training_too(classifier: Classifier) -> None:
    def poison(progress: Progress) -> None:
        if progress.state == "validating":
            nn.init.constant_(classifier.head.weight, math.nan)

    with pytest.raises(TrainingError, match="a probability became nan in epoch 1"):
        make_loop(classifier, observer=Observer(report=poison)).run()


def test_an_auroc_that_is_undefined_is_not_told_as_a_probability_that_is_no_number(
    classifier: Classifier,
) -> None:
    loop = make_loop(classifier, states=np.ones((6, 1)))
    with pytest.raises(TrainingError, match=r"AUROC of the validation is undefined: .*, or none without"):
        loop.run()
    assert not loop.diverged


def test_full_memory_is_told_with_the_way_out(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(classifier.backbone, "forward", full)
    with pytest.raises(
        DeviceMemoryError,
        match=r"memory of cpu does not take a single clip at step 1.*set gradient_checkpointing",
    ):
        make_loop(classifier).run()


@pytest.mark.parametrize("state", ["training", "validating"])
def test_it_can_be_cancelled_in_a_step_and_in_a_validation(
    classifier: Classifier, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Progress] = []
    observer = Observer(report=told.append, cancelled=lambda: told[-1].state == state)
    with pytest.raises(CancelledError):
        make_loop(classifier, observer=observer).run()
    assert told[-1].step == (1 if state == "training" else 10)
    # Cancelling is no crash: nothing is written to the log as one.
    assert caplog.records == []


def test_the_learning_rate_rises_for_a_twentieth_and_falls_to_a_hundredth() -> None:
    shares = [learning_rate_share(step, 100) for step in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[5:] == sorted(shares[5:], reverse=True)
    # Half way down, at 5 + 95 / 2, a cosine is at half its height.
    assert learning_rate_share(52, 99) == pytest.approx((1 + 0.01) / 2, abs=0.02)
    assert shares[-1] == pytest.approx(0.01, abs=0.001)
    assert learning_rate_share(0, 1) == 1.0


def test_the_auroc_is_that_of_whole_studies_by_their_highest_clip() -> None:
    auroc = StudyAuroc(np.array([[1.0], [0.0]]), "max")
    # Study 0 has one high clip among low ones; study 1 is in the middle everywhere.
    auroc.update((torch.tensor([[-4.0], [3.0], [1.0]]), torch.tensor([0, 0, 1])))
    auroc.update((torch.tensor([[-4.0], [1.0]]), torch.tensor([0, 1])))
    assert auroc.compute() == 1.0
    assert auroc.probabilities[:, 0] == pytest.approx(1 / (1 + np.exp([-3.0, -1.0])))
    auroc.reset()
    auroc.update((torch.tensor([[math.nan], [1.0]]), torch.tensor([0, 1])))
    assert math.isnan(auroc.compute())


def test_with_several_findings_the_auroc_is_their_mean_over_the_studies_that_are_known() -> None:
    auroc = StudyAuroc(np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, 0.0]]), "max")
    logits = torch.tensor([[2.0, 2.0], [1.0, 1.0], [9.0, 0.0]])
    auroc.update((logits, torch.tensor([0, 1, 2])))
    # First finding: 2 > 1, right. Second: present 1 against absent 2 and 0, half right.
    assert auroc.compute() == pytest.approx((1.0 + 0.5) / 2)


def test_progress_as_json_has_null_for_what_is_undefined() -> None:
    data = Progress(state="training", step=3, validation_auroc=math.nan).to_json()
    assert (data["state"], data["step"], data["validation_auroc"], data["loss"]) == (
        "training",
        3,
        None,
        None,
    )
