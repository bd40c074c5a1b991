"""What a structured report says, read from the file as another system would read it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from report_bench import CARD, JAPANESE, PUBLIC, answer, write_series

from vpt_plugin.ct.suitability.verdict import Check, Suitability
from vpt_plugin.dicom_report import ReportSource, read_source, report_of
from vpt_plugin.dicom_report.report import file_bytes
from vpt_plugin.inference.prediction import Prediction
from vpt_plugin.models.card import Estimate
from vpt_plugin.tasks import TASKS, FindingCode, HUWindow, ReadingTask

NODULE = TASKS["nodule"]
NOON = datetime(2026, 11, 21, 12, 0, 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ReportSource:
    return read_source(write_series(tmp_path_factory.mktemp("series") / "ct"))


def stored(prediction: Prediction, source: ReportSource, task: ReadingTask = NODULE) -> Dataset:
    """The report after it was a file."""
    return pydicom.dcmread(BytesIO(file_bytes(report_of(prediction, source, task, created=NOON))))


def items(report: Dataset, kind: str) -> list[tuple[str, Dataset]]:
    """All items of a kind by what they are called, in the order of the tree."""
    found = []
    for item in report.ContentSequence:
        if item.ValueType == kind:
            found.append((item.ConceptNameCodeSequence[0].CodeMeaning, item))
        found += items(item, kind) if "ContentSequence" in item else []
    return found


def texts(report: Dataset) -> list[str]:
    return [item.TextValue for _, item in items(report, "TEXT")]


def figures(report: Dataset) -> dict[str, float]:
    """The measured values by what they are called."""
    numbers = {name: item.MeasuredValueSequence[0] for name, item in items(report, "NUM")}
    return {name: float(each.NumericValue) for name, each in numbers.items()}


def coded(report: Dataset) -> dict[str, tuple[str, str, str]]:
    """The codes by what they are said of."""
    values = {name: item.ConceptCodeSequence[0] for name, item in items(report, "CODE")}
    return {
        name: (code.CodingSchemeDesignator, code.CodeValue, code.CodeMeaning) for name, code in values.items()
    }


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return (done.stdout + done.stderr).splitlines()


def images(report: Dataset, name: str) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for called, item in items(report, "IMAGE")
        if called == name
    ]


def test_the_probability_is_a_measurement_with_its_unit_beside_the_threshold(source: ReportSource) -> None:
    report = stored(answer(0.8312), source)
    numbers = {name: item.MeasuredValueSequence[0] for name, item in items(report, "NUM")}
    assert {name: float(each.NumericValue) for name, each in numbers.items()} == {
        "Probability": 0.831,
        "Probability from which the finding counts as present": 0.41,
    }
    units = [each.MeasurementUnitsCodeSequence[0] for each in numbers.values()]
    assert {(unit.CodingSchemeDesignator, unit.CodeValue) for unit in units} == {("UCUM", "1")}


# Three digits, and more only where three would stand on the other side of the threshold.
@pytest.mark.parametrize(
    ("probability", "threshold", "told"),
    [
        (0.40984, 0.4102, 0.41),
        (0.41017, 0.4102, 0.41),
        (0.41025, 0.4102, 0.4103),
        (0.40999, 0.41, 0.40999),
        (0.999999, 1.0, 0.999999),
        (0.41, 0.41, 0.41),
    ],
)
def test_the_figures_never_contradict_the_decision(
    probability: float, threshold: float, told: float, source: ReportSource
) -> None:
    prediction = answer(probability, conformal="unsure")
    (finding,) = prediction.findings
    assert finding.conformal is not None
    rare = replace(finding, threshold=threshold, conformal=replace(finding.conformal, error_rate=0.0004))
    report = stored(replace(prediction, findings=(rare,)), source)
    assert figures(report) == {
        "Probability": told,
        "Probability from which the finding counts as present": threshold,
        "Error rate chosen by the site": 0.0004,
    }
    assert coded(report)["Decision at the threshold"][2].lower() == rare.decision


def test_a_threshold_of_many_digits_is_told_as_it_was_chosen(source: ReportSource) -> None:
    (finding,) = answer().findings
    chosen = replace(answer(), findings=(replace(finding, threshold=0.1 + 0.2),))
    (threshold,) = (
        item.MeasuredValueSequence[0]
        for name, item in items(stored(chosen, source), "NUM")
        if name != "Probability"
    )
    assert threshold.FloatingPointValue == 0.30000000000000004
    assert len(str(threshold.NumericValue)) <= 16


def test_a_threshold_that_could_not_be_chosen_is_left_out(source: ReportSource) -> None:
    (finding,) = answer().findings
    unknown = replace(answer(), findings=(replace(finding, threshold=float("nan")),))
    assert figures(stored(unknown, source)) == {"Probability": 0.831}


def test_the_finding_is_coded_in_snomed_with_radlex_as_its_equal(source: ReportSource) -> None:
    report = stored(answer(), source)
    assert coded(report)["Finding"] == ("SCT", "786838002", "Nodule of lung")
    (finding,) = (item for name, item in items(report, "CODE") if name == "Finding")
    equal = finding.ConceptCodeSequence[0].EquivalentCodeSequence[0]
    assert (equal.CodingSchemeDesignator, equal.CodeValue) == ("RADLEX", "RID50149")


def test_the_decision_is_coded_and_unsure_is_neither_present_nor_absent(source: ReportSource) -> None:
    report = stored(answer(0.5, conformal="unsure"), source)
    assert coded(report)["Decision at the threshold"] == ("SCT", "52101004", "Present")
    assert coded(report)["Decision at the chosen error rate"] == ("SCT", "373068000", "Undetermined")
    assert "Neither can be ruled out." in texts(report)
    absent = stored(answer(0.2, conformal="absent"), source)
    assert coded(absent)["Decision at the threshold"] == ("SCT", "272519000", "Absent")
    assert coded(absent)["Decision at the chosen error rate"] == ("SCT", "272519000", "Absent")


@pytest.mark.parametrize(
    ("probability", "conformal", "state"),
    [
        (0.83, None, ("SCT", "52101004", "Present")),
        (0.83, "present", ("SCT", "52101004", "Present")),
        (0.2, None, ("SCT", "272519000", "Absent")),
        (0.2, "absent", ("SCT", "272519000", "Absent")),
        (0.83, "unsure", ("SCT", "373068000", "Undetermined")),
        (0.2, "present", ("SCT", "373068000", "Undetermined")),
    ],
)
def test_only_what_all_decisions_call_present_is_a_coded_finding(
    probability: float, conformal: str | None, state: tuple[str, str, str], source: ReportSource
) -> None:
    report = stored(answer(probability, conformal=conformal), source)
    assert coded(report)["Nodule of lung"] == state
    assert ("Finding" in coded(report)) == (state[2] == "Present")
    # What was asked is known all the same.
    (asked,) = (item for name, item in items(report, "CODE") if name == "Nodule of lung")
    assert asked.ConceptNameCodeSequence[0].CodeValue == "786838002"
    assert "lung_nodule" in texts(report)


def test_the_positive_slices_are_those_of_the_clips_above_the_threshold(source: ReportSource) -> None:
    report = stored(answer(), source)
    # The clip from slice 3 to slice 6, and in it the key slice at 8 mm, the one of index 4.
    assert images(report, "Illustration of Finding") == [each.instance_uid for each in source.slices[3:7]]
    assert images(report, "Best illustration of finding") == [source.slices[4].instance_uid]
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    others = report.PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert (len(evidence.ReferencedSOPSequence), len(others.ReferencedSOPSequence)) == (4, 6)
    assert evidence.SeriesInstanceUID == source.series_uid


def test_no_slice_illustrates_what_is_absent(source: ReportSource) -> None:
    report = stored(answer(0.2), source)
    assert items(report, "IMAGE") == []
    assert not any("Look first" in text for text in texts(report))


def test_who_said_it_is_a_program_with_its_version_and_its_weights(source: ReportSource) -> None:
    said = texts(stored(answer(), source))
    assert {"VPTCT nodule/tiny", "3", f"Weights SHA-256 {'ab' * 32}"} <= set(said)
    assert "Validation AUROC 0.88 (95 % interval 0.81 to 0.94, 60 studies)" in said
    phantoms = texts(stored(answer(card=replace(CARD, synthetic=True)), source))
    assert "Pretraining none, finetuned on 212 synthetic phantoms, no patients" in phantoms
    perfect = replace(CARD, validation_auroc={"lung_nodule": Estimate(1.0, (float("nan"),) * 2, 34)})
    said = texts(stored(answer(card=perfect), source))
    assert "Validation AUROC 1.00 (no interval, 34 studies)" in said
    unknown = replace(CARD, validation_auroc={"lung_nodule": Estimate(float("nan"), (float("nan"),) * 2, 9)})
    assert "Validation AUROC undefined" in texts(stored(answer(card=unknown), source))


def test_that_it_is_not_for_clinical_use_comes_first_then_the_warnings(source: ReportSource) -> None:
    doubtful = Suitability((Check("lungs", "doubtful", "half a chest"),))
    prediction = replace(answer(warnings=("half a chest", "5 mm slices")), suitability=doubtful)
    remarks = [
        item.TextValue for name, item in items(stored(prediction, source), "TEXT") if name == "Comment"
    ]
    assert remarks[0].startswith("Not for clinical use")
    assert remarks[1:4] == [
        "Is this study one for this model: doubtful.",
        "Warning: half a chest",
        "Warning: 5 mm slices",
    ]
    report = stored(prediction, source)
    assert report.SeriesDescription == "Research only: VPTCT nodule/tiny version 3"
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def test_of_a_study_that_is_none_for_the_model_nothing_is_said_to_be_present(source: ReportSource) -> None:
    unfit = Suitability((Check("lungs", "unfit", "no lungs were found"),))
    report = stored(replace(answer(0.83), suitability=unfit), source)
    assert coded(report)["Nodule of lung"] == ("SCT", "373068000", "Undetermined")
    assert "Finding" not in coded(report)


def test_the_same_answer_is_the_same_instance_whenever_it_is_told(source: ReportSource) -> None:
    first = report_of(answer(0.8312), source, NODULE, created=NOON)
    # Another computer differs in the fifth digit, and later.
    again = report_of(answer(0.83118), source, NODULE, created=datetime(2030, 1, 1))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    assert (first.ContentDate, first.ContentTime) == ("20261121", "120000")
    # The days are all that two files of one answer differ in.
    differing = {each.keyword for each in again if each.keyword not in first or each != first[each.keyword]}
    assert differing <= {"ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "TimezoneOffsetFromUTC"}
    assert UID(first.SOPInstanceUID).is_valid
    assert first.StudyInstanceUID == source.study_uid


@pytest.mark.parametrize(
    "other",
    [
        answer(0.7),
        answer(conformal="present"),
        answer(warnings=("5 mm slices",)),
        answer(card=replace(CARD, version=4)),
        answer(card=replace(CARD, weights_sha256="cd" * 32)),
    ],
    ids=["probability", "decision", "warning", "version", "weights"],
)
def test_another_answer_is_another_instance(other: Prediction, source: ReportSource) -> None:
    told = [report_of(each, source, NODULE) for each in (answer(), other)]
    assert len({each.SOPInstanceUID for each in told}) == 2
    # Each in a series of its own: none has two documents of one number.
    assert len({each.SeriesInstanceUID for each in told}) == 2


def test_the_series_tells_its_version_whatever_the_models_name(source: ReportSource) -> None:
    long = report_of(answer(card=replace(CARD, model="m" * 80, version=12)), source, NODULE).SeriesDescription
    assert long == f"Research only: VPTCT nodule/{'m' * 25} version 12"
    assert len(long) == 64


def test_an_answer_for_fewer_slices_of_a_series_is_another_instance(source: ReportSource) -> None:
    fewer = replace(source, slices=source.slices[:-1])
    told = [report_of(answer(), each, NODULE).SOPInstanceUID for each in (source, fewer)]
    assert len(set(told)) == 2


def test_a_finding_without_a_code_is_coded_as_our_own_and_long_names_stay_apart(source: ReportSource) -> None:
    names = ("heart", "ground_glass_opacity_left", "ground_glass_opacity_right")
    task = ReadingTask("own", "Own", names, HUWindow(0, 400))
    seen = []
    for name in names:
        card = replace(CARD, task="own", findings=(name,))
        report = stored(answer(card=card), source, task)
        seen.append(coded(report)["Finding"])
        assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99VPTCT"
    assert seen[0] == ("99VPTCT", "heart", "Heart")
    assert len({value for _, value, _ in seen}) == 3
    assert all(len(value) <= 16 for _, value, _ in seen)


def test_a_site_may_code_its_own_findings(source: ReportSource) -> None:
    codes = (FindingCode("effusion", "SCT", "60046008", "Pleural effusion"),)
    task = ReadingTask("effusion", "Effusion", ("effusion",), HUWindow(0, 400), codes=codes)
    report = stored(answer(card=replace(CARD, task="effusion", findings=("effusion",))), source, task)
    assert coded(report)["Finding"] == ("SCT", "60046008", "Pleural effusion")


@pytest.mark.parametrize(
    ("program", "study"),
    [
        ("dsrdump", {}),
        ("dciodvfy", {}),
        ("dciodvfy", {"PatientID": ""}),
        ("dsrdump", JAPANESE),
        ("dciodvfy", {**JAPANESE, **PUBLIC}),
    ],
    ids=[
        "dsrdump", "dciodvfy", "dciodvfy without a patient's id", "dsrdump in Japanese",
        "dciodvfy in Japanese with codes of what was taken out",
    ],
)  # fmt: skip
def test_other_programs_find_no_error_in_it(program: str, study: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: on Debian or Ubuntu, sudo apt-get install dcmtk dicom3tools")
    source = read_source(write_series(tmp_path / "ct", StudyID="1", **study))
    path = tmp_path / "report.dcm"
    report = report_of(answer(conformal="unsure", warnings=("5 mm slices",)), source, NODULE)
    path.write_bytes(file_bytes(report))
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # So dciodvfy begins a line, so does DCMTK.
    assert not [line for line in lines(done) if line.startswith(("Error - ", "E: ", "F: "))]


def test_the_programs_that_check_would_find_an_error(tmp_path: Path, source: ReportSource) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy: on Debian or Ubuntu, sudo apt-get install dicom3tools")
    report = report_of(answer(), source, NODULE)
    del report.CompletionFlag
    (tmp_path / "report.dcm").write_bytes(file_bytes(report))
    done = subprocess.run(
        ["dciodvfy", str(tmp_path / "report.dcm")], capture_output=True, text=True, check=False
    )
    assert [line for line in lines(done) if line.startswith("Error - ")]
