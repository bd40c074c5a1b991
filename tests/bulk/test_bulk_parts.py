"""Parts: what is written counts once, whole or not at all."""

from __future__ import annotations

import csv
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra `study`")

import pyarrow.parquet as pq

from vpt_plugin.bulk.parts import Parts
from vpt_plugin.bulk.rows import AnsweredBy, Refusal, StudyAnswer, answer_schema
from vpt_plugin.ct.suitability import Suitability
from vpt_plugin.ct.suitability.verdict import Check
from vpt_plugin.errors import VptError
from vpt_plugin.inference.conformal import ConformalDecision
from vpt_plugin.inference.prediction import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.models.card import ModelCard

BY = AnsweredBy("pe", "tiny", 7, "ab" * 32, "0.1.0")
FINISHED = "2026-11-21T16:00:00Z"
SURE = ConformalDecision("present", 0.05, p_present=0.5, p_absent=0.04, why="Few without it got so much.")
# What came with issue 9; a part of an earlier VPTCT lacks them.
NEW_COLUMNS = ["sure", "error_rate", "p_present", "p_absent", "suitability"]


def answer(study: str, probability: float = 0.75, key_slice_mm: float = -25.0) -> StudyAnswer:
    """Of two findings; the first is present in two runs of clips, the second is absent."""
    clips = (
        ClipProbability(0, 3, (-40.0, -10.0), 0.9),
        ClipProbability(4, 7, (0.0, 30.0), 0.1),
        ClipProbability(8, 11, (40.0, 70.0), 0.9),
    )
    prediction = Prediction(
        ModelCard("pe", "tiny", ("pe", "acute"), "none", 4, version=7),
        (
            FindingPrediction("pe", probability, 0.5, key_slice_mm, clips, SURE),
            FindingPrediction("acute", 0.25, 0.95, -25.0, clips),
        ),
        warnings=("thick slices", "a note of the scanner"),
        seconds={"read": 0.5, "prepare": 0.25, "network": 1.0, "total": 1.75},
        suitability=Suitability((Check("lungs", "doubtful", "only a little lung was found"),)),
    )
    return StudyAnswer(study, f"{study}.nrrd", "1.2.3", prediction, "cpu", "float32", FINISHED)


def refusal(study: str, error: str = "GeometryError") -> Refusal:
    return Refusal(study, error, "slices are missing.", FINISHED)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "parts")


def test_a_study_has_a_row_per_finding_with_everything_that_was_said_of_it(
    parts: Parts, tmp_path: Path
) -> None:
    parts.add([answer("ct-1")], [], BY)
    first, second = pq.read_table(tmp_path / "parts" / "part-000001.parquet").to_pylist()
    assert first == {
        "study": "ct-1", "place": "ct-1.nrrd", "series_uid": "1.2.3", "finding": "pe",
        "probability": 0.75, "threshold": 0.5,
        "decision": "present", "sure": "present", "error_rate": 0.05, "p_present": 0.5, "p_absent": 0.04,
        "key_slice_mm": -25.0,
        "positive_z_mm": [{"low": -40.0, "high": -10.0}, {"low": 40.0, "high": 70.0}],
        "entropy": pytest.approx(0.811278, abs=1e-6), "clip_disagreement": pytest.approx(0.377124, abs=1e-6),
        "suitability": "doubtful", "warnings": ["thick slices", "a note of the scanner"], "notes": [],
        "seconds": 1.75, "read_seconds": 0.5, "task": "pe", "model": "tiny", "version": 7,
        "weights_sha256": "ab" * 32, "code_version": "0.1.0", "device": "cpu", "precision": "float32",
        "finished": FINISHED,
    }  # fmt: skip
    assert (second["finding"], second["decision"], second["positive_z_mm"]) == ("acute", "absent", [])
    # Of this finding the version cannot tell how sure it is.
    assert [second[name] for name in NEW_COLUMNS] == [None, None, None, None, "doubtful"]


def test_what_the_parts_hold_is_settled(parts: Parts) -> None:
    parts.add([answer("ct-1"), answer("ct-2")], [refusal("ct-3")], BY)
    parts.add([answer("ct-4")], [], BY)
    settled = parts.settled()
    assert settled.answered == {each: f"{each}.nrrd" for each in ("ct-1", "ct-2", "ct-4")}
    assert settled.refused == {"ct-3": "GeometryError"}


def test_an_answer_after_a_refusal_counts_and_of_two_refusals_the_later_one(
    parts: Parts, tmp_path: Path
) -> None:
    parts.add([], [refusal("ct-1"), refusal("ct-2")], BY)
    parts.add([answer("ct-1")], [refusal("ct-2", "NotCTError")], BY)
    assert parts.merge(tmp_path, as_csv=False) == {"NotCTError": 1}
    refused = pq.read_table(tmp_path / "refused.parquet").to_pylist()
    assert [(row["study"], row["error"]) for row in refused] == [("ct-2", "NotCTError")]
    assert set(pq.read_table(tmp_path / "answers.parquet")["study"].to_pylist()) == {"ct-1"}


def test_all_parts_become_one_file_and_a_spreadsheet_that_says_the_same(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer("ct-1", 0.75)], [], BY)
    # 103.8 as float32.
    parts.add([answer("ct-2", 0.123456789, key_slice_mm=103.80000305175781)], [], BY)
    assert not parts.merge(tmp_path, as_csv=True)
    merged = pq.read_table(tmp_path / "answers.parquet")
    assert merged.schema.equals(answer_schema(), check_metadata=False)
    assert merged.schema.field("key_slice_mm").metadata == {b"unit": b"mm, patient z"}
    assert merged["study"].to_pylist() == ["ct-1", "ct-1", "ct-2", "ct-2"]
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["probability"] for row in rows] == ["0.75", "0.25", "0.123457", "0.25"]
    assert [row["key_slice_mm"] for row in rows] == ["-25.0", "-25.0", "103.8", "-25.0"]
    assert rows[0]["positive_z_mm"] == "-40.0 to -10.0, 40.0 to 70.0"
    assert rows[0]["warnings"] == "thick slices; a note of the scanner"


def test_a_part_of_an_earlier_version_is_merged_and_says_nothing_in_the_columns_it_lacks(
    parts: Parts, tmp_path: Path
) -> None:
    parts.add([answer("ct-1")], [], BY)
    parts.add([answer("ct-2")], [], BY)
    old = tmp_path / "parts" / "part-000001.parquet"
    pq.write_table(pq.read_table(old).drop_columns(NEW_COLUMNS), old, write_page_checksum=True)
    assert parts.settled().answered.keys() == {"ct-1", "ct-2"}
    parts.merge(tmp_path, as_csv=True)
    merged = pq.read_table(tmp_path / "answers.parquet")
    assert merged.schema.equals(answer_schema(), check_metadata=False)
    assert merged["sure"].to_pylist() == [None, None, "present", None]
    assert merged["suitability"].to_pylist() == [None, None, "doubtful", "doubtful"]
    assert merged["finished"].to_pylist() == [FINISHED] * 4
    with (tmp_path / "answers.csv").open(newline="") as file:
        first, _, third, _ = csv.DictReader(file)
    assert [first[name] for name in (*NEW_COLUMNS, "finished")] == ["", "", "", "", "", FINISHED]
    assert [third[name] for name in NEW_COLUMNS] == ["present", "0.05", "0.5", "0.04", "doubtful"]


def test_of_no_answer_at_all_there_are_empty_files(parts: Parts, tmp_path: Path) -> None:
    parts.add([], [refusal("ct-1")], BY)
    parts.merge(tmp_path, as_csv=True)
    assert pq.read_table(tmp_path / "answers.parquet").num_rows == 0
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 1


def test_a_damaged_part_is_named_with_the_way_out(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer("ct-1")], [], BY)
    file = tmp_path / "parts" / "part-000001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(VptError, match=r"part-000001\.parquet: this file is damaged.*Remove it"):
        parts.settled()


def test_damage_anywhere_among_the_answers_names_the_file(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer(f"ct-{number}", number / 30) for number in range(30)], [], BY)
    file = tmp_path / "parts" / "part-000001.parquet"
    whole = file.read_bytes()
    probabilities = pq.ParquetFile(file).metadata.row_group(0).column(4)
    assert probabilities.path_in_schema == "probability"
    begins = probabilities.dictionary_page_offset
    for at in range(begins, begins + probabilities.total_compressed_size, 11):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(VptError, match=r"part-000001\.parquet: this file is damaged.*Remove it"):
            parts.merge(tmp_path, as_csv=False)
    file.write_bytes(whole)
    assert not parts.merge(tmp_path, as_csv=False)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows other permissions")
def test_a_part_that_may_not_be_read_is_not_told_as_damaged(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer("ct-1")], [], BY)
    (tmp_path / "parts" / "part-000002.parquet").mkdir()
    with pytest.raises(OSError, match=r"part-000002\.parquet"):
        parts.settled()


def test_a_study_in_two_answers_is_an_error(parts: Parts) -> None:
    parts.add([answer("ct-1")], [], BY)
    parts.add([answer("ct-1")], [], BY)
    with pytest.raises(VptError, match=r"part-000002\.parquet: ct-1 was answered in another part already"):
        parts.settled()


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_an_error_and_nothing_half_written_counts(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer("ct-1")], [], BY)
    parts.merge(tmp_path, as_csv=False)
    with disk_with_room_for(1000):
        with pytest.raises(OSError, match="too large"):
            parts.add([answer("ct-2")], [], BY)
        with pytest.raises(OSError, match="too large"):
            parts.merge(tmp_path, as_csv=False)
    assert parts.settled().answered.keys() == {"ct-1"}
    assert pq.read_table(tmp_path / "answers.parquet").num_rows == 2
    assert sorted(each.name for each in tmp_path.rglob("*.*")) == [
        "answers.parquet", "part-000001.parquet", "refused.parquet",
    ]  # fmt: skip


def test_a_folder_that_went_away_is_an_error(parts: Parts, tmp_path: Path) -> None:
    parts.add([answer("ct-1")], [], BY)
    (tmp_path / "parts").rename(tmp_path / "elsewhere")
    (tmp_path / "parts").write_text("not a folder")
    with pytest.raises(OSError, match="parts"):
        parts.add([answer("ct-2")], [], BY)
