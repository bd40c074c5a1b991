"""Whom a version was trained on stays known, whatever his studies are called and wherever they are listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_site import NODULE, Site

from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.selection import TrainingData
from vpt_plugin.training.sources import open_source
from vpt_plugin.training.validation_record import Memory, SeenStudy, ValidationRecord, record_of

FOLDS = FinetuneConfig()


def remembered(data: TrainingData, folder: Path) -> Memory:
    """What is remembered of a version that was trained on these, from its file."""
    record_of(NODULE.findings, [], np.zeros((0, 1)), data.trained_on).write(folder)
    record = ValidationRecord.read(folder)
    assert record is not None
    return Memory(record)


def listed(site: Site, patients: dict[str, str], name: str = "listed.csv") -> dict[str, SeenStudy]:
    """The studies of a training from a CSV that calls their patients so."""
    path = site.studies / name
    rows = [
        f"{study},{study},{patient},,labels/final/{study}/nodule.0001.json"
        for study, patient in patients.items()
    ]
    path.write_text("\n".join(["study,path,patient,split,nodule_label", *rows]) + "\n")
    data = site.select(FOLDS, source=open_source(path))
    return {study.study: SeenStudy.of(study) for study in data.everything}


@pytest.fixture
def eight(site: Site) -> Site:
    """A site of p0 to p7, each with a PatientID of his own."""
    for number in range(8):
        site.add(f"p{number}", f"MRN-{number}")
    return site


def test_a_new_scan_in_a_csv_that_names_patients_is_known_by_the_patient_id(
    eight: Site, tmp_path: Path
) -> None:
    memory = remembered(eight.select(FOLDS), tmp_path)
    for number in (0, 1):
        eight.add(f"p{number}-later", f"MRN-{number}")
    for number in (8, 9):
        eight.add(f"p{number}", f"MRN-{number}")
    names = {"p0": "Jane", "p0-later": "Jane", "p1-later": "John", "p8": "Ann", "p9": "Bert"}
    found = listed(eight, names)
    assert {name for name, study in found.items() if memory.trained_on(study)} == {
        "p0", "p0-later", "p1-later",
    }  # fmt: skip


def test_a_new_scan_in_the_folder_is_known_after_a_training_from_a_csv_that_names_patients(
    eight: Site, tmp_path: Path
) -> None:
    csv = eight.studies / "listed.csv"
    listed(eight, {f"p{number}": f"Patient {number}" for number in range(6)})
    memory = remembered(eight.select(FOLDS, source=open_source(csv)), tmp_path)
    eight.add("p0-later", "MRN-0")
    found = [SeenStudy.of(study) for study in eight.select(FOLDS).everything]
    assert {each.study for each in found if memory.trained_on(each)} == {
        "p0", "p0-later", "p1", "p2", "p3", "p4", "p5",
    }  # fmt: skip


def test_of_two_whom_the_source_names_a_shared_patient_id_says_nothing(site: Site, tmp_path: Path) -> None:
    for number in range(12):
        site.add(f"s{number}", "ANONYMOUS")
    csv = site.studies / "listed.csv"
    listed(site, {f"s{number}": f"P{number}" for number in range(6)})
    memory = remembered(site.select(FOLDS, source=open_source(csv)), tmp_path)
    found = listed(site, {"s5": "P5", **{f"s{number}": f"P{number}" for number in range(7, 12)}, "s6": "P0"})
    assert {name for name, study in found.items() if memory.trained_on(study)} == {"s5", "s6"}


def test_a_record_that_knows_a_patient_by_one_name_is_still_read(eight: Site, tmp_path: Path) -> None:
    studies = list(map(SeenStudy.of, eight.select(FOLDS).everything))
    old = [{"study": each.study, "patient": each.patient, "scan": "elsewhere"} for each in studies[:3]]
    record = ValidationRecord.from_json(
        {"schema": "vptct.validation/1", "findings": ["lung_nodule"], "studies": [], "trained_on": old}
    )
    assert [each.study for each in studies if Memory(record).trained_on(each)] == ["p0", "p1", "p2"]
