"""The label contract ``vptct.label/1``."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import CONFIDENCES, STATES, FindingLabel, StudyLabel, now

CONTRACT = {
    "schema": "vptct.label/1",
    "task": "pe",
    "findings": {
        "pulmonary_embolism": {
            "state": "present",
            "slices_mm": [[-142.5, -118.0]],
            "confidence": "certain",
        }
    },
    "annotator": "user-xyz",
    "created": "2026-11-20T20:31:05Z",
    "seconds_spent": 74,
    "series_uid": "1.3.6",
    "model_suggestion": {"model": "pe/swin_t", "version": 3, "pulmonary_embolism": 0.83},
    "comment": "",
}


def changed(**values):
    return {**CONTRACT, **values}


def with_finding(**values):
    return changed(findings={"pulmonary_embolism": values})


def test_the_label_of_the_contract_goes_through_unchanged():
    label = StudyLabel.from_json(CONTRACT)
    assert label.findings["pulmonary_embolism"] == FindingLabel("present", ((-142.5, -118.0),), "certain")
    assert label.to_json() == CONTRACT
    assert StudyLabel.from_json(json.dumps(CONTRACT)) == label
    assert StudyLabel.from_json(json.dumps(CONTRACT).encode()) == label


def test_a_label_needs_only_a_task_and_a_finding():
    label = StudyLabel.from_json(
        {"schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": "absent"}}}
    )
    assert label.findings["lung_nodule"].slices_mm is None
    assert "slices_mm" not in label.to_json()["findings"]["lung_nodule"]


finite = st.floats(-3000, 3000)
ranges = st.lists(st.tuples(finite, finite).map(lambda pair: tuple(sorted(pair))), max_size=3).map(tuple)
finding_labels = st.one_of(
    st.builds(FindingLabel, st.just("present"), st.none() | ranges, st.sampled_from(CONFIDENCES)),
    st.builds(FindingLabel, st.sampled_from(STATES), st.none(), st.sampled_from(CONFIDENCES)),
)
study_labels = st.builds(
    StudyLabel,
    task=st.text(min_size=1),
    findings=st.dictionaries(st.text(min_size=1), finding_labels, min_size=1, max_size=3),
    annotator=st.text(),
    created=st.just("") | st.datetimes(datetime(1000, 1, 1)).map(lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ}"),
    seconds_spent=st.floats(0, 1e6) | st.integers(0, 10**6),
    series_uid=st.text(),
    model_suggestion=st.dictionaries(st.text(), st.floats(0, 1) | st.integers() | st.text(), max_size=3),
    comment=st.text(),
)


@given(study_labels)
def test_every_label_comes_back_from_its_json_as_it_was(label):
    assert StudyLabel.from_json(json.dumps(label.to_json())) == label


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "the label is not JSON"),
        (b"\xff\xfe{", "the label is not JSON"),
        ([CONTRACT], r"must be a JSON object with schema 'vptct\.label/1'"),
        (changed(schema="vptct.label/2"), r"with schema 'vptct\.label/1'"),
        (changed(anotator="x"), "unknown field 'anotator'; fields: annotator, comment"),
        ({key: CONTRACT[key] for key in CONTRACT if key != "task"}, "task is missing"),
        ({key: CONTRACT[key] for key in CONTRACT if key != "findings"}, "findings is missing"),
        (changed(task=3), "task has the wrong type in the label: 3"),
        (changed(created="20.11.2026"), "created '20.11.2026' is no time; write it as 2026-11-20T20:31:05Z"),
        (changed(created="2026-13-20T20:31:05Z"), "created '2026-13-20T20:31:05Z' is no time"),
        (changed(created="2026-11-20T20:31:05+01:00"), "is no time"),
        (changed(findings=[]), r"findings has the wrong type in the label: \[\]"),
        (changed(findings={}), "findings is empty; say present, absent or indeterminate"),
        (changed(seconds_spent="74"), "seconds_spent has the wrong type"),
        (changed(seconds_spent=True), "seconds_spent has the wrong type"),
        (changed(model_suggestion=[]), "model_suggestion has the wrong type"),
        (changed(seconds_spent=float("nan")), "seconds_spent holds a number that JSON does not know"),
        (changed(model_suggestion={"p": [1e999]}), "model_suggestion holds a number that JSON does not know"),
        (changed(findings={"pulmonary_embolism": "present"}), "embolism must be an object with a state"),
        (with_finding(), "findings.pulmonary_embolism: state is missing"),
        (with_finding(state="maybe"), "'maybe' is unknown; choose from present, absent, indeterminate"),
        (with_finding(state="present", confidence="sure"), "'sure' is unknown; choose from certain"),
        (with_finding(state="present", slice_mm=[]), r"unknown field findings\.pulmonary_embolism\.slice_mm"),
        (with_finding(state="present", slices_mm=[[1]]), r"slices_mm must be a list of \[low, high\] in mm"),
        (with_finding(state="present", slices_mm=[[1, "2"]]), "slices_mm must be a list"),
        (with_finding(state="present", slices_mm=[[2, 1]]), r"a range from 2\.0 to 1\.0"),
        (with_finding(state="present", slices_mm=[[float("nan"), 1]]), "from nan to 1.0; positions"),
        (with_finding(state="absent", slices_mm=[[1, 2]]), "slices_mm is given for a finding that is absent"),
    ],
)  # fmt: skip
def test_what_does_not_follow_the_contract_is_refused_with_the_field(data, message):
    with pytest.raises(LabelError, match=message):
        StudyLabel.from_json(data)


@pytest.mark.parametrize("mm", ["1" + "0" * 400, "-1" + "0" * 400, "100001", "1e400", "NaN", "Infinity"])
def test_positions_that_no_patient_has_are_refused(mm):
    text = json.dumps(with_finding(state="present", slices_mm=[[0, "MM"]])).replace('"MM"', mm)
    with pytest.raises(LabelError, match=r"findings\.pulmonary_embolism: slices_mm .*-100000 to 100000 mm"):
        StudyLabel.from_json(text)
    StudyLabel.from_json(with_finding(state="present", slices_mm=[[-100_000, 100_000]]))


LONG = "x" * 5000


@pytest.mark.parametrize(
    "data",
    [
        changed(**{LONG: 1}),
        changed(task=[LONG]),
        changed(findings={LONG: 1}),
        changed(findings={"a": {LONG: 1}}),
        changed(findings={LONG: {"state": "present", "slices_mm": 1}}),
        with_finding(state=LONG),
        with_finding(state="present", confidence=LONG),
        with_finding(state="present", slices_mm=[[0, 10**400]]),
        b'"' + b"\xff" * 5000,
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_message_holds_at_most_the_beginning_of_what_was_sent(data):
    with pytest.raises(LabelError) as caught:
        StudyLabel.from_json(data)
    assert len(str(caught.value)) < 400


def test_a_message_can_be_printed_whatever_was_sent():
    for findings in ({"\ud800": 1}, {"a": {"\ud800": 1}}):
        with pytest.raises(LabelError) as caught:
            StudyLabel.from_json(json.dumps(changed(findings=findings)))
        assert str(caught.value).encode()


def test_a_label_that_is_made_here_is_held_to_the_same_rules():
    with pytest.raises(LabelError, match="state 'yes' is unknown"):
        FindingLabel("yes")


def test_the_time_is_written_as_the_contract_has_it():
    assert len(now()) == len("2026-11-20T20:31:05Z")
    assert now().endswith("Z")
