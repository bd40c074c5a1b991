from __future__ import annotations

import pytest
import torch

from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.optimization import (
    RateSchedule,
    freeze,
    learning_rate_share,
    make_optimizer,
    parameter_groups,
    thaws,
)


@pytest.fixture
def classifier() -> Classifier:
    return new_classifier(get_model("tiny"), ("lung_nodule",))


def test_every_earlier_stage_learns_at_half_the_rate_of_the_next(classifier: Classifier) -> None:
    groups = parameter_groups(classifier, FinetuneConfig(learning_rate=0.1, layer_decay=0.5))
    rate_of = {id(each): group["lr"] for group in groups for each in group["params"]}
    network = classifier.backbone.network
    # Head, three residual blocks, the reduction, the stem.
    assert rate_of[id(classifier.head.weight)] == 0.1
    assert rate_of[id(network.blocks[2].second.weight)] == 0.05
    assert rate_of[id(network.blocks[0].norm.bias)] == 0.1 / 8
    assert rate_of[id(network.reduce[0].weight)] == 0.1 / 16
    assert rate_of[id(network.stem[1].weight)] == 0.1 / 32
    assert len(rate_of) == len(list(classifier.parameters()))


def test_weights_decay_and_biases_and_norms_do_not(classifier: Classifier) -> None:
    groups = parameter_groups(classifier, FinetuneConfig(weight_decay=0.3))
    decay_of = {id(each): group["weight_decay"] for group in groups for each in group["params"]}
    assert {decay_of[id(each)] for each in classifier.parameters() if each.ndim > 1} == {0.3}
    assert {decay_of[id(each)] for each in classifier.parameters() if each.ndim == 1} == {0.0}


def test_a_head_alone_is_all_that_its_optimizer_knows(classifier: Classifier) -> None:
    groups = parameter_groups(classifier, FinetuneConfig(train="head"))
    known = {id(each) for group in groups for each in group["params"]}
    assert known == {id(classifier.head.weight), id(classifier.head.bias)}


@pytest.mark.parametrize(
    ("name", "kind", "decay"), [("adamw", torch.optim.AdamW, 1e-2), ("adam", torch.optim.Adam, 1e-6)]
)
def test_each_optimizer_has_the_decay_that_suits_it(
    classifier: Classifier, name: str, kind: type[torch.optim.Optimizer], decay: float
) -> None:
    optimizer = make_optimizer(classifier, FinetuneConfig(optimizer=name))
    assert type(optimizer) is kind
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, decay}


def test_head_first_trains_the_head_for_its_epochs_and_then_all(classifier: Classifier) -> None:
    config = FinetuneConfig(train="head_first", head_epochs=2, epochs=4)

    def trained(epoch: int) -> set[bool]:
        frozen = freeze(classifier, config, epoch)
        assert frozen == ((classifier.backbone,) if epoch <= 2 else ())
        assert classifier.head.weight.requires_grad
        return {each.requires_grad for each in classifier.backbone.parameters()}

    assert [trained(epoch) for epoch in (1, 2, 3, 4)] == [{False}, {False}, {True}, {True}]
    assert [thaws(config, epoch) for epoch in (1, 2, 3, 4)] == [False, False, True, False]
    assert not thaws(FinetuneConfig(), 3)


def test_a_cosine_keeps_the_shares_of_the_stages(classifier: Classifier) -> None:
    config = FinetuneConfig(learning_rate=0.1, layer_decay=0.5, epochs=1, steps_per_epoch=100)
    optimizer = make_optimizer(classifier, config)
    RateSchedule(optimizer, config).before_step(50)
    highest = 0.1 * learning_rate_share(50, 100)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates[0] == pytest.approx(highest)
    assert rates[-1] == pytest.approx(highest / 32)


def test_a_plateau_halves_the_rate_after_so_many_epochs_without_a_lower_loss(classifier: Classifier) -> None:
    config = FinetuneConfig(learning_rate=0.1, schedule="plateau", plateau_patience=2)
    optimizer = make_optimizer(classifier, config)
    schedule = RateSchedule(optimizer, config)

    def after(loss: float) -> float:
        schedule.before_step(0)
        schedule.after_epoch(loss)
        return float(optimizer.param_groups[0]["lr"])

    # 0.5 is the best; two epochs do not beat it.
    assert [after(loss) for loss in (0.6, 0.5, 0.5, 0.55)] == [0.1, 0.1, 0.1, 0.05]
    # One more that does not, and the schedule goes on in another process with what it knows.
    assert after(0.52) == 0.05
    resumed = RateSchedule(optimizer, config)
    resumed.load_state_dict(schedule.state_dict())
    resumed.after_epoch(0.51)
    assert optimizer.param_groups[0]["lr"] == 0.025


def test_a_cosine_has_nothing_to_remember(classifier: Classifier) -> None:
    config = FinetuneConfig()
    schedule = RateSchedule(make_optimizer(classifier, config), config)
    schedule.after_epoch(0.5)
    assert schedule.state_dict() == {}
