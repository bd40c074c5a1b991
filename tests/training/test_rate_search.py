from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import DivergedError, TrainingError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.rate_search import (
    RATES,
    RateSearch,
    TriedRate,
    a_tenth,
    search_rate,
    search_sides,
    short_config,
)
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.validation import Validation


def made_up(states: Sequence[float]) -> list[Any]:
    return [SimpleNamespace(study=str(n), states=np.array([state])) for n, state in enumerate(states)]


def found(auroc: float, loss: float) -> Validation:
    nothing = np.zeros((0, 1))
    return Validation(1, 0.5, auroc, loss, nothing, nothing, np.zeros(0, dtype=np.int64))


def test_of_200_studies_20_are_tried_on_half_of_them_with_the_finding() -> None:
    few = a_tenth(made_up([1.0] * 100 + [0.0] * 100), seed=0)
    assert [study.states[0] for study in few] == [1.0] * 10 + [0.0] * 10
    # Another seed draws others.
    assert few != a_tenth(made_up([1.0] * 100 + [0.0] * 100), seed=1)


def test_of_few_studies_no_fewer_than_eight_of_a_state_are_tried_on() -> None:
    few = a_tenth(made_up([1.0] * 5 + [0.0] * 30), seed=0)
    assert [study.states[0] for study in few] == [1.0] * 5 + [0.0] * 8


def test_a_short_training_has_a_tenth_of_the_steps() -> None:
    short = short_config(FinetuneConfig(epochs=10, steps_per_epoch=90, train="head_first", rate_search=True))
    assert (short.epochs, short.steps_per_epoch, short.train, short.rate_search) == (3, 30, "whole", False)
    assert short_config(FinetuneConfig(train="head", epochs=1, steps_per_epoch=5)).steps == 10


def test_the_rate_with_the_best_validation_is_chosen_and_one_that_diverges_is_not() -> None:
    answers = {
        0.1: None,
        0.01: found(0.8, 0.6),
        0.001: found(0.9, 0.5),
        1e-4: found(0.9, 0.4),
        1e-5: found(0.5, 0.7),
    }
    tried: list[float] = []
    told: list[str] = []

    def try_out(config: FinetuneConfig, train: Any, validation: Any) -> Validation | None:
        tried.append(config.rate)
        return answers[config.rate]

    studies = made_up([1.0, 0.0] * 10)
    search = search_rate(FinetuneConfig(rate_search=True), studies, studies, try_out, told=told.append)
    assert tried == list(RATES)
    assert search.chosen == 1e-4
    assert told[0] == "learning rate 0.1: the loss diverged"
    assert told[2] == "learning rate 0.001: AUROC 0.900, log loss 0.500"
    assert told[-1] == "learning rate 0.0001 is taken"
    assert search.to_json()["tried"][0] == {"rate": 0.1, "auroc": None, "log_loss": None}
    again = RateSearch.from_json(search.to_json())
    assert (again.chosen, math.isnan(again.tried[0].auroc)) == (1e-4, True)


def test_no_rate_is_chosen_where_all_diverge() -> None:
    search = RateSearch((TriedRate(0.1, math.nan, math.nan),), train=8, validation=8, steps=10)
    with pytest.raises(DivergedError, match="no learning rate that was tried kept the loss a number"):
        _ = search.chosen


def test_a_finetuning_searches_its_rate_and_its_card_says_what_was_tried(
    ball_manifest: Manifest, ball_cache: Any, small_spec: ModelSpec, tmp_path: Any
) -> None:
    told: list[Progress] = []
    result = finetune(
        ManifestSource(ball_manifest), TASKS["nodule"], small_spec,
        FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4, rate_search=True),
        store=ModelStore(tmp_path), cache=ball_cache, device="cpu", progress=told.append, report=False,
    )  # fmt: skip
    search = result.card.training["rate_search"]
    assert [each["rate"] for each in search["tried"]] == list(RATES)
    assert search["chosen"] in RATES
    # Of the 12 studies of the training side alone: the 8 of the validation side count later.
    assert (search["train"], search["validation"], search["steps"]) == (8, 4, 10)
    searching = [each for each in told if each.state == "searching"]
    assert max(each.step for each in searching) == 5 * 10
    assert searching[-1].note == f"learning rate {search['chosen']:g} is taken"
    # Then comes the training itself.
    assert [each.step for each in told if each.state == "validating"] == [2]


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.0, 1.0])), max_size=40))
def test_a_search_divides_a_training_side_by_patient(drawn: list[tuple[int, float]]) -> None:
    # Two patients of each state there are always.
    all_states = [*drawn, (20, 0.0), (21, 0.0), (22, 1.0), (23, 1.0)]
    studies: list[Any] = [
        SimpleNamespace(study=str(n), patient=f"p{patient}", states=np.array([state]))
        for n, (patient, state) in enumerate(all_states)
    ]
    learned, held_out = search_sides(studies)
    assert sorted((*learned, *held_out), key=lambda each: int(each.study)) == studies
    assert not {each.patient for each in learned} & {each.patient for each in held_out}
    for side in (learned, held_out):
        assert {each.states[0] for each in side} == {0.0, 1.0}


def test_a_search_that_could_judge_nothing_is_refused() -> None:
    few = [SimpleNamespace(study=s, patient=s, states=np.array([float(s > "b")])) for s in "abc"]
    with pytest.raises(TrainingError, match="needs two patients of each state on the training side"):
        search_sides(few)  # type: ignore[arg-type]


def test_with_folds_it_is_told_that_the_search_flatters_them(
    ball_manifest: Manifest, ball_cache: Any, small_spec: ModelSpec, tmp_path: Any
) -> None:
    config = FinetuneConfig(epochs=1, steps_per_epoch=1, batch=2, rate_search=True)
    warnings = []
    for folds, split in ((2, ""), (None, None)):
        studies = tuple(replace(s, split=s.split if split is None else split) for s in ball_manifest.studies)
        warnings.append(
            finetune(
                ManifestSource(Manifest(studies)), TASKS["nodule"], small_spec, replace(config, folds=folds),
                store=ModelStore(tmp_path / str(folds)), cache=ball_cache, device="cpu", report=False,
            ).card.training["warnings"]
        )  # fmt: skip
    told = "studies that are validated in other folds, so the figures flatter a little"
    assert [any(told in each for each in found) for found in warnings] == [True, False]


def test_the_search_takes_the_studies_it_is_given() -> None:
    def try_out(
        config: FinetuneConfig, train: Sequence[LabelledStudy], validation: Sequence[LabelledStudy]
    ) -> Validation:
        assert {each.study for each in train} == {"0", "1"}
        assert [each.states[0] for each in validation] == [1.0]
        return found(0.5, 0.7)

    search = search_rate(FinetuneConfig(), made_up([1.0, 0.0]), made_up([1.0]), try_out)
    assert (search.train, search.validation) == (2, 1)
