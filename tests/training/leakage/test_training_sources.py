"""Where studies to learn from come from; an archive's are known again without its cache."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labelled_site import Site, nodule_label, sides_of, small_volume
from orthanc_process import OrthancProcess

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Provenance
from vpt_plugin.data.phantom import write_dicom, write_nrrd
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    ConfigurationError,
    IncompleteSeriesError,
    StudyNotFoundError,
    TrainingError,
)
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import OpenedStudy, SourceState
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.training.job import ArchiveFacts
from vpt_plugin.training.selection import TrainingData
from vpt_plugin.training.sources import LabelStoreSource, ManifestSource, open_source

SERIES = 12


class Archive:
    """A ``StudySource`` that fetches each series anew, into another place and at another time."""

    name = "archive.example"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        self.counts_slices = True
        self.errors: dict[str, Exception] = {}
        for number in range(SERIES):
            write_dicom(small_volume(number, f"MRN-{number // 2:02d}"), folder / "kept" / self.uid(number))

    @staticmethod
    def uid(number: int) -> str:
        return f"1.2.{number}"

    def ids(self) -> list[str]:
        return [self.uid(number) for number in range(SERIES)]

    def require(self, study_id: str) -> str:
        return study_id

    def study_of_series(
        self, series_uid: str, *, examination: str = "", cancelled: Callable[[], bool] | None = None
    ) -> str:
        return self.require(series_uid)

    def remember(self, study_id: str) -> None:
        pass

    @contextmanager
    def opened(self, study_id: str, *, cancelled: Callable[[], bool] | None = None) -> Iterator[OpenedStudy]:
        self.fetched.append(study_id)
        if study_id in self.errors:
            raise self.errors[study_id]
        here = self.folder / f"fetched-{len(self.fetched)}" / study_id
        shutil.copytree(self.folder / "kept" / study_id, here, copy_function=shutil.copyfile)
        yield OpenedStudy(here)
        shutil.rmtree(here)

    def dates(self) -> dict[str, str]:
        return {}

    def facts(self, study_id: str) -> dict[str, Any]:
        patient = f"MRN-{int(study_id.rpartition('.')[2]) // 2:02d}"
        return {"patient": patient, "slices": 6 if self.counts_slices else None}

    def refresh(self) -> None:
        pass

    def state(self) -> SourceState:
        return SourceState("archive")


class ArchiveSite(Site):
    """A site whose studies are in an archive."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "studies", folder / "prepared")
        self.archive = Archive(folder / "archive")
        for number in range(SERIES):
            self.label(Archive.uid(number), "present" if number % 2 else "absent")
        self.read: list[str] = []

    def train(self) -> TrainingData:
        source = LabelStoreSource(self.archive, LabelFolder(self.labels.root))
        self.read = []

        def read(path: Path, **options: Any) -> Any:
            self.read.append(options["name"])
            return read_study(path, **options)

        return self.select(source=source, read=read)


@pytest.fixture
def at_archive(tmp_path: Path) -> ArchiveSite:
    return ArchiveSite(tmp_path)


def test_an_archives_series_is_fetched_once_for_all_trainings(at_archive: ArchiveSite) -> None:
    first = sides_of(at_archive.train())
    assert len(at_archive.archive.fetched) == len(at_archive.read) == SERIES
    assert sides_of(at_archive.train()) == first
    # Nothing is fetched to learn that it is here: the cache of the archive may be gone.
    assert len(at_archive.archive.fetched) == SERIES
    assert at_archive.read == []


def test_where_an_archive_does_not_count_slices_a_series_is_fetched_again_but_not_prepared(
    at_archive: ArchiveSite,
) -> None:
    at_archive.archive.counts_slices = False
    at_archive.train()
    at_archive.train()
    assert len(at_archive.archive.fetched) == 2 * SERIES
    assert at_archive.read == []


def test_a_series_that_grew_is_prepared_anew(at_archive: ArchiveSite) -> None:
    at_archive.train()
    facts = at_archive.archive.facts
    at_archive.archive.facts = lambda study: {  # type: ignore[method-assign]
        **facts(study), "slices": 7 if study == "1.2.3" else 6,
    }  # fmt: skip
    at_archive.train()
    assert at_archive.read == ["1.2.3"]


def test_the_archive_names_the_patients_before_anything_is_fetched(at_archive: ArchiveSite) -> None:
    sides = sides_of(at_archive.train())
    assert all(sides[f"1.2.{n}"] == sides[f"1.2.{n + 1}"] for n in range(0, SERIES, 2))
    assert "MRN" not in at_archive.split_file.read_text()


def test_an_archive_that_goes_down_stops_the_training_and_a_broken_series_does_not(
    at_archive: ArchiveSite,
) -> None:
    at_archive.archive.errors = {
        "1.2.1": IncompleteSeriesError("1.2.1: 3 of 6 slices came."),
        "1.2.2": StudyNotFoundError("1.2.2", "the archive no longer has it."),
    }
    assert at_archive.train().left_out == {"incomplete in the archive": 1, "labelled, but not there": 1}
    at_archive.archive.errors = {"1.2.1": ArchiveUnreachableError("the archive does not answer.", "Wait.")}
    with pytest.raises(ArchiveUnreachableError, match=r"1\.2\.1 cannot be had, so nothing is trained"):
        at_archive.train()


def test_links_to_a_study_stand_for_its_files(site: Site) -> None:
    for number in range(6):
        site.add(f"p{number}", f"MRN-{number}")
    write_dicom(small_volume(50, "MRN-8"), site.studies / "mixed" / "inner")
    site.label("mixed--inner", "present")
    # As a server does after a study's first label.
    folder = StudyFolder(site.studies, labelled=site.labels.labelled, index_folder=site.labels.root)
    folder.ids()
    folder.remember("mixed--inner")
    # Loose files beside a study of its own: they are opened as a folder of links, elsewhere each time.
    write_dicom(small_volume(51, "MRN-9"), site.studies / "loose")
    for file in (site.studies / "loose").iterdir():
        file.rename(site.studies / "mixed" / file.name)
    (site.studies / "loose").rmdir()
    site.label("mixed", "present")
    read: list[Path] = []

    def reader(path: Path, **options: Any) -> Any:
        read.append(path)
        return read_study(path, **options)

    assert len(site.select(read=reader).everything) == len(read) == 8
    assert sum(not path.is_relative_to(site.studies) for path in read) == 1
    site.select(read=reader)
    assert len(read) == 8


def test_a_label_of_one_series_reads_that_series(site: Site) -> None:
    for number in range(6):
        site.add(f"p{number}", f"MRN-{number}")
    two = site.studies / "p0"
    for file in two.iterdir():
        file.rename(two / f"first-{file.name}")
    write_dicom(small_volume(50, "MRN-0"), site.studies / "other")
    (site.studies / "other").rename(two / "second")
    series = {path.name: read_study(path).provenance.series_uid for path in [two / "second"]}
    label = nodule_label("present")
    site.labels.save("p0", type(label)(**{**vars(label), "series_uid": series["second"]}))
    data = site.select()
    (study,) = (each for each in data.everything if each.study == "p0")
    alone = small_volume(50).hu
    assert study.prepared.facts.mean_hu == pytest.approx(float(alone[alone > -1024].mean()), abs=0.5)


def test_a_place_is_a_csv_a_folder_or_an_archive(site: Site, tmp_path: Path) -> None:
    study = site.add("s0")
    csv = site.studies / "m.csv"
    csv.write_text(
        f"study,path,patient,split,nodule_label\ns0,{study},P,train,labels/final/{study}/nodule.0001.json\n"
    )
    source = open_source(str(csv))
    assert isinstance(source, ManifestSource)
    assert (source.name, source.split_file("nodule")) == ("m.csv", csv.with_name("m.csv.nodule.split.json"))
    folder = open_source(site.studies)
    assert [each.study for each in folder.studies("nodule")] == ["s0.nrrd"]
    assert folder.split_file("nodule") == site.studies / "labels" / "splits" / "nodule.json"
    with pytest.raises(ConfigurationError, match=r"m\.csv names the labels of its studies itself"):
        open_source(csv, labels_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="there is no such file or folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no study is labelled"):
        open_source(tmp_path / "prepared" if (tmp_path / "prepared").is_dir() else tmp_path)


def test_the_labels_of_an_archive_lie_where_the_server_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path))
    address = "http://pacs.example:8042/dicom-web"
    with pytest.raises(ConfigurationError, match="no study is labelled"):
        open_source(address)
    (tmp_path / "labels").mkdir()
    source = open_source(address, labels_dir=tmp_path / "labels", archive=ArchiveFacts(description="*THIN*"))
    assert source.name == "pacs.example:8042"
    with pytest.raises(ConfigurationError, match="no address of a DICOM archive"):
        open_source("ftp://pacs.example")


def test_what_readers_label_is_known_to_be_phantoms_by_its_files_and_not_mixed_with_patients(
    site: Site,
) -> None:
    for number in range(8):
        volume = replace(small_volume(number), provenance=Provenance("phantom", patient_id=f"P{number}"))
        write = (write_dicom, write_nrrd)[number % 2]
        study = f"s{number}{'.nrrd' if number % 2 else ''}"
        write(volume, site.studies / study)
        site.label(study, "present" if number < 4 else "absent")
    assert site.select().synthetic
    site.add("patient", "MRN-1")
    with pytest.raises(
        TrainingError, match=r"phantoms \(s0 and 7 more\) and patients \(patient\) are mixed\."
    ):
        site.select()


def test_a_real_archive_is_asked_for_its_series_once_and_may_be_down_the_next_time(
    tmp_path: Path, new_orthanc: Callable[..., OrthancProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    orthanc, site = new_orthanc(), Site(tmp_path / "studies", tmp_path / "prepared")
    for number in range(8):
        volume = small_volume(number, f"MRN-{number // 2:02d}")
        write_dicom(volume, tmp_path / "sent" / str(number))
        series = read_study(tmp_path / "sent" / str(number)).provenance.series_uid
        site.label(series, "present" if number % 2 else "absent")
    orthanc.send(tmp_path / "sent")
    cache = ArchiveFacts(cache_dir=str(tmp_path / "cache"))

    def train() -> tuple[dict[str, str], list[str]]:
        read: list[str] = []

        def reader(path: Path, **options: Any) -> Any:
            read.append(options["name"])
            return read_study(path, **options)

        source = open_source(orthanc.url, labels_dir=site.labels.root, archive=cache)
        return sides_of(site.select(source=source, read=reader)), read

    sides, read = train()
    assert len(sides) == len(read) == 8
    # Four patients of two series each; the archive tells who they are.
    assert len(site.split().sides) == 4
    for series in (tmp_path / "cache").rglob("slices"):
        shutil.rmtree(series)
    orthanc.stop()
    assert train() == (sides, [])
