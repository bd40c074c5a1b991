"""The JSON of an offer follows vptct.next/1, as clients read it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from made_up_site import MadeUpSite

from vpt_plugin.active.offers import Proposal

CONTRACT = json.loads((Path(__file__).parents[2] / "contract" / "active.json").read_text())["next"]["vptct"]
# What the server adds to it: whether a training is due, and the scoring that runs.
OF_THE_SERVER = {"retrain"}


def kinds(value: Any) -> Any:
    """What is inside of what, as JSON has it."""
    return sorted(value) if isinstance(value, dict) else type(value).__name__


def test_an_offer_has_what_the_contract_has(site: MadeUpSite) -> None:
    site.label("p00", "present")
    site.score(site.publish(), probabilities={"p04": 0.5}, dates={"p04": "20260314"})
    told = json.loads(json.dumps(site.next(strategy="uncertain").to_json(), allow_nan=False))
    assert set(told) == set(CONTRACT) - OF_THE_SERVER
    (study,), golden = told["studies"], CONTRACT["studies"][0]
    assert {name: kinds(each) for name, each in study.items() if name != "probabilities"} == {
        name: kinds(each) for name, each in golden.items() if name != "probabilities"
    }
    assert kinds(told["worklist"]) == kinds(CONTRACT["worklist"])
    assert set(told["scoring"]) <= set(CONTRACT["scoring"])
    assert set(told["labels"]["lung_nodule"]) == set(CONTRACT["labels"]["pulmonary_embolism"])


def test_the_group_of_a_typical_study_is_told_as_in_the_contract(site: MadeUpSite) -> None:
    site.score(site.cold())
    (study,) = site.next(strategy="typical").to_json()["studies"]
    assert study["cluster"]["studies"] >= 1
    assert set(study["cluster"]) == {"number", "studies", "labelled"}


def test_a_score_that_is_no_number_is_null() -> None:
    assert [Proposal("p00", "x", each, "").to_json()["score"] for each in (math.nan, math.inf, 0.5)] == [
        None,
        None,
        0.5,
    ]
