"""A set of phantoms looks like a site's own: patients, splits, formats, labels, one manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import PhantomConfig, plan_studies, write_phantom_set
from vpt_plugin.errors import ConfigurationError, UnknownTaskError

TINY = PhantomConfig(pixels=32, slice_spacings_mm=(8.0,))


@pytest.mark.parametrize("task", ["nodule", "pe"])
@pytest.mark.parametrize("seed", range(5))
def test_half_of_every_split_shows_the_finding_and_no_patient_is_in_two(task: str, seed: int) -> None:
    plan = plan_studies(count=100, seed=seed, task=task)
    assert Counter(study.split for study in plan) == {"train": 70, "validation": 15, "test": 15}
    for split, positives in (("train", 35), ("validation", 8), ("test", 8)):
        shown = [s.nodule if task == "nodule" else s.emboli for s in plan if s.split == split]
        assert sum(shown) == positives
    sides = {(study.patient, study.split) for study in plan}
    assert len(sides) == len({study.patient for study in plan})
    assert len({study.study for study in plan}) == 100


def test_a_rare_finding_is_in_a_tenth_of_every_split() -> None:
    plan = plan_studies(count=100, seed=3, task="nodule", splits=(60, 30, 10), prevalence=0.1)
    shown = Counter(study.split for study in plan if study.nodule)
    assert shown == {"train": 6, "validation": 3, "test": 1}
    with pytest.raises(ConfigurationError, match="prevalence must be a share"):
        plan_studies(count=10, seed=0, task="nodule", prevalence=1.5)


def test_some_patients_were_scanned_twice() -> None:
    plan = plan_studies(count=100, seed=0, task="nodule")
    visits = Counter(study.patient for study in plan)
    assert set(visits.values()) == {1, 2}
    twice = [study for study in plan if visits[study.patient] == 2]
    assert {study.visit for study in twice} == {0, 1}
    assert all(len({s.seed for s in twice if s.patient == study.patient}) == 1 for study in twice)


def test_the_other_finding_is_no_clue() -> None:
    plan = plan_studies(count=400, seed=0, task="nodule")
    for clue in ("contrast", "emboli"):
        with_it = sum(getattr(study, clue) for study in plan if study.nodule)
        without = sum(getattr(study, clue) for study in plan if not study.nodule)
        assert abs(with_it - without) < 30
    assert all(study.contrast for study in plan_studies(count=20, seed=0, task="pe"))
    assert not any(study.emboli and not study.contrast for study in plan)


def test_the_set_can_be_read_back_through_its_manifest(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    path = write_phantom_set(
        tmp_path / "set",
        count=6,
        seed=2,
        task="nodule",
        formats=("dicom", "nifti", "mha"),
        config=TINY,
        splits=(2, 2, 2),
        progress=lambda number, total: done.append((number, total)),
    )
    assert done == [(number, 6) for number in range(1, 7)]
    studies = Manifest.read(path).studies
    assert [study.path.name.partition(".")[2] for study in studies] == ["", "nii.gz", "mha"] * 2
    assert [study.split for study in studies] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert all(study.synthetic for study in studies)
    for study in studies:
        volume = read_study(study.path)
        assert volume.hu.shape[1:] == (32, 32)
        assert set(study.labels) == {"nodule", "pe"}
        for low, high in study.labels["nodule"].findings["lung_nodule"].slices_mm or ():
            assert volume.slice_z_mm[0] < low < high < volume.slice_z_mm[-1]
    dicom = next(study for study in studies if study.path.is_dir())
    assert read_study(dicom.path).provenance.patient_id == dicom.patient
    assert read_study(dicom.path).provenance.series_uid == dicom.labels["nodule"].series_uid


def test_studies_of_a_run_that_was_stopped_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "phantom-0001-1.nii.gz").touch()
    with pytest.raises(ConfigurationError, match=r"studies is not empty; choose a new folder"):
        write_phantom_set(tmp_path, count=2, seed=0, task="nodule", config=TINY)
    assert not (tmp_path / "manifest.csv").exists()


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_phantom_set(
            tmp_path / name,
            count=3,
            seed=5,
            task="pe",
            formats=("dicom", "nrrd"),
            config=TINY,
            splits=(3, 0, 0),
        )
    files = [file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file()]
    assert len(files) > 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="unknown format: 'png'; choose from dicom, nifti, nrrd, mha"
    ):
        write_phantom_set(tmp_path / "set", count=4, seed=0, task="nodule", formats=("png",))
    with pytest.raises(ConfigurationError, match="no format"):
        write_phantom_set(tmp_path / "set", count=4, seed=0, task="nodule", formats=())
    with pytest.raises(UnknownTaskError, match="choose from nodule, pe"):
        write_phantom_set(tmp_path / "set", count=4, seed=0, task="fracture")
    with pytest.raises(ConfigurationError, match="do not add up to 4"):
        write_phantom_set(tmp_path / "set", count=4, seed=0, task="nodule", splits=(1, 1, 1))
    assert not (tmp_path / "set").exists()
    (tmp_path / "manifest.csv").touch()
    with pytest.raises(ConfigurationError, match="choose a new folder"):
        write_phantom_set(tmp_path, count=4, seed=0, task="nodule")
