"""What a network's answer says, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from VPTCTLib.contract.estimate import Estimate
from VPTCTLib.contract.evidence import Check, Conformal, Suitability
from VPTCTLib.contract.info import ModelInfo
from VPTCTLib.contract.result import AnsweringModel, ClipResult, FindingResult, Result
from VPTCTLib.logic.answer_words import (
    finding_row,
    source_lines,
    source_tip,
    suitability_line,
    suitability_tip,
    uncertainty_line,
    warnings_of,
)


def finding(probability: float, threshold: float | None, decision: str | None) -> FindingResult:
    clips = (ClipResult(0, 31, (-180.0, -141.25), probability),)
    return FindingResult("pulmonary_embolism", probability, threshold, decision, -160.0, clips)


def result(*, version: int = 3, calibrated: bool = True, auroc: Any = None, warnings: Any = ()) -> Result:
    model = AnsweringModel("swin_t", version, "kinetics", 212, calibrated, auroc)
    return Result("pe", model, (finding(0.83, 0.41, "present"),), 0.66, 0.21, tuple(warnings), {}, {})


def served(version: int | None) -> ModelInfo:
    return ModelInfo(
        "pe_swin_t", "pe", "swin_t", "Swin-T", version is not None, None, version, "kinetics", 212, False,
        True, {}, {}, {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("probability", "threshold", "decision", "words"),
    [
        (0.83, 0.41, "present", "present: 0.83, above the threshold 0.41"),
        (0.41, 0.41, "present", "present: 0.41, at the threshold 0.41"),
        (0.12, 0.41, "absent", "absent: 0.12, below the threshold 0.41"),
        # Two digits would say that 0.41 is below 0.41.
        (0.4099, 0.4101, "absent", "absent: 0.4099, below the threshold 0.4101"),
        (0.83, None, None, "0.83; there is no threshold: decide yourself"),
    ],
)
def test_the_decision_is_the_servers_in_words(
    probability: float, threshold: float | None, decision: str | None, words: str
) -> None:
    row = finding_row(finding(probability, threshold, decision))
    assert (row.title, row.decision, row.state) == ("Pulmonary embolism", words, decision or "")


def test_uncertainty_is_told_with_its_scale() -> None:
    assert uncertainty_line(result()) == "Uncertainty 0.66 of 1; parts of the study differ by 0.21"


def test_who_answered_is_told_with_interval_and_calibration() -> None:
    said = result(auroc=Estimate(0.88, (0.81, 0.94), 60))
    assert source_lines(said, served(3), "") == (
        "Swin-T, version 3",
        "Validation AUROC 0.88 (0.81 to 0.94, n = 60); calibrated",
    )
    assert source_tip(said).startswith("Trained on 212 studies; pretraining: videos (Kinetics).")


def test_what_was_not_measured_is_not_available_and_what_is_not_calibrated_says_so() -> None:
    said = result(calibrated=False)
    lines = source_lines(said, None, "2026-11-20T20:31:05Z")
    assert lines[0].startswith("swin_t, version 3, answered 2026-11-2")
    assert lines[1] == "Validation AUROC n/a; not calibrated"
    assert source_tip(said).endswith("eight need not have it.")


def test_warnings_come_whole_with_what_is_to_be_said_beside_the_answer() -> None:
    said = result(warnings=["slice spacing 5.0 mm is outside what it was trained on"])
    assert warnings_of(said, "") == ("Slice spacing 5.0 mm is outside what it was trained on.",)
    assert warnings_of(said, "Version 4 answers now.")[1] == "Version 4 answers now."
    assert warnings_of(result(), "") == ()


def at_error_rate(decision: str, why: str = "") -> Conformal:
    return Conformal(decision, 0.1, why)


@pytest.mark.parametrize(
    ("threshold_says", "conformal", "state", "decision", "sure"),
    [
        ("present", at_error_rate("present"), "present", "present: 0.83, above the threshold 0.41",
         "Present at an error rate of 10 %."),
        ("present", at_error_rate("absent"), "present", "present: 0.83, above the threshold 0.41",
         "Absent at an error rate of 10 %."),
        ("present", at_error_rate("unsure", "Both were seen at 0.83."), "", "unsure at an error rate of 10 %",
         "Both were seen at 0.83. By the threshold alone: present: 0.83, above the threshold 0.41."),
    ],
)  # fmt: skip
def test_that_it_is_unsure_stands_before_what_the_threshold_alone_would_say(
    threshold_says: str, conformal: Conformal, state: str, decision: str, sure: str
) -> None:
    row = finding_row(replace(finding(0.83, 0.41, threshold_says), conformal=conformal))
    assert (row.state, row.decision, row.sure) == (state, decision, sure)


def test_of_a_study_that_is_none_for_the_network_nothing_is_decided() -> None:
    row = finding_row(finding(0.83, 0.41, "present"), unfit=True)
    assert (row.state, row.decision) == ("", "unsure: this network is not for this study")
    assert row.sure == "By the threshold alone: present: 0.83, above the threshold 0.41."


def test_what_an_older_server_does_not_tell_is_not_said() -> None:
    assert finding_row(finding(0.83, 0.41, "present")).sure == ""
    assert (suitability_line(result()), suitability_tip(result())) == ("", "")


def test_whether_the_study_is_one_for_the_network_is_told_with_all_that_was_looked_at() -> None:
    checks = (Check("lungs", "fits", "both lungs are there"), Check("kernel", "unknown", "no kernel is told"))
    said = replace(result(), suitability=Suitability("doubtful", checks))
    assert suitability_line(said) == "It is doubtful whether this network is for this study: see above."
    assert suitability_tip(said) == ("✓ Both lungs are there.\n? No kernel is told.")


def test_disagreeing_versions_are_told_where_they_were_asked() -> None:
    assert uncertainty_line(replace(result(), version_disagreement=0.05)).endswith(
        "; versions differ by 0.05"
    )
