"""The model card and its JSON: what old cards lack, what newer ones have more."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.card import Estimate, ModelCard

CARD = ModelCard(
    "nodule", "tiny", ("lung_nodule",), "none", 16,
    validation_auroc={"lung_nodule": Estimate(0.9, (0.8, 1.0), 8)},
    metrics={
        "study": {
            "lung_nodule": {"auroc": Estimate(0.9, (0.8, 1.0), 8), "brier": Estimate(0.1, (0.0, 0.2), 8)}
        },
        "clip": {"lung_nodule": {"auroc": Estimate(0.7, (0.6, 0.8), 240)}},
    },
    threshold_rule="sensitivity:0.95",
    calibration="Fitted on 8 studies.",
    comparison={"better": False, "share": None, "sentence": "It is not better."},
)  # fmt: skip


def test_a_card_comes_back_from_its_json_as_it_was() -> None:
    assert ModelCard.from_json(json.dumps(CARD.to_json())) == CARD


def test_a_card_from_before_there_were_metrics_reads() -> None:
    data = CARD.to_json()
    for name in ("metrics", "threshold_rule", "calibration", "comparison"):
        del data[name]
    expected = replace(CARD, metrics={}, threshold_rule="", calibration="", comparison={})
    assert ModelCard.from_json(data) == expected


def test_fields_of_a_newer_vptct_are_kept_as_they_are_and_replace_none_of_ours() -> None:
    card = ModelCard.from_json({**CARD.to_json(), "fairness": {"by_age": 1}})
    assert card.unknown == {"fairness": {"by_age": 1}}
    assert card.to_json() == {**CARD.to_json(), "fairness": {"by_age": 1}}
    assert replace(card, unknown={"task": "pe"}).to_json()["task"] == "nodule"


def test_a_card_of_another_schema_is_refused() -> None:
    with pytest.raises(ModelCardError, match=r"does not follow 'vptct\.card/1'"):
        ModelCard.from_json({**CARD.to_json(), "schema": "vptct.card/2"})


def test_what_is_undefined_is_null_for_programs_that_know_no_nan() -> None:
    nan = float("nan")
    card = replace(
        CARD,
        thresholds={"lung_nodule": nan},
        metrics={"study": {"lung_nodule": {"auroc": Estimate(nan, (nan, nan), 0)}}},
    )
    text = json.dumps(card.to_json(), allow_nan=False)
    read = ModelCard.from_json(text)
    assert math.isnan(read.threshold("lung_nodule"))
    assert math.isnan(read.metrics["study"]["lung_nodule"]["auroc"].value)
