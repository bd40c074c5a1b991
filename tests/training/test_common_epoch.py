from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from vpt_plugin.training.trained import RoundResult, common_epoch, measured
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


def test_a_fold_is_measured_at_the_epoch_that_the_others_choose() -> None:
    # Without the first, the others' means are 0.3, 0.7 and 0.5; without the second, 0.65, 0.8 and 0.25;
    # without the third, 0.55, 0.7 and 0.45.
    folds = [fold(0.9, 0.8, 0.2), fold(0.2, 0.6, 0.7), fold(0.4, 0.8, 0.3)]
    assert [each.best.epoch for each in measured(folds)] == [2, 2, 2]
    # The first fold alone speaks for its third epoch, so it is not measured there.
    folds = [fold(0.1, 0.2, 1.0), fold(0.6, 0.5, 0.4), fold(0.6, 0.5, 0.4)]
    assert [each.best.epoch for each in measured(folds)] == [1, 3, 3]
    assert common_epoch(folds) == 3


def test_folds_that_know_nothing_look_as_if_they_knew_nothing() -> None:
    rng = np.random.default_rng(0)
    drawn = [[fold(*rng.uniform(0, 1, 6)) for _ in range(5)] for _ in range(400)]

    def mean(results: Iterable[Iterable[RoundResult]]) -> float:
        return float(np.mean([each.best.auroc for folds in results for each in folds]))

    # The highest of 6 uniform numbers is 6/7 in the mean; one that nobody chose by is 1/2.
    assert mean(drawn) == pytest.approx(6 / 7, abs=0.02)
    assert mean([each.at(common_epoch(folds)) for each in folds] for folds in drawn) > 0.6
    assert mean(measured(folds) for folds in drawn) == pytest.approx(0.5, abs=0.02)
