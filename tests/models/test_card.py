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


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"model": ["tiny"]}, r"model is \['tiny'\], no text"),
        ({"task": None}, "task is None, no text"),
        ({"findings": "lung_nodule"}, "findings is 'lung_nodule', no list"),
        ({"findings": [1, 2]}, "findings is"),
        ({"findings": []}, "findings is"),
        ({"findings": ["a", "a"]}, "findings is"),
        ({"clip_slices": "x"}, "clip_slices is 'x', no whole number"),
        ({"clip_slices": 0}, "clip_slices is 0, no number of slices"),
        ({"version": True}, "version is True, no whole number"),
        ({"calibrated": "yes"}, "calibrated is 'yes', neither true nor false"),
        ({"temperature": "x"}, "temperature is 'x', no number"),
        ({"temperature": 0}, "temperature is 0, nothing that logits can be divided by"),
        ({"temperature": -1.5}, "temperature is -1.5"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"thresholds": [1]}, r"thresholds is \[1\], no object"),
        ({"thresholds": {"lung_nodule": 10**400}}, "too large"),
        ({"ranges": {"slices": [1]}}, "not enough values"),
        ({"headers": {"kernel": ["B30f"]}}, "headers is"),
        ({"validation_auroc": {"lung_nodule": {}}}, "it lacks ci95"),
        ({"conformal": {"a": 1}}, "it lacks findings"),
        ({"conformal": [1]}, "list indices"),
    ],
)
def test_a_card_that_says_something_else_than_a_card_is_refused_by_name(
    damage: dict[str, object], told: str
) -> None:
    with pytest.raises(ModelCardError, match=f"the model card is damaged: .*{told}"):
        ModelCard.from_json({**CARD.to_json(), **damage})


def test_a_card_that_lacks_what_every_card_has_is_refused_by_name() -> None:
    data = CARD.to_json()
    del data["model"]
    with pytest.raises(ModelCardError, match="it lacks model"):
        ModelCard.from_json(data)
    with pytest.raises(ModelCardError, match="is damaged"):
        ModelCard.from_json("{")


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
