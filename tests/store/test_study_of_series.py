"""The study that is read from a DICOM series is found by its UID, and none that is read from another one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from vpt_plugin.ct.dicom_headers import read_header
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.errors import ArchiveUnreachableError, CancelledError, StudyNotFoundError
from vpt_plugin.store.studies import StudyFolder

EXAMINATION, LONG, SHORT = "1.2.34", "1.2.34.1", "1.2.34.2"


def put_series(
    folder: Path, series: str, *, slices: int, examination: str = EXAMINATION, first: str = "CT"
) -> None:
    """A series of an examination; its files begin with ``first``."""
    hu = np.full((slices, 8, 8), -800, dtype=np.int16)
    volume = Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "p")
    beside = folder.parent / "being written"
    write_dicom(replace(volume, provenance=Provenance("phantom", series_uid=series)), beside)
    folder.mkdir(parents=True, exist_ok=True)
    for path in beside.iterdir():
        header = pydicom.dcmread(path)
        header.StudyInstanceUID = examination
        header.save_as(folder / f"{first}{path.name}")
    shutil.rmtree(beside)


def test_a_study_is_found_by_the_series_that_is_read_from_it_also_after_a_restart(tmp_path: Path) -> None:
    put_series(tmp_path / "p1" / "ct", LONG, slices=5)
    (tmp_path / "a.nii").write_bytes(b"x")
    for _ in range(2):
        folder = StudyFolder(tmp_path, fresh_seconds=0, index_folder=tmp_path / "labels")
        assert folder.study_of_series(LONG) == "p1--ct"
        with pytest.raises(StudyNotFoundError, match="no study is read from it"):
            folder.study_of_series(SHORT)


def test_of_an_examination_only_the_series_that_is_read_leads_to_it(tmp_path: Path) -> None:
    put_series(tmp_path / "p1" / "thin", LONG, slices=6)
    put_series(tmp_path / "p1" / "thick", SHORT, slices=4)
    folder = StudyFolder(tmp_path)
    assert folder.ids() == ["p1"]
    assert folder.study_of_series(LONG) == "p1"
    for examination in ("", EXAMINATION):
        with pytest.raises(StudyNotFoundError):
            folder.study_of_series(SHORT, examination=examination)


def test_where_another_series_speaks_for_the_folder_the_examination_leads_to_it(tmp_path: Path) -> None:
    put_series(tmp_path / "p1", SHORT, slices=4, first="a")
    put_series(tmp_path / "p1", LONG, slices=6, first="b")
    folder = StudyFolder(tmp_path)
    with pytest.raises(StudyNotFoundError):
        folder.study_of_series(LONG)
    assert folder.study_of_series(LONG, examination=EXAMINATION) == "p1"
    with pytest.raises(StudyNotFoundError):
        folder.study_of_series(LONG, examination="1.2.56")


def test_headers_are_read_of_the_study_in_question_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put_series(tmp_path / f"p{number}", f"1.2.{number}", slices=4, examination=f"1.3.{number}")
    folder = StudyFolder(tmp_path)
    folder.ids()
    read: list[str] = []
    monkeypatch.setattr(
        "vpt_plugin.ct.dicom.read_header", lambda file: (read.append(file.parent.name), read_header(file))[1]
    )
    assert folder.study_of_series("1.2.1") == "p1"
    assert read == ["p1"] * 4


def test_while_the_folder_is_away_nobody_says_that_a_series_is_not_there(tmp_path: Path) -> None:
    root = tmp_path / "studies"
    put_series(root / "p1", LONG, slices=4)
    folder = StudyFolder(root, fresh_seconds=0)
    assert folder.study_of_series(LONG) == "p1"
    root.rename(tmp_path / "away")
    with pytest.raises(ArchiveUnreachableError):
        folder.study_of_series(LONG)


@pytest.fixture
def folder_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """Three studies of one examination, of which two are looked into."""
    for number in range(3):
        put_series(tmp_path / f"p{number}" / "ct", f"1.2.{number}", slices=4)
        (tmp_path / f"p{number}" / "other.nii").write_bytes(b"x")
    monkeypatch.setattr("vpt_plugin.store.studies._MAX_CANDIDATES", 2)
    return StudyFolder(tmp_path)


def test_so_many_studies_are_looked_into_and_no_more(folder_of_many: StudyFolder) -> None:
    # The one whose first header has the series comes first, however many there are.
    assert folder_of_many.study_of_series("1.2.2", examination=EXAMINATION) == "p2--ct"
    with pytest.raises(StudyNotFoundError, match="known, of 3 only 2 were looked into"):
        folder_of_many.study_of_series("1.2.9", examination=EXAMINATION)


def test_who_hangs_up_ends_the_look_into_studies(folder_of_many: StudyFolder) -> None:
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(len(asked) == 1)
        return asked[-1]

    with pytest.raises(CancelledError):
        folder_of_many.study_of_series("1.2.9", examination=EXAMINATION, cancelled=cancelled)
    assert asked == [False, True]
