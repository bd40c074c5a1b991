"""The answer and its JSON, on numbers one can check by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from vpt_plugin.ct.suitability.verdict import Check, Distance, Suitability
from vpt_plugin.inference import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.inference.conformal import ConformalDecision
from vpt_plugin.inference.evidence import HeatMapFacts, MapFacts
from vpt_plugin.inference.prediction import VersionAnswer, binary_entropy_bits, standard_deviation
from vpt_plugin.models.card import Estimate, ModelCard

CARD = ModelCard(
    task="pe",
    model="swin_t",
    findings=("pulmonary_embolism",),
    pretraining="kinetics",
    clip_slices=32,
    version=3,
    trained_on=212,
    calibrated=True,
    validation_auroc={"pulmonary_embolism": Estimate(0.88, (0.81, 0.94), 60)},
)


def finding(
    probabilities: list[float], *, threshold: float = 0.5, name: str = "pulmonary_embolism"
) -> FindingPrediction:
    """Clips of 10 slices side by side, 1 mm apart, from z = -100 mm on; the study takes the highest."""
    clips = tuple(
        ClipProbability(10 * i, 10 * i + 9, (10.0 * i - 100, 10.0 * i - 91), p)
        for i, p in enumerate(probabilities)
    )
    return FindingPrediction(name, max(probabilities), threshold, -96.0, clips)


def prediction(*findings: FindingPrediction, card: ModelCard = CARD) -> Prediction:
    return Prediction(card, findings, ("a warning",), {"read": 0.5, "total": 1.5})


def test_the_decision_is_present_from_the_threshold_on() -> None:
    assert finding([0.41], threshold=0.41).decision == "present"
    assert finding([0.4099], threshold=0.41).decision == "absent"


@pytest.mark.parametrize(("probability", "bits"), [(0.5, 1.0), (0.83, 0.658), (0.25, 0.811), (0, 0), (1, 0)])
def test_entropy_is_one_bit_at_a_half_and_nothing_when_sure(probability: float, bits: float) -> None:
    assert binary_entropy_bits(probability) == pytest.approx(bits, abs=5e-4)


def test_disagreement_is_the_standard_deviation_over_all_clips() -> None:
    assert standard_deviation([0.25, 0.75]) == 0.25
    assert standard_deviation([0.0, 1.0]) == 0.5
    assert standard_deviation([0.3]) == 0.0
    assert prediction(finding([0.25, 0.75])).clip_disagreement == 0.25


def test_uncertainty_of_several_findings_is_that_of_the_most_uncertain() -> None:
    answer = prediction(finding([0.5, 0.5]), finding([0.0, 1.0], name="effusion"))
    assert answer.entropy == 1.0
    assert answer.clip_disagreement == 0.5


def test_clips_that_touch_and_speak_for_the_finding_make_one_range() -> None:
    assert finding([0.1, 0.6, 0.7, 0.2, 0.9]).evidence_mm == [(-90.0, -71.0), (-60.0, -51.0)]
    assert finding([0.1, 0.2]).evidence_mm == []


def test_versions_disagree_by_the_standard_deviation_over_this_one_and_the_others() -> None:
    def other(version: int, **probabilities: float) -> VersionAnswer:
        return VersionAnswer("swin_t", version, probabilities)

    answer = prediction(finding([0.75], name="a"), finding([0.5], name="b"))
    assert answer.version_disagreement is None
    answer = replace(answer, versions=(other(2, a=0.25, b=0.5), other(1, a=0.25, b=0.5)))
    # Of 0.75, 0.25 and 0.25; those of b agree.
    assert answer.version_disagreement == pytest.approx(math.sqrt(1 / 18))


def test_the_json_is_that_of_the_contract_with_monai_labels_own_list_first() -> None:
    contract = json.loads((Path(__file__).parent / "contract" / "result.json").read_text(encoding="utf-8"))
    clips = (
        ClipProbability(0, 31, (-180.0, -141.25), 0.12),
        ClipProbability(24, 55, (-150.0, -111.25), 0.83),
        ClipProbability(28, 59, (-145.0, -106.25), 0.77),
    )
    suits = contract["vptct"]["suitability"]
    conformal = ConformalDecision(**contract["vptct"]["findings"][0]["conformal"])
    data = Prediction(
        CARD,
        (FindingPrediction("pulmonary_embolism", 0.83, 0.41, -128.0, clips, conformal),),
        tuple(contract["vptct"]["warnings"]),
        {"read": 0.9, "prepare": 0.3, "network": 2.1, "total": 3.3},
        computed=contract["vptct"]["computed"],
        versions=(VersionAnswer("swin_t", 2, {"pulmonary_embolism": 0.71}),),
        suitability=Suitability(
            tuple(Check(**each) for each in suits["checks"]), Distance(**suits["distance"])
        ),
        heat_map=HeatMapFacts(
            "layer CAM of the last two stages",
            (MapFacts("pulmonary_embolism", "file", -128.0, (12.0, -40.5, -128.0)),),
        ),
    ).to_json()
    assert list(data) == ["prediction", "vptct"]
    uncertainty, in_the_file = data["vptct"]["uncertainty"], contract["vptct"]["uncertainty"]
    assert uncertainty.pop("versions") == in_the_file.pop("versions")
    # The file gives the figures with two digits.
    assert uncertainty == pytest.approx(in_the_file, abs=5e-3)
    assert {**data["vptct"], "uncertainty": None} == {**contract["vptct"], "uncertainty": None}
    assert data["prediction"] == contract["prediction"]


def test_an_undefined_auroc_is_null_because_json_knows_no_nan() -> None:
    undefined = Estimate(math.nan, (math.nan, math.nan), 3)
    card = ModelCard("pe", "tiny", ("pulmonary_embolism",), "none", 32, validation_auroc={"x": undefined})
    text = json.dumps(prediction(finding([0.5]), card=card).to_json(), allow_nan=False)
    assert json.loads(text)["vptct"]["model"]["validation_auroc"] == {
        "value": None,
        "ci95": [None, None],
        "n": 3,
    }


@pytest.mark.parametrize(("values", "shown"), [({}, None), ({"a": 0.9, "b": 0.7}, 0.7)])
def test_the_one_auroc_of_a_model_is_that_of_its_weakest_finding(
    values: dict[str, float], shown: float | None
) -> None:
    estimates = {name: Estimate(value, (0.5, 1.0), 10) for name, value in values.items()}
    card = ModelCard("t", "tiny", ("a", "b"), "none", 32, validation_auroc=estimates)
    model = prediction(finding([0.5]), card=card).to_json()["vptct"]["model"]
    assert (model["validation_auroc"] or {}).get("value") == shown
