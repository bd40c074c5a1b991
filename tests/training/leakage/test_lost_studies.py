"""Labels of studies that are not there, and a CSV without labels: what was meant is told, nothing is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from labelled_site import NODULE, Site

from vpt_plugin.errors import ManifestError, TrainingError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.readiness import check_source_ready
from vpt_plugin.training.sources import open_source


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "ct" / "inner", tmp_path / "prepared")
    for number in range(4):
        site.add(f"s{number}")
    return site


def refused(folder: Path, labels: Path | None = None) -> TrainingError:
    """What a training on this folder is refused with before anything is read."""
    with pytest.raises(TrainingError) as caught:
        check_source_ready(
            open_source(folder, labels_dir=labels), NODULE, get_model("tiny"), FinetuneConfig(),
            store=ModelStore(folder / "models"), cache=folder / "prepared",
        )  # fmt: skip
    return caught.value


def test_the_folder_above_is_told_with_both_names_and_the_folder_that_was_meant(site: Site) -> None:
    labels = site.studies / "labels"
    error = refused(site.studies.parent, labels)
    assert "(left out: 4 labelled, but not there)" in error.message
    assert "labels are of s0.nrrd, which is perhaps what is called inner--s0.nrrd here" in error.message
    assert f"Did you mean {site.studies}, with --labels-dir {labels}?" in error.hint


def test_a_csv_in_the_folder_is_what_was_meant(site: Site) -> None:
    (site.studies.parent / "manifest.csv").touch()
    hint = refused(site.studies.parent, site.studies / "labels").hint
    assert hint.startswith(f"Did you mean {site.studies.parent / 'manifest.csv'}?")


def test_labels_of_quite_other_studies_are_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(site.studies / "labels", tmp_path / "empty" / "labels")
    error = refused(tmp_path / "empty")
    assert "the labels are of s0.nrrd and the like, which are not among the studies" in error.message
    assert "vpt labels check" in error.hint


def test_a_csv_without_a_column_for_the_task_names_it_and_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").touch()
    csv = tmp_path / "m.csv"
    csv.write_text("study,path,patient,split\na,scan.nii,p,train\n")
    found = r"m\.csv, line 1: column nodule_label is missing.*found: study, path, patient, split\."
    with pytest.raises(ManifestError, match=found):
        open_source(csv).studies("nodule")
