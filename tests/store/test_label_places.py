"""Every study has a folder of labels of its own, whatever else lies there and however the disk names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.label_folders import folder_of
from vpt_plugin.store.labels import LabelFolder

SEGMENTATION = b"a segmentation of a stock MONAI Label"


def nodule(state: str, annotator: str = "anna") -> StudyLabel:
    return StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}, annotator)


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """A folder of labels with a segmentation called as the study p1.nii.gz."""
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "p1.nii.gz").write_bytes(SEGMENTATION)
    return tmp_path


@pytest.mark.parametrize("if_version", [None, 0])
def test_a_study_whose_name_a_segmentation_has_is_labelled_beside_it(
    segmented: Path, if_version: int | None
) -> None:
    labels = LabelFolder(segmented)
    assert labels.history("p1.nii.gz", "nodule") == ()
    saved = labels.save("p1.nii.gz", nodule("present"), if_version=if_version)
    assert saved.path == segmented / "final/p1.nii.gz@/nodule.0001.json"
    assert labels.save("p1.nii.gz", nodule("absent", "bert"), if_version=1).version == 2
    assert (segmented / "final/p1.nii.gz").read_bytes() == SEGMENTATION
    again = LabelFolder(segmented)
    assert [each.study for each in again.newest()] == ["p1.nii.gz"]
    assert [each.version for each in again.history("p1.nii.gz", "nodule")] == [1, 2]
    assert again.labelled() == {"p1.nii.gz"}
    assert again.counts("nodule")["absent"] == 1
    assert again.damaged() == again.conflicts() == []


def test_the_labels_beside_a_segmentation_still_count_when_it_is_taken_away(segmented: Path) -> None:
    labels = LabelFolder(segmented)
    labels.save("p1.nii.gz", nodule("present"))
    (segmented / "final/p1.nii.gz").unlink()
    assert labels.save("p1.nii.gz", nodule("absent"), if_version=1).version == 2


def test_a_second_folder_of_a_study_is_told(segmented: Path) -> None:
    labels = LabelFolder(segmented)
    labels.save("p1.nii.gz", nodule("present"))
    (segmented / "final/p1.nii.gz").unlink()
    (segmented / "final/p1.nii.gz").mkdir()
    (told,) = labels.damaged()
    assert (told.study, told.path) == ("p1.nii.gz", segmented / "final/p1.nii.gz@")
    assert told.problem == "these labels do not count: those in p1.nii.gz do."


def test_a_file_where_even_the_second_folder_belongs_is_told(segmented: Path) -> None:
    (segmented / "final/p1.nii.gz@").write_text("")
    with pytest.raises(LabelError, match=r"Move the file final/p1\.nii\.gz@ out of the folder of labels"):
        LabelFolder(segmented).save("p1.nii.gz", nodule("present"))


def test_two_studies_that_the_disk_takes_for_one_are_not_mixed(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("P01", nodule("present"))
    (tmp_path / "FINAL").symlink_to("final")  # what such a disk answers without it
    with pytest.raises(LabelError, match=r"p01: .* mixed with those of P01: .* capitals"):
        labels.save("p01", nodule("absent"))
    assert labels.save("P01", nodule("absent")).version == 2
    assert labels.save("p02", nodule("absent")).version == 1
    assert labels.labelled() == {"P01", "p02"}


def test_a_study_does_not_show_the_labels_of_one_that_the_disk_takes_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelFolder(tmp_path)
    labels.save("P01", nodule("present"))
    (tmp_path / "FINAL").symlink_to("final")
    monkeypatch.setattr(
        "vpt_plugin.store.labels.folder_of", lambda above, study: folder_of(above, study.upper())
    )
    assert [len(labels.history(study, "nodule")) for study in ("P01", "p01")] == [1, 0]


def test_a_disk_that_tells_capitals_apart_keeps_both_studies(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for study in ("P01", "p01"):
        assert labels.save(study, nodule("present")).version == 1
