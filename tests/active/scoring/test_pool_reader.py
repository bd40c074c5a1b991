"""What a study is known by without reading it, and that a copy of it spares fetching it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vpt_plugin.active import pool_reader
from vpt_plugin.active.pool_reader import PoolReader, study_date
from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.store.source import OpenedStudy, SourceState
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


def never() -> bool:
    return False


class Archive:
    """A ``StudySource`` of one series, which counts how often it is fetched."""

    name = "pacs.example.org"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slices: int | None = 6
        self.fetched = 0
        hu = np.random.default_rng(0).integers(-1000, 400, (6, 16, 16)).astype(np.int16)
        provenance = Provenance("dicom", patient_id="P1")
        volume = Volume(hu, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[::-1].copy(), "1.2.3", provenance)
        write_dicom(volume, folder / "1.2.3")

    def ids(self) -> list[str]:
        return ["1.2.3"]

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        self.fetched += 1
        yield OpenedStudy(self.folder / study_id)

    def facts(self, study_id: str) -> dict[str, Any]:
        return {"patient": "P1", "slices": self.slices, "study_date": "20240131"}

    def state(self) -> SourceState:
        return SourceState("archive")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def reader_of(source: Any, **options: Any) -> PoolReader:
    return PoolReader(source, NODULE.hu_window, pixels=112, **options)


def test_a_series_of_an_archive_is_known_without_fetching_it_and_is_another_when_it_grew(archive) -> None:
    reader = reader_of(archive)
    before = reader.identity("1.2.3")
    archive.slices = 7
    assert reader.identity("1.2.3") != before
    archive.slices = 6
    assert reader.identity("1.2.3") == before
    assert archive.fetched == 0


def test_the_prepared_copy_of_a_series_spares_fetching_it(archive, tmp_path: Path) -> None:
    read = reader_of(archive).read("1.2.3", "mark", never)
    assert (archive.fetched, read.study_date, read.identity) == (1, "20240131", "mark")
    with PreparedStudies(tmp_path / "prepared", NODULE.hu_window, pixels=112) as prepared:
        # As a training keeps it.
        prepared.get(archive.folder / "1.2.3", identity="pacs.example.org\n1.2.3\n6")
    copied = reader_of(archive, prepared=tmp_path / "prepared").read("1.2.3", "mark", never)
    assert archive.fetched == 1
    np.testing.assert_array_equal(copied.content.slices, read.content.slices)
    assert copied.content.facts == read.content.facts
    assert copied.study_date == "20240131"


def test_prepared_studies_that_cannot_be_read_are_done_without(archive, tmp_path: Path, monkeypatch) -> None:
    def refused(prepared: PreparedStudies, identity: str, *, make: bool) -> None:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(PreparedStudies, "find", refused)
    assert reader_of(archive, prepared=tmp_path).read("1.2.3", "", never).content.slices.shape == (
        6,
        112,
        112,
    )
    assert archive.fetched == 1


def test_the_study_of_a_folder_is_known_by_its_files_and_by_how_studies_are_read(pool, monkeypatch) -> None:
    reader = pool.reader()
    before = {study: reader.identity(study) for study in pool.source.ids()}
    assert len(set(before.values())) == 5
    with pool.path(2).open("ab") as file:
        file.write(b"\n")
    now = {study: reader.identity(study) for study in pool.source.ids()}
    assert {study for study in now if now[study] != before[study]} == {"s002.nrrd"}
    monkeypatch.setattr(pool_reader, "PREPARATION_VERSION", -1)
    assert reader.identity("s001.nrrd") != before["s001.nrrd"]


def test_the_date_stands_in_one_of_the_first_files_and_other_formats_have_none(archive, pool) -> None:
    import pydicom

    def dated(*dates: str) -> str:
        for file, date in zip(sorted((archive.folder / "1.2.3").iterdir()), dates, strict=True):
            slice_ = pydicom.dcmread(file)
            slice_.StudyDate = date
            slice_.save_as(file)
        return study_date(archive.folder / "1.2.3")

    assert dated("", "", "20240131", "20250101", "", "") == "20240131"
    assert dated("", "", "", "", "", "") == ""
    assert study_date(pool.path(1)) == ""
