"""From an import to a training: an anonymised set can be trained from, and no patient is on two sides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from labelled_site import NODULE, SIDES, Site

from vpt_plugin.data.importers.import_run import ImportOutcome, run_import
from vpt_plugin.data.importers.table_columns import ColumnChoice
from vpt_plugin.data.importers.table_set import TableImporter
from vpt_plugin.data.split_file import Split
from vpt_plugin.errors import TrainingError
from vpt_plugin.training.sides import Member, join_patients
from vpt_plugin.training.sources import open_source

STUDIES = [f"s{number:02d}" for number in range(20)]


def imported(site: Site, columns: str, *rows: str) -> ImportOutcome:
    """From a table with these columns, whose findings alternate."""
    table = site.studies / "table.csv"
    states = (("no", "yes")[number % 2] for number in range(len(rows)))
    lines = (f"{row},{state}" for row, state in zip(rows, states, strict=True))
    table.write_text("\n".join([f"{columns},nodule", *lines]) + "\n")
    outcome = run_import(TableImporter(table, NODULE, ColumnChoice()), site.studies / "out")
    assert not outcome.refused
    return outcome


def sides_of_a_training(site: Site) -> dict[str, str]:
    """Of a training from the manifest; the test side takes no part."""
    (only,) = site.select(SIDES, source=open_source(site.studies / "out" / "manifest.csv")).rounds
    return {study.study: "train" for study in only.train} | {
        study.study: "validation" for study in only.validation
    }


def but_the_test_side(outcome: ImportOutcome) -> dict[str, str]:
    return {study.study: study.split for study in outcome.studies if study.split != "test"}


@pytest.mark.usefixtures("disk_without_waiting")
def test_a_set_with_one_patient_id_throughout_is_trained_from_as_it_was_divided(site: Site) -> None:
    for study in STUDIES:
        site.add(study, "ANON")
    outcome = imported(site, "path", *STUDIES)
    assert len({study.patient for study in outcome.studies}) == 20
    assert sides_of_a_training(site) == but_the_test_side(outcome)
    assert len(but_the_test_side(outcome)) >= 15


@pytest.mark.usefixtures("disk_without_waiting")
def test_patients_whom_a_table_calls_like_their_studies_are_those_of_a_training(site: Site) -> None:
    for study in STUDIES:
        site.add(study, "ANON")
    patients = {study: study for study in STUDIES} | {"s05": "s04"}
    outcome = imported(site, "path,patient", *(f"{study},{patient}" for study, patient in patients.items()))
    assert len({study.patient for study in outcome.studies}) == 19
    assert sides_of_a_training(site) == but_the_test_side(outcome)


@pytest.mark.usefixtures("disk_without_waiting")
def test_no_follow_up_patient_is_trained_on_and_tested_on(site: Site) -> None:
    for number, study in enumerate(STUDIES):
        site.add(study, f"MRN-{number % 3}")
    outcome = imported(site, "path", *STUDIES)
    of_patient = [{study.split for study in outcome.studies if study.patient == f"MRN-{n}"} for n in range(3)]
    assert [len(sides) for sides in of_patient] == [1] * 3
    assert sides_of_a_training(site) == but_the_test_side(outcome)


def test_one_scan_on_three_sides_is_refused_with_two_of_them(site: Site) -> None:
    for number in range(4):
        site.add(f"s{number}")
    study = site.select(SIDES).everything[0]
    members = [
        Member(replace(study, study=f"on {side}"), named="", scan="same", side=side)
        for side in ("train", "validation", "test")
    ]
    with pytest.raises(TrainingError, match=r"on test \(test\) and on train \(train\) are the same scan"):
        join_patients(members, Split())
