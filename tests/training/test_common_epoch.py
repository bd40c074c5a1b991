from __future__ import annotations

import numpy as np
import pytest

from vpt_plugin.training.trained import RoundResult, common_epoch
from vpt_plugin.training.validation import Validation


def fold(*aurocs: float, losses: tuple[float, ...] = ()) -> RoundResult:
    """A fold with these validations; its own best is the one of the highest AUROC."""
    nothing = np.empty((0, 1))
    history = tuple(
        Validation(epoch, 0.5, auroc, loss, nothing, nothing, np.empty(0, dtype=np.int64))
        for epoch, (auroc, loss) in enumerate(zip(aurocs, losses or aurocs, strict=True), start=1)
    )
    return RoundResult(max(history, key=lambda each: each.auroc), history)


def test_one_epoch_is_chosen_for_all_folds_by_their_mean_auroc() -> None:
    # By themselves they would take the first, the third and the second epoch.
    folds = [fold(0.9, 0.8, 0.2), fold(0.2, 0.6, 0.7), fold(0.4, 0.8, 0.3)]
    assert common_epoch(folds) == 2
    assert [each.at(2).best.auroc for each in folds] == [0.8, 0.6, 0.8]


def test_between_equal_epochs_the_lower_loss_decides() -> None:
    folds = [fold(1.0, 1.0, 1.0, losses=(0.5, 0.2, 0.4)), fold(1.0, 1.0, 1.0, losses=(0.5, 0.3, 0.2))]
    assert common_epoch(folds) == 2


def test_an_epoch_that_a_fold_did_not_come_to_is_no_choice() -> None:
    folds = [fold(0.5, 0.6, 0.9), fold(0.6, 0.5)]
    assert common_epoch(folds) in (1, 2)
    with pytest.raises(ValueError, match="no validation after epoch 3"):
        folds[1].at(3)


def test_folds_that_know_nothing_look_less_knowing_than_by_a_choice_in_each() -> None:
    rng = np.random.default_rng(0)
    drawn = [[fold(*rng.uniform(0, 1, 6)) for _ in range(5)] for _ in range(200)]
    each = np.mean([result.best.auroc for folds in drawn for result in folds])
    common = np.mean([result.at(common_epoch(folds)).best.auroc for folds in drawn for result in folds])
    # The highest of 6 uniform numbers is 6/7 in the mean.
    assert each == pytest.approx(6 / 7, abs=0.02)
    assert 0.5 < common < 0.72
