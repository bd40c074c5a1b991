"""Masters of the training cache: a second task reads no study again, and they cost nobody his room."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
from hypothesis import given, settings
from hypothesis import strategies as st

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.prepared_room import MASTERS
from vpt_plugin.errors import UnreadableStudyError
from vpt_plugin.tasks import TASKS, HUWindow

NODULE, PE = TASKS["nodule"].hu_window, TASKS["pe"].hu_window
SLICES, PIXELS = 6, 16
# 6 x 16 x 16 levels and the header of their file, a little of JSON beside it; a master has two bytes each.
LEVELS_GB, MASTER_GB = 1.6e-6, 3.1e-6
ABOUT_GB = 1e-6


Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is half full, however full the one is that the tests run on."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 5 * 10**11, 5 * 10**11))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return written(tmp_path / "study.nrrd", seed=1)


def written(path: Path, seed: int) -> Path:
    hu = np.random.default_rng(seed).integers(-1024, 1500, size=(SLICES, 24, 24)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(path))
    return path


def unreadable(path: Path) -> None:
    """From now on there is nothing to be read, and nothing of its place, size and time tells."""
    before = path.stat()
    path.write_bytes(b"\0" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cache(tmp_path: Path, window: HUWindow = NODULE, **facts: Any) -> PreparedStudies:
    return PreparedStudies(tmp_path / "cache", window, pixels=PIXELS, **facts)


def masters(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / MASTERS).glob("[!.]*"))


def levels(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").glob("[!.]*"))


def test_a_second_task_gets_its_levels_without_reading_the_study(tmp_path: Path, study: Path) -> None:
    expected = {window: prepare_slices(read_study(study), window, pixels=PIXELS) for window in (NODULE, PE)}
    first = cache(tmp_path).get(study)
    unreadable(study)
    second = cache(tmp_path, PE).get(study)
    assert (first.slices == expected[NODULE]).all()
    assert (second.slices == expected[PE]).all()
    assert (first.facts, first.slice_z_mm.tolist()) == (second.facts, second.slice_z_mm.tolist())
    assert len(masters(tmp_path)) == 1


def test_a_study_of_an_archive_is_not_even_fetched_for_a_second_task(tmp_path: Path, study: Path) -> None:
    cache(tmp_path).get(study, identity="1.2.3")
    assert cache(tmp_path, PE).find("1.2.3", make=False) is None
    found = cache(tmp_path, PE).find("1.2.3")
    assert found is not None
    assert (found.slices == prepare_slices(read_study(study), PE, pixels=PIXELS)).all()
    assert cache(tmp_path, PE).find("another") is None


@settings(max_examples=15, deadline=None)
@given(centre=st.integers(-1200, 1200), width=st.integers(1, 4000))
def test_levels_made_of_a_master_are_bit_for_bit_those_of_the_study(centre: int, width: int) -> None:
    window = HUWindow(centre=centre, width=width)
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / "study.nrrd", seed=centre + 1200)
        expected = prepare_slices(read_study(path), window, pixels=PIXELS)
        cache(Path(folder), HUWindow(centre=0, width=1)).get(path)
        unreadable(path)
        assert (cache(Path(folder), window).get(path).slices == expected).all()


def test_damaged_levels_are_made_again_of_the_master(tmp_path: Path, study: Path) -> None:
    sound = cache(tmp_path).get(study).slices.copy()
    unreadable(study)
    (levels(tmp_path)[0] / "slices.npy").write_bytes(b"")
    again = cache(tmp_path).get(study)
    assert again.note.startswith("its prepared copy was damaged (")
    assert (again.slices == sound).all()


def test_a_damaged_master_is_never_used(tmp_path: Path, study: Path) -> None:
    cache(tmp_path).get(study)
    file = masters(tmp_path)[0] / "slices.npy"
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    expected = prepare_slices(read_study(study), PE, pixels=PIXELS)
    assert (cache(tmp_path, PE).get(study).slices == expected).all()
    # It was made again, and is sound.
    unreadable(study)
    assert cache(tmp_path, HUWindow(centre=0, width=100)).get(study).slices.shape == (SLICES, PIXELS, PIXELS)


def test_masters_can_be_done_without(tmp_path: Path, study: Path) -> None:
    cache(tmp_path, masters=False).get(study)
    assert masters(tmp_path) == []
    unreadable(study)
    with pytest.raises(UnreadableStudyError):
        cache(tmp_path, PE, masters=False).get(study)


def test_where_room_runs_short_masters_go_and_levels_stay(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.nrrd", seed=number) for number in range(6)]
    with cache(tmp_path) as before:
        for path in paths[:3]:
            before.get(path)
    assert (len(levels(tmp_path)), len(masters(tmp_path))) == (3, 3)
    limit_gb = 7 * (LEVELS_GB + ABOUT_GB)
    with cache(tmp_path, limit_gb=limit_gb) as after:
        for path in paths[3:]:
            after.get(path)
    assert len(levels(tmp_path)) == 6
    assert len(masters(tmp_path)) < 3


def test_a_new_master_never_drives_anything_out(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.nrrd", seed=number) for number in range(3)]
    with cache(tmp_path, limit_gb=LEVELS_GB + 2 * ABOUT_GB) as one:
        one.get(paths[0])
    assert (len(levels(tmp_path)), masters(tmp_path)) == (1, [])


def test_a_disk_that_is_nearly_full_gets_no_masters(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100_000, 96_000, 4_000))
    cache(tmp_path).get(study)
    assert (len(levels(tmp_path)), masters(tmp_path)) == (1, [])


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, SLICES - 1), length=st.integers(1, 2 * SLICES))
def test_a_clip_read_at_one_go_is_the_clip_of_the_map(
    start: int, length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "one-go"
    folder.mkdir(exist_ok=True)
    path = folder / "study.nrrd"
    prepared = cache(folder).get(path if path.exists() else written(path, seed=3))
    clip = prepared.clip(start, length)
    assert (clip == prepared.slices[start : start + length]).all()
    assert clip.flags.writeable


def test_a_clip_of_a_file_that_was_cut_short_is_refused(tmp_path: Path, study: Path) -> None:
    prepared = cache(tmp_path).get(study)
    os.truncate(prepared.file, prepared.file.stat().st_size - PIXELS * PIXELS)
    with pytest.raises(EOFError, match="not as long as it was"):
        prepared.clip(0, 1)


def test_all_that_is_prepared_for_a_window_and_a_size_can_be_looked_through(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.nrrd", seed=number) for number in range(3)]
    nodule, pe = cache(tmp_path), cache(tmp_path, PE)
    ours = [nodule.get(path) for path in paths[:2]]
    pe.get(paths[2])
    (levels(tmp_path)[0].parent / "something else").write_text("not an entry")
    assert sorted(each.file for each in nodule) == sorted(each.file for each in ours)
    assert len(list(pe)) == 1
