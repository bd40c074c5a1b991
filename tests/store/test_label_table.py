"""Labels as a table: what a spreadsheet shows, and that all comes back."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import CONFIDENCES, MAX_MM, STATES, FindingLabel, StudyLabel
from vpt_plugin.store.label_table import COLUMNS, ENCODING, LabelEntry, read_table, write_table

HEADER = ",".join(COLUMNS)
LABEL = StudyLabel(
    task="pe",
    findings={
        "pulmonary_embolism": FindingLabel("present", ((-142.5, -118.0), (3.25, 9.0)), "certain"),
        "right_heart_strain": FindingLabel("indeterminate"),
    },
    annotator="anna",
    created="2026-11-20T20:31:05Z",
    seconds_spent=74.5,
    series_uid="1.3.6.1.4.1.14519.5.2.1",
    model_suggestion={"model": "pe/swin_t", "version": 3, "pulmonary_embolism": 0.83},
    comment="first, and\nsecond line",
)
ENTRY = LabelEntry("p01--ct.nii.gz", LABEL, 2, "2026-11-20T20:31:07.123Z")

# Whatever a label file may hold: any text at all, surrogates and control characters too.
texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "'",
        '"',
        '"a"',
        "a;=b",
        "a\n=b",
        "\ufeffx",
        "007",
        "1e5",
        "1.2",
        "a\r\nb",
        "\x00",
    ]
)
millimetres = st.floats(-MAX_MM, MAX_MM)
ranges = st.lists(
    st.tuples(millimetres, millimetres).map(lambda pair: (min(pair), max(pair))), max_size=3
).map(tuple)
present = st.builds(FindingLabel, st.just("present"), st.none() | ranges, st.sampled_from(CONFIDENCES))
others = st.builds(
    FindingLabel, st.sampled_from(STATES[1:]), st.sampled_from([None, ()]), st.sampled_from(CONFIDENCES)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
labels = st.builds(
    StudyLabel,
    task=st.sampled_from(["pe", "nodule", "e5"]),
    findings=st.dictionaries(texts, present | others, min_size=1, max_size=3),
    annotator=texts,
    created=st.sampled_from(["", "2026-11-20T20:31:05Z"]),
    seconds_spent=st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False),
    series_uid=texts,
    model_suggestion=st.dictionaries(texts, json_values, max_size=3),
    comment=texts,
)


def as_spreadsheet(text: str) -> list[dict[str, str]]:
    """The cells as a spreadsheet shows them: Python's csv module reads what Excel writes."""
    data = text.encode(ENCODING)
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def without_place(entries: list[LabelEntry]) -> list[LabelEntry]:
    return [replace(entry, place="") for entry in entries]


@given(labels, st.sampled_from(["p01--ct.nii.gz", "0001", "1.2.3", "1e5"]), st.integers(0, 10**9 - 1))
def test_every_label_of_the_contract_comes_back_as_it_was(
    label: StudyLabel, study: str, version: int
) -> None:
    entry = LabelEntry(study, label, version)
    data = write_table([entry]).encode(ENCODING)
    (read,) = without_place(read_table(data.decode("utf-8-sig")))
    assert read == entry
    # Beyond equality: 74 stays an integer, and findings keep their order.
    assert repr(read.label.to_json()) == repr(label.to_json())


@given(labels)
def test_no_cell_begins_like_a_formula_however_a_spreadsheet_takes_the_lines_apart(label: StudyLabel) -> None:
    text = write_table([LabelEntry("p01", label)])
    cells = [cell for row in as_spreadsheet(text) for cell in row.values()]
    # Where the separator is a semicolon or a tab, quotes inside of a line mean nothing.
    cells += [part.strip("\"' ") for part in re.split(r"[;\t\r\n]", text)]
    for cell in cells:
        assert not re.match(r"\s*[=+@＝＋－＠]", cell), cell
        # A minus is fine where it begins a number.
        assert not cell.lstrip().startswith("-") or math.isfinite(float(cell)), cell


def test_a_table_is_what_a_person_expects_to_see() -> None:
    text = write_table([ENTRY])
    assert text.endswith("\r\n")
    first, second = as_spreadsheet(text)
    assert first == {
        "study": "p01--ct.nii.gz",
        "task": "pe",
        "version": "2",
        "finding": "pulmonary_embolism",
        "state": "present",
        "slices_mm": "[[-142.5, -118.0], [3.25, 9.0]]",
        "confidence": "certain",
        "annotator": "anna",
        "created": "2026-11-20T20:31:05Z",
        "seconds_spent": "74.5",
        "series_uid": "1.3.6.1.4.1.14519.5.2.1",
        "model_suggestion": '{"model": "pe/swin_t", "version": 3, "pulmonary_embolism": 0.83}',
        "comment": "first, and\nsecond line",
        "saved": "2026-11-20T20:31:07.123Z",
    }
    assert second == {
        **first, "finding": "right_heart_strain", "state": "indeterminate", "slices_mm": "", "confidence": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("comment", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  =1+1", "'  =1+1"),
        ("-1 mm", "'-1 mm"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("0012", "'0012"),
        ("3/4", "'3/4"),
        ("'quoted'", "''quoted'"),
        ('"quoted"', '\'"quoted"'),
        ("see above; =1+1", '"see above\\u003b =1+1"'),
        ("two\n-lines", '"two\\n-lines"'),
        ("a\x00b", '"a\\u0000b"'),
        ("4 mm; stable", "4 mm; stable"),
        ("Rückfrage", "Rückfrage"),
    ],
)
def test_what_a_spreadsheet_would_run_change_or_lose_is_guarded_and_nothing_else(
    comment: str, cell: str
) -> None:
    text = write_table([LabelEntry("p01", StudyLabel("pe", {"f": FindingLabel("absent")}, comment=comment))])
    assert [row["comment"] for row in as_spreadsheet(text)] == [cell]
    assert [entry.label.comment for entry in read_table(text)] == [comment]


def test_the_order_of_rows_and_columns_and_missing_columns_do_not_matter() -> None:
    (one,) = read_table("finding;state;study;task\nb;absent;p2;pe\nb;present;p1;pe\n;;;\na;absent;p2;pe\n")[
        :1
    ]
    assert one.place == "line 2"
    assert (one.study, one.version, list(one.label.findings)) == ("p2", 0, ["b", "a"])
    assert one.label.seconds_spent == 0


def rows(*changes: dict[str, str]) -> str:
    """A table of the entry's first row, once for every change to it."""
    row = as_spreadsheet(write_table([ENTRY]))[0]
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows([{**row, **change} for change in changes])
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the file is empty"),
        ("study,task,finding\n", "line 1: the column state is missing"),
        (f"{HEADER},extra\n", "line 1: the column 'extra' is unknown"),
        (f"{HEADER},state\n", "line 1: the column state is there twice"),
        (f"{HEADER}\np01,pe\n", "line 2: there are 2 cells, not 14"),
        (f'{HEADER}\np01,"pe', "line 2: this is no row of a CSV table"),
        # Each row of the entry takes two lines, for the line end in its comment.
        (rows({}, {"finding": "b", "state": "maybe"}), "line 4: findings.b: state 'maybe' is unknown"),
        (rows({}, {"finding": ""}), "line 4, field finding: nothing is there"),
        (rows({}, {}), "line 4, field finding: 'pulmonary_embolism' is already in line 2"),
        (rows({}, {"finding": "b", "annotator": "otto"}), "line 4, field annotator: it differs from line 2"),
        (rows({"slices_mm": "-142.5 to -118"}), "line 2, field slices_mm: '-142.5 to -118' is not JSON"),
        (rows({"slices_mm": "[[3, 1]]"}), "line 2: findings.pulmonary_embolism: slices_mm has a range"),
        (rows({"model_suggestion": "3"}), "line 2: model_suggestion has the wrong type"),
        (rows({"seconds_spent": "74,5"}), "line 2, field seconds_spent: '74,5' is no number"),
        (rows({"seconds_spent": "1e999"}), "line 2, field seconds_spent"),
        (rows({"seconds_spent": "-"}), "line 2, field seconds_spent"),
        (rows({"version": "2.0"}), "line 2, field version: '2.0' is no whole number"),
        (rows({"created": "20.11.2026"}), "line 2: created '20.11.2026' is no time"),
        (rows({"comment": '"half'}), "line 2, field comment"),
        (rows({"comment": "x" * 200_000}), "line 2: this is no row of a CSV table: field larger than"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_by_line_and_field(text: str, told: str) -> None:
    with pytest.raises(LabelError, match=re.escape(told)):
        read_table(text)


def test_numbers_as_a_spreadsheet_writes_them_back_are_read() -> None:
    values: list[Any] = [
        entry.label.seconds_spent
        for entry in read_table(
            rows({"seconds_spent": "74", "version": "1"}, {"seconds_spent": "7.45E+01", "version": "3"})
        )
    ]
    assert values == [74, 74.5]
