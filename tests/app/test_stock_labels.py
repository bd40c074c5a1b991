"""Labels that a real stock MONAI Label wrote are adopted once; what is unclear is told and left alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from monailabel.datastore.local import LocalDatastore

from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.stock import StockReport, adopt_stock_labels, find_stock_files
from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder

EXTENSIONS = ("*.nii.gz", "*.nii", "*.nrrd")


def nodule(state: str, annotator: str = "anna") -> StudyLabel:
    return StudyLabel(task="nodule", findings={"lung_nodule": FindingLabel(state)}, annotator=annotator)


class Site:
    """A folder of studies that a stock MONAI Label served before."""

    def __init__(self, root: Path, *studies: str) -> None:
        self.root = root
        for name in studies:
            (root / name).write_bytes(b"looked at by its name only")
        self.stock = LocalDatastore(str(root), extensions=EXTENSIONS)
        self.labels = LabelFolder(root / LABELS_FOLDER)

    def stock_label(self, stock_id: str, label: StudyLabel) -> None:
        """Saves as the route PUT /datastore/label of a stock MONAI Label does."""
        sent = self.root.parent / "sent.json"
        sent.write_text(json.dumps(label.to_json()))
        self.stock.save_label(stock_id, str(sent), "final", {})

    def adopt(self) -> StockReport:
        return adopt_stock_labels(StudyFolder(self.root).ids(), self.labels)

    def files(self) -> dict[str, bytes]:
        """Everything but what VPTCT writes."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        ours = {saved.path for saved in self.labels.newest()}
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes() for path in files if path not in ours
        }


def stock_site(tmp_path: Path, *studies: str) -> Site:
    (tmp_path / "studies").mkdir()
    return Site(tmp_path / "studies", *studies)


def test_stock_labels_are_adopted_under_our_ids_and_the_originals_stay(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz", "p02.nrrd", "a scan, with spaces.nii", "p04.nii")
    site.stock_label("p01", nodule("present"))
    site.stock_label("p02", nodule("indeterminate", "bert"))
    site.stock_label("a scan, with spaces", nodule("absent"))
    before = site.files()
    report = site.adopt()
    assert [(saved.study.partition("-")[0], saved.version) for saved in report.adopted] == [
        ("a", 1), ("p01.nii.gz", 1), ("p02.nrrd", 1),
    ]  # fmt: skip
    spaces, first, second = (saved.label for saved in report.adopted)
    assert (spaces, first, second) == (
        nodule("absent"), nodule("present"), nodule("indeterminate", "bert"),
    )  # fmt: skip
    assert {saved.study for saved in site.labels.newest()} <= set(StudyFolder(site.root).ids())
    assert len(StudyFolder(site.root).ids()) == 4  # neither the index nor a label is a study
    assert site.files() == before
    # What the stock MONAI Label keeps stays readable for it.
    assert LocalDatastore(str(site.root), extensions=EXTENSIONS).status()["completed"] == 3


def test_a_second_start_adopts_nothing_more(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz")
    site.stock_label("p01", nodule("present"))
    assert len(site.adopt().adopted) == 1
    again = site.adopt()
    assert (again.adopted, again.set_aside, len(again.known)) == ((), (), 1)
    site.labels.save("p01.nii.gz", nodule("absent", "bert"), if_version=1)
    assert site.adopt().known == again.known
    newest = site.labels.latest("p01.nii.gz", "nodule")
    assert newest is not None
    assert newest.label == nodule("absent", "bert")


def test_a_label_that_two_studies_share_is_not_adopted_but_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = stock_site(tmp_path, "p02.nii.gz", "p02.nrrd")
    site.stock_label("p02", nodule("present"))
    with caplog.at_level(logging.WARNING):
        report = site.adopt()
    (told,) = report.not_adopted
    assert told.what == "a label that could be of p02.nii.gz or p02.nrrd: it is not adopted"
    assert told.label == nodule("present")
    assert "could be of p02.nii.gz or p02.nrrd" in caplog.text
    assert site.labels.newest() == []
    assert (site.root / "labels/final/p02.json").is_file()
    # One of the two is taken away: now it is clear.
    (site.root / "p02.nrrd").unlink()
    assert [saved.study for saved in site.adopt().adopted] == ["p02.nii.gz"]


def test_a_label_of_a_study_that_is_gone_waits_for_its_return(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz")
    site.stock_label("p01", nodule("present"))
    (site.root / "p01.nii.gz").unlink()
    (told,) = site.adopt().not_adopted
    assert told.what == "a label of no study that is here: it is not adopted"
    (site.root / "p01.nii.gz").write_bytes(b"back")
    assert [saved.study for saved in site.adopt().adopted] == ["p01.nii.gz"]


def test_a_study_in_a_folder_was_none_of_the_stock_server_and_gets_no_label_of_its(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz")
    site.stock_label("p01", nodule("present"))
    (site.root / "p01.nii.gz").rename(site.root / "gone.nii.gz")
    (site.root / "sub").mkdir()
    (site.root / "sub" / "p01.nii.gz").write_bytes(b"another study")
    assert len(site.adopt().not_adopted) == 1


def test_a_label_never_takes_the_place_of_one_that_was_made_here(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz")
    site.labels.save("p01.nii.gz", nodule("absent", "bert"))
    site.stock_label("p01", nodule("present"))
    for _ in range(2):
        site.adopt()
        newest = site.labels.latest("p01.nii.gz", "nodule")
        assert newest is not None
        assert (newest.version, newest.label) == (1, nodule("absent", "bert"))
        (aside,) = site.labels.conflicts("p01.nii.gz")
        assert (aside.label, aside.settled) == (nodule("present"), False)


def test_a_label_that_the_stock_server_replaced_later_is_set_aside(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz")
    site.stock_label("p01", nodule("present"))
    site.adopt()
    site.stock_label("p01", nodule("absent", "bert"))
    (told,) = site.adopt().set_aside
    assert "the newest is version 1 by anna" in told.what
    assert [aside.label for aside in site.labels.conflicts()] == [nodule("absent", "bert")]


def test_everything_else_of_a_stock_server_is_told_and_left_alone(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz", "p02.nii.gz")
    sent = tmp_path / "sent.nii.gz"
    sent.write_bytes(b"a segmentation")
    site.stock.save_label("p01", str(sent), "final", {})
    site.stock.save_label("p01", str(sent), "original", {})
    other = tmp_path / "other.json"
    other.write_text('{"label": "nodule"}')
    site.stock.save_label("p02", str(other), "final", {})
    before = site.files()
    told = {file.path.relative_to(site.root).as_posix(): file for file in find_stock_files(site.labels.root)}
    assert sorted(told) == [
        "datastore_v2.json", "labels/final/p01.nii.gz", "labels/final/p02.json", "labels/original",
    ]  # fmt: skip
    assert "must be a JSON object with schema 'vptct.label/1'" in told["labels/final/p02.json"].what
    assert {file.label for file in told.values()} == {None}
    assert site.adopt() == StockReport()
    assert site.labels.damaged() == []
    assert StudyFolder(site.root).ids() == ["p01.nii.gz", "p02.nii.gz"]
    assert site.files() == before


def test_a_folder_that_no_stock_server_wrote_to_has_nothing_to_adopt(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path / "labels")
    assert find_stock_files(labels.root) == []
    labels.save("a", nodule("present"))
    assert find_stock_files(labels.root) == []
    assert adopt_stock_labels(["a"], labels) == StockReport()


def test_an_archives_study_has_its_series_uid_as_id_in_both(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path / "labels")
    stock = tmp_path / "labels" / "final" / "1.2.840.1.json"
    stock.parent.mkdir(parents=True)
    stock.write_text(json.dumps(nodule("present").to_json()))
    (saved,) = adopt_stock_labels(["1.2.840.1", "1.2.840.12"], labels).adopted
    assert saved.study == "1.2.840.1"


def test_a_label_is_adopted_though_a_segmentation_has_its_studys_name(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz", "p02.nii.gz")
    segmentation = site.root / "labels" / "final" / "p01.nii.gz"
    segmentation.write_bytes(b"a segmentation")
    for stock_id in ("p01", "p02"):
        site.stock_label(stock_id, nodule("present"))
    report = site.adopt()
    assert [saved.study for saved in report.adopted] == ["p01.nii.gz", "p02.nii.gz"]
    assert segmentation.read_bytes() == b"a segmentation"
    assert site.adopt().adopted == ()


def test_a_label_that_cannot_be_adopted_is_told_and_stops_no_other(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p01.nii.gz", "p02.nii.gz")
    for name in ("p01.nii.gz", "p01.nii.gz@"):
        (site.root / "labels" / "final" / name).write_bytes(b"a file")
    for stock_id in ("p01", "p02"):
        site.stock_label(stock_id, nodule("present"))
    report = site.adopt()
    assert [saved.study for saved in report.adopted] == ["p02.nii.gz"]
    (left,) = report.not_adopted
    assert "Move the file final/p01.nii.gz@ out of the folder of labels" in left.what
    assert report.set_aside == ()


def test_a_label_of_a_file_is_not_adopted_by_a_folder_of_the_same_name(tmp_path: Path) -> None:
    site = stock_site(tmp_path, "p02.nii.gz")
    site.stock_label("p02", nodule("present"))
    report = adopt_stock_labels(["p02"], site.labels)
    assert (report.adopted, len(report.not_adopted)) == ((), 1)
    assert "of no study that is here" in report.not_adopted[0].what
