"""How a record of conformal decisions came about decides what its error rate is worth.

``benchmarks/conformal_stand_ins.py`` is the same on more drawings; docs/evidence.md has its figures.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
# Of 30 studies of a state and one more, three are ruled out at 10 %.
PROMISED = 3 / 31


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("conformal_stand_ins", "side_by_side", "machine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("conformal_stand_ins")


def test_studies_that_the_network_saw_nothing_of_keep_the_promise_and_two_folds_do_not(
    stand_ins: ModuleType,
) -> None:
    unseen, error = stand_ins.over_drawings(stand_ins.by_unseen(), 20)
    assert abs(unseen - PROMISED) < 3 * error
    folds, error = stand_ins.over_drawings(stand_ins.by_folds(2), 20)
    assert folds > PROMISED + 3 * error


def test_studies_that_chose_the_epoch_are_ruled_out_too_often_of_others(stand_ins: ModuleType) -> None:
    # Of 16 studies and one more one is ruled out.
    one, error = stand_ins.over_drawings(stand_ins.by_best_epoch(1, 16), 200)
    assert abs(one - 1 / 17) < 3 * error
    chosen, error = stand_ins.over_drawings(stand_ins.by_best_epoch(30, 16), 200)
    assert chosen > 1 / 17 + 3 * error
