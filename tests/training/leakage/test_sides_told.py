"""Why there are no folds, and why there are no sides at all: what is said of patients and their sides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from labelled_site import SIDES, Site

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import TrainingError
from vpt_plugin.training.sources import ManifestSource

FOLDS = replace(SIDES, folds=None)


def test_who_asks_for_no_folds_once_is_told_later_that_sides_were_decided_then(site: Site) -> None:
    for number in range(12):
        site.add(f"s{number:02d}")
    assert site.select(SIDES).folds == 0
    assert not any("folds" in note for note in site.notes)
    decided = {each["since"][:10] for each in json.loads(site.split_file.read_text())["patients"].values()}
    assert site.select(FOLDS).folds == 0
    (day,) = decided
    assert f"sides were decided on {day}, so there are no folds; folds: 5 asks for them" in site.notes
    assert site.select(replace(FOLDS, folds=5)).folds == 5


def test_a_csv_whose_rows_name_one_patient_is_refused_with_his_name_before_anything_is_read(
    site: Site,
) -> None:
    rows = []
    for number in range(4):
        study = site.add(f"s{number}")
        rows.append(f"{study},{study},P1,,labels/final/{study}/nodule.0001.json")
    path = site.studies / "manifest.csv"
    path.write_text("\n".join(["study,path,patient,split,nodule_label", *rows]) + "\n")
    with pytest.raises(TrainingError, match=r"all 4 rows name patient 'P1' in the column patient") as error:
        site.select(FOLDS, source=ManifestSource(Manifest.read(path)))
    assert "Each patient needs his own name there" in (error.value.hint or "")
    assert not list(site.cache.rglob("study.json"))
