from __future__ import annotations

import math

import numpy as np
import pytest

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.collapse import collapse_warning, has_hardly_moved
from vpt_plugin.training.metrics import bootstrap_auroc

LABELS = [0, 1] * 6
UNKNOWN_ORDER = Estimate(0.55, (0.3, 0.8), 12)


def test_one_answer_for_all_is_a_collapse() -> None:
    probabilities = [0.48] * 12
    warning = collapse_warning("lung_nodule", probabilities, bootstrap_auroc(LABELS, probabilities))
    assert warning.startswith(
        "The training has collapsed: lung nodule gets nearly the same probability in all 12"
    )
    assert "0.4800 to 0.4800, AUROC 0.500" in warning
    assert "lower learning rate" in warning


@pytest.mark.parametrize(
    ("spread", "beginning"),
    [(0.0009, "The training has collapsed"), (0.04, "The training may have collapsed"), (0.06, "")],
)
def test_how_far_the_answers_spread_decides_how_sure_that_is(spread: float, beginning: str) -> None:
    warning = collapse_warning("lung_nodule", np.linspace(0.3, 0.3 + spread, 12), UNKNOWN_ORDER)
    assert warning.startswith(beginning)
    assert bool(warning) == bool(beginning)


def test_what_hardly_trained_is_not_called_collapsed_unless_its_answers_are_one() -> None:
    near = np.linspace(0.30, 0.34, 12)
    warning = collapse_warning("lung_nodule", near, UNKNOWN_ORDER, still_learning=True)
    assert warning.startswith("The network has hardly trained yet: lung nodule gets nearly the same")
    assert "more epochs or steps_per_epoch, or a higher learning rate" in warning
    one = collapse_warning("lung_nodule", [0.3] * 12, UNKNOWN_ORDER, still_learning=True)
    assert one.startswith("The training has collapsed")


def test_a_loss_has_hardly_moved_where_no_round_left_its_first_epoch_by_a_twentieth() -> None:
    assert has_hardly_moved([[0.70, 0.68]])
    assert has_hardly_moved([[0.70]])
    assert not has_hardly_moved([[0.70, 0.68], [0.70, 0.60]])
    # Up, and back again: it went astray.
    assert not has_hardly_moved([[0.70, 1.50, 0.69]])
    assert not has_hardly_moved([])


@pytest.mark.parametrize("sign", [1, -1])
def test_tiny_probabilities_in_some_order_are_none_even_in_the_wrong_one(sign: int) -> None:
    probabilities = [2e-4 + sign * label * 1e-4 + number * 1e-6 for number, label in enumerate(LABELS)]
    assert collapse_warning("lung_nodule", probabilities, bootstrap_auroc(LABELS, probabilities)) == ""


def test_an_auroc_that_nobody_knows_speaks_for_no_order() -> None:
    nobody_knows = Estimate(math.nan, (math.nan, math.nan), 12)
    warning = collapse_warning("lung_nodule", [0.5] * 12, nobody_knows)
    assert "AUROC n/a" in warning


@pytest.mark.parametrize("probabilities", [[], [0.5]])
def test_of_fewer_than_two_studies_nothing_can_be_said(probabilities: list[float]) -> None:
    assert collapse_warning("lung_nodule", probabilities, UNKNOWN_ORDER) == ""
