from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.errors import UnreadableStudyError
from vpt_plugin.tasks import HUWindow

WINDOW = HUWindow(centre=0, width=2000)


class Reader:
    """Makes a volume of what the file says, and counts."""

    def __init__(self) -> None:
        self.reads = 0
        self.patient_id = ""

    def __call__(self, path: Path, *, name: str | None, series_uid: str | None) -> Volume:
        self.reads += 1
        if path.is_file() and path.read_text() == "broken":
            raise UnreadableStudyError(name or path.name, "it is broken.")
        hu = np.full((5, 16, 16), -1000, dtype=np.int16)
        hu[2] = 1000
        study, provenance = name or path.name, Provenance("nrrd", patient_id=self.patient_id)
        axes = np.eye(3)[::-1].copy()
        return Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, -10.0), axes, study=study, provenance=provenance)


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.nrrd"
    path.write_text("a study")
    return path


def prepared_studies(tmp_path: Path, reader: Reader, **facts: Any) -> PreparedStudies:
    """Of the levels alone; masters have tests of their own."""
    return PreparedStudies(
        tmp_path / "cache", facts.pop("window", WINDOW), pixels=8, read=reader, masters=False, **facts
    )


def files(tmp_path: Path) -> list[Path]:
    """Of prepared studies; locks and claims are hidden."""
    entries = entries_in(tmp_path / "cache")
    return sorted(path for entry in entries for path in entry.iterdir())


def entries_in(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith(".")) if cache.is_dir() else []


def test_slices_are_resized_and_windowed_and_know_their_place(
    tmp_path: Path, reader: Reader, study: Path
) -> None:
    found = prepared_studies(tmp_path, reader).get(study)
    assert found.slices.shape == (5, 8, 8)
    assert found.slices.dtype == np.uint8
    assert found.slices[:, 0, 0].tolist() == [0, 0, 255, 0, 0]
    assert found.slice_z_mm.tolist() == [-10.0, -7.5, -5.0, -2.5, 0.0]
    assert found.facts.slice_spacing_mm == 2.5


def test_a_study_is_read_once_also_by_the_next_training(tmp_path: Path, reader: Reader, study: Path) -> None:
    first = prepared_studies(tmp_path, reader).get(study)
    second = prepared_studies(tmp_path, reader).get(study)
    assert reader.reads == 1
    assert first.facts == second.facts
    assert not second.slices.flags.writeable


def test_a_study_is_read_again_when_its_file_changes(tmp_path: Path, reader: Reader, study: Path) -> None:
    prepared = prepared_studies(tmp_path, reader)
    prepared.get(study)
    os.utime(study, ns=(1, 1))
    prepared.get(study)
    assert reader.reads == 2


def test_a_dicom_folder_changes_when_one_of_its_files_does(tmp_path: Path, reader: Reader) -> None:
    folder = tmp_path / "dicom" / "deep"
    folder.mkdir(parents=True)
    (folder / "1.dcm").write_text("1")
    prepared = prepared_studies(tmp_path, reader)
    prepared.get(folder.parent)
    prepared.get(folder.parent)
    assert reader.reads == 1
    (folder / "2.dcm").write_text("2")
    prepared.get(folder.parent)
    assert reader.reads == 2


def test_one_dicom_file_stands_for_the_files_beside_it(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1.dcm").write_text("1")
    prepared = prepared_studies(tmp_path, reader)
    prepared.get(tmp_path / "dicom" / "1.dcm")
    (tmp_path / "dicom" / "2.dcm").write_text("2")
    prepared.get(tmp_path / "dicom" / "1.dcm")
    assert reader.reads == 2


def write_mhd(folder: Path, name: str, voxels: str) -> Path:
    (folder / f"{name}.mhd").write_text(f"ObjectType = Image\nElementDataFile = {name}.raw\n")
    (folder / f"{name}.raw").write_text(voxels)
    return folder / f"{name}.mhd"


def test_two_mhd_files_of_one_folder_are_two_studies(tmp_path: Path, reader: Reader) -> None:
    prepared = prepared_studies(tmp_path, reader)
    a = prepared.get(write_mhd(tmp_path, "a", "voxels"))
    b = prepared.get(write_mhd(tmp_path, "b", "voxels"))
    assert (a.file != b.file, reader.reads) == (True, 2)
    # A third one beside them changes neither; other voxels of the first change that one.
    write_mhd(tmp_path, "c", "voxels")
    prepared.get(tmp_path / "a.mhd")
    assert reader.reads == 2
    write_mhd(tmp_path, "a", "other voxels")
    prepared.get(tmp_path / "b.mhd")
    prepared.get(tmp_path / "a.mhd")
    assert reader.reads == 3


def test_two_dicom_files_of_one_folder_may_belong_to_two_series(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "dicom").mkdir()
    for name in ("1.dcm", "2.dcm"):
        (tmp_path / "dicom" / name).write_text("slice")
    prepared = prepared_studies(tmp_path, reader)
    found = [prepared.get(tmp_path / "dicom" / name).file for name in ("1.dcm", "2.dcm")]
    assert found[0] != found[1]


def test_the_patient_is_known_again_and_not_written_down(tmp_path: Path, reader: Reader) -> None:
    prepared = prepared_studies(tmp_path, reader)
    patients = []
    for name, patient_id in (("a", "MRN-4711"), ("b", "MRN-4711"), ("c", "MRN-4712"), ("d", "")):
        path = tmp_path / f"{name}.nrrd"
        path.write_text(name)
        reader.patient_id = patient_id
        patients.append(prepared.get(path).patient)
    assert patients[0] == patients[1] != patients[2]
    assert (len(patients[0]), patients[3]) == (64, "")
    assert all(b"471" not in path.read_bytes() for path in files(tmp_path) if path.name == "study.json")


def test_another_series_or_another_window_is_another_preparation(
    tmp_path: Path, reader: Reader, study: Path
) -> None:
    prepared_studies(tmp_path, reader).get(study)
    prepared_studies(tmp_path, reader).get(study, series_uid="1.2.3")
    prepared_studies(tmp_path, reader, window=HUWindow(centre=0, width=4000)).get(study)
    assert reader.reads == 3


def truncate_slices(folder: Path) -> None:
    path = folder / "slices.npy"
    path.write_bytes(path.read_bytes()[:-1])


def empty_slices(folder: Path) -> None:
    (folder / "slices.npy").write_bytes(b"")


def remove_slices(folder: Path) -> None:
    (folder / "slices.npy").unlink()


def halve_facts(folder: Path) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text()[:30])


def remove_fact(folder: Path) -> None:
    path = folder / "study.json"
    path.write_text(path.read_text().replace("mean_hu", "average_hu"))


def turn_a_bit(folder: Path) -> None:
    content = bytearray((folder / "slices.npy").read_bytes())
    content[200] ^= 1
    (folder / "slices.npy").write_bytes(content)


def test_one_turned_bit_is_found_by_the_next_training_and_told(
    tmp_path: Path, reader: Reader, study: Path
) -> None:
    first = prepared_studies(tmp_path, reader).get(study)
    sound = first.slices.copy()
    turn_a_bit(first.file.parent)
    again = prepared_studies(tmp_path, reader).get(study)
    assert again.note == "its prepared copy was damaged (its checksum is wrong) and is made again"
    assert (again.slices == sound).all()
    assert reader.reads == 2


def test_the_checksum_is_looked_at_once_per_training(tmp_path: Path, reader: Reader, study: Path) -> None:
    prepared = prepared_studies(tmp_path, reader)
    turn_a_bit(prepared.get(study).file.parent)
    assert prepared.get(study).note == ""
    assert reader.reads == 1


@pytest.mark.parametrize("damage", [truncate_slices, empty_slices, remove_slices, halve_facts, remove_fact])
def test_a_damaged_preparation_is_made_again(
    tmp_path: Path, reader: Reader, study: Path, damage: Any
) -> None:
    prepared = prepared_studies(tmp_path, reader)
    prepared.get(study)
    damage(files(tmp_path)[0].parent)
    again = prepared.get(study)
    assert again.slices[2].min() == 255
    assert again.note.startswith("its prepared copy was damaged (")
    assert (reader.reads, prepared.get(study).note) == (2, "")


def test_what_is_not_there_is_not_damaged_and_nothing_is_deleted(
    tmp_path: Path, reader: Reader, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between looking and deleting, another process may have written it.
    deleted: list[str] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: deleted.append(path.name))
    prepared_studies(tmp_path, reader).get(study)
    assert [name[:9] for name in deleted] == [".writing-"]


def test_a_damaged_preparation_is_moved_away_before_it_is_deleted(
    tmp_path: Path, reader: Reader, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepared_studies(tmp_path, reader)
    prepared.get(study)
    remove_fact(files(tmp_path)[0].parent)
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)
    prepared.get(study)
    assert len(list((tmp_path / "cache").glob(".damaged-*"))) == 1
    assert len(entries_in(tmp_path / "cache")) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel what is mapped")
def test_a_damaged_preparation_is_closed_before_it_is_moved_as_windows_demands(
    tmp_path: Path, reader: Reader, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = prepared_studies(tmp_path, reader).get(study).file
    turn_a_bit(damaged.parent)
    rename, mapped = Path.rename, []

    def noted(path: Path, target: Path) -> Path:
        mapped.append(str(damaged) in Path("/proc/self/maps").read_text())
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", noted)
    assert "checksum" in prepared_studies(tmp_path, reader).get(study).note
    assert mapped
    assert not any(mapped)


def test_a_study_that_cannot_be_read_says_so_under_its_name_and_leaves_nothing(
    tmp_path: Path, reader: Reader, study: Path
) -> None:
    study.write_text("broken")
    with pytest.raises(UnreadableStudyError, match="chest 7: it is broken"):
        prepared_studies(tmp_path, reader).get(study, name="chest 7")
    assert files(tmp_path) == []


def test_two_that_prepare_the_same_study_at_once_get_the_same(
    tmp_path: Path, reader: Reader, study: Path
) -> None:
    prepared = prepared_studies(tmp_path, reader)
    with ThreadPoolExecutor(4) as pool:
        found: list[PreparedStudy] = list(pool.map(lambda _: prepared.get(study), range(8)))
    assert len({each.file for each in found}) == 1
    assert sorted(path.name for path in files(tmp_path)) == ["slices.npy", "study.json"]
    assert len(entries_in(tmp_path / "cache")) == 1


def test_thousands_of_prepared_studies_hold_no_file_open(tmp_path: Path, reader: Reader, study: Path) -> None:
    found = prepared_studies(tmp_path, reader).get(study)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(FileNotFoundError):
        _ = found.slices
