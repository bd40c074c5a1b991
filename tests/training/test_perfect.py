"""Few studies come into perfect order by chance: when that is said, and how often it happens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.metrics import auroc, bootstrap_auroc, few_studies_warning, perfect_by_chance


def warning(labels: list[int], scores: list[float], patients: list[str] | None = None) -> str:
    return few_studies_warning("lung_nodule", bootstrap_auroc(labels, scores, patients), labels, patients)


def test_a_perfect_order_of_four_studies_is_chance_one_time_in_six() -> None:
    said = "The AUROC is of 2 studies with and 2 without lung nodule only, so few that guessing alone "
    assert (
        warning([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
        == f"{said}does as well in 1 of 6 tries. Label more studies."
    )
    assert (
        warning([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2])
        == f"{said}goes as wrong in 1 of 6 tries. Label more studies."
    )


def test_networks_that_know_nothing_order_so_few_perfectly_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    perfect = sum(auroc([0, 0, 1, 1], rng.random(4)) == 1 for _ in range(3000))
    assert perfect / 3000 == pytest.approx(perfect_by_chance(2, 2), abs=0.02)


def test_where_chance_is_rare_or_an_interval_speaks_nothing_is_said() -> None:
    # 10 over 5 is 252; 12 over 6 is 924; 14 over 7 is 3432.
    for each, said in ((5, "1 of 252 tries"), (6, "1 of 924 tries"), (7, "")):
        labels = [0] * each + [1] * each
        assert said in warning(labels, [float(label) for label in labels])
        assert bool(warning(labels, [float(label) for label in labels])) == bool(said)
    assert warning([0, 0, 1, 1], [0.1, 0.8, 0.2, 0.9]) == ""
    assert few_studies_warning("pe", Estimate(math.nan, (math.nan, math.nan), 2), [1, 1]) == ""


def test_studies_of_one_patient_are_alike_so_patients_count() -> None:
    labels, scores = [0] * 10 + [1] * 10, [0.1] * 10 + [0.9] * 10
    patients = ["ann"] * 10 + ["bob"] * 5 + ["cid"] * 5
    assert "2 patients with and 1 without" in warning(labels, scores, patients)
    assert "1 of 3 tries" in warning(labels, scores, patients)
    alone = warning([0, 1, 1], [0.2, 0.8, 0.1], ["ann"] * 3)
    assert alone.endswith("resampling them shows no spread: how far it is from the truth is not known.")
