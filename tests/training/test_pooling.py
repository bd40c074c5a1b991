from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vpt_plugin.training.bag_loss import bag_cross_entropy, known_cross_entropy
from vpt_plugin.training.pooling import POOLINGS, pool_bags

LOGITS = st.lists(st.floats(-20, 20, allow_nan=False), min_size=1, max_size=12)


def pooled(logits: list[float], pooling: str) -> float:
    column = torch.tensor(logits, dtype=torch.float64)[:, None]
    return float(pool_bags(column, torch.zeros(len(logits), dtype=torch.int64), pooling))


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("max", logit(0.5)),
        ("mean", logit(0.2) / 2),
        # log((exp(5 * logit 0.2) + 1) / 2) / 5, and the odds of 0.2 are 1 / 4.
        ("lse", math.log((0.25**5 + 1) / 2) / 5),
        # No clip shows it with 0.8 * 0.5.
        ("noisy_or", logit(1 - 0.8 * 0.5)),
        ("linear_softmax", logit((0.2**2 + 0.5**2) / (0.2 + 0.5))),
    ],
)
def test_two_clips_of_02_and_05(pooling: str, expected: float) -> None:
    assert pooled([logit(0.2), logit(0.5)], pooling) == pytest.approx(expected)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(logits=LOGITS)
def test_a_bag_of_one_clip_and_the_order_of_clips_change_nothing(pooling: str, logits: list[float]) -> None:
    assert pooled(logits[:1], pooling) == pytest.approx(logits[0], abs=1e-6)
    assert pooled(logits[::-1], pooling) == pytest.approx(pooled(logits, pooling), abs=1e-9)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(logits=LOGITS)
def test_a_bag_is_never_surer_than_its_surest_clip_unless_clips_add_up(
    pooling: str, logits: list[float]
) -> None:
    highest = pooled(logits, pooling)
    if pooling == "noisy_or":
        assert highest >= max(logits) - 1e-6
    else:
        assert min(logits) - 1e-6 <= highest <= max(logits) + 1e-6


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("extreme", [-200.0, -50.0, 50.0, 200.0])
def test_extreme_logits_give_numbers_and_gradients_that_are_numbers(pooling: str, extreme: float) -> None:
    logits = torch.full((3, 1), extreme, requires_grad=True)
    bag = pool_bags(logits, torch.zeros(3, dtype=torch.int64), pooling)
    bag.sum().backward()
    assert torch.isfinite(bag).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_each_bag_is_pooled_by_itself_and_each_finding_too() -> None:
    logits = torch.tensor([[1.0, 9.0], [5.0, 2.0], [7.0, -1.0]])
    assert pool_bags(logits, torch.tensor([0, 0, 1]), "max").tolist() == [[5, 9], [7, -1]]


def loss_of(logits: Tensor, labels: Tensor, bag: list[int], pooling: str = "max") -> float:
    return float(bag_cross_entropy(logits, labels, torch.tensor(bag), pooling))


def test_the_loss_of_a_bag_is_that_of_its_pooled_logit() -> None:
    logits = torch.tensor([[-9.0], [0.0], [0.0]])
    # Pooled logits of 0 cost log 2, whatever the label.
    assert loss_of(logits, torch.tensor([[1.0], [0.0]]), [0, 0, 1]) == pytest.approx(math.log(2))


def test_single_clips_cost_the_same_with_every_pooling() -> None:
    logits, labels = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [1.0]])
    losses = {pooling: loss_of(logits, labels, [0, 1], pooling) for pooling in POOLINGS}
    assert set(losses.values()) == {losses["max"]}
    assert losses["max"] == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2)


def test_labels_that_are_not_known_do_not_count() -> None:
    logits = torch.tensor([[0.0, 5.0], [0.0, -3.0]])
    labels = torch.tensor([[1.0, math.nan], [0.0, math.nan]])
    assert float(known_cross_entropy(logits, labels)) == pytest.approx(math.log(2))
