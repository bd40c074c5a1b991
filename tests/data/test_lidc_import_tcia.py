"""LIDC-IDRI imported from what TCIA hands out, in miniature and as LIDC-IDRI-0001."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pydicom
import pytest
from lidc_mini import MiniLidc, write_reading

from vpt_plugin.data.importers.import_run import ImportOutcome, run_import
from vpt_plugin.data.importers.lidc_set import LidcImporter
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.errors import ConfigurationError, LabelError

pytestmark = pytest.mark.usefixtures("disk_without_waiting")

NOBODY: list[list[tuple[int, ...]]] = [[], [], [], []]


def three_agree(*slices: int) -> list[list[tuple[int, ...]]]:
    return [[slices], [slices], [slices], []]


def by_name(outcome: ImportOutcome) -> Mapping[str, ManifestStudy]:
    return {study.study: study for study in outcome.studies}


def ranges(study: ManifestStudy) -> tuple[tuple[float, float], ...] | None:
    return study.labels["nodule"].findings["lung_nodule"].slices_mm


@pytest.mark.parametrize("uid_folders", [False, True])
def test_a_download_in_either_layout_becomes_a_manifest(tmp_path: Path, uid_folders: bool) -> None:
    lidc = MiniLidc(tmp_path, uid_folders=uid_folders)
    first, second = lidc.ct("LIDC-IDRI-0001", 1), lidc.ct("LIDC-IDRI-0002", 2)
    lidc.radiograph("LIDC-IDRI-0001", 3)
    lidc.radiograph("LIDC-IDRI-0002", 4, "CR")
    lidc.list_series()
    write_reading(first.folder / "069.xml", first, three_agree(2, 3))
    write_reading(second.folder / "071.xml", second, [[(4,)], [(4,)], [], []])
    outcome = run_import(LidcImporter(lidc.folder), tmp_path / "out")
    assert not outcome.refused
    assert outcome.set_notes == (
        "Series that are no CT, passed over: 2 (1 CR, 1 DX); CR and DX are chest radiographs.",
        "Readings of chest radiographs, passed over: 2.",
    )
    manifest = Manifest.read(tmp_path / "out" / "manifest.csv")
    studies = {study.study: study for study in manifest.studies}
    assert {name: study.patient for name, study in studies.items()} == {
        "LIDC-IDRI-0001": "LIDC-IDRI-0001",
        "LIDC-IDRI-0002": "LIDC-IDRI-0002",
    }
    assert ranges(studies["LIDC-IDRI-0001"]) == ((-7.5, -5.0),)
    assert studies["LIDC-IDRI-0001"].labels["nodule"].series_uid == first.uid
    assert studies["LIDC-IDRI-0001"].path.resolve() == first.folder
    assert studies["LIDC-IDRI-0002"].labels["nodule"].findings["lung_nodule"].state == "absent"


def test_both_cts_of_a_patient_are_on_one_side_and_the_second_has_a_number(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    for serial in range(1, 11):
        for more in (0, 100):
            series = lidc.ct(f"LIDC-IDRI-{serial:04d}", 200 - serial - more)
            write_reading(series.folder / "1.xml", series, three_agree(1) if serial % 2 else NOBODY)
    studies = by_name(run_import(LidcImporter(lidc.folder), tmp_path / "out"))
    assert len(studies) == 20
    for serial in range(1, 11):
        one, two = studies[f"LIDC-IDRI-{serial:04d}"], studies[f"LIDC-IDRI-{serial:04d}-2"]
        assert (one.patient, one.split) == (two.patient, two.split)
        # The smaller UID is the first.
        assert one.labels["nodule"].series_uid < two.labels["nodule"].series_uid
    sides = [study.split for study in studies.values()]
    assert {side: sides.count(side) for side in set(sides)} == {"train": 12, "validation": 4, "test": 4}


def test_readings_of_the_archive_of_xml_find_their_series_wherever_they_lie(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    series, alone = lidc.ct("LIDC-IDRI-0001", 1), lidc.ct("LIDC-IDRI-0002", 2)
    archive = tmp_path / "LIDC-XML-only" / "tcia-lidc-xml"
    write_reading(archive / "157" / "158.xml", series, three_agree(2))
    # The same, twice more: beside the slices, and with its header written in another way.
    write_reading(series.folder / "158.xml", series, three_agree(2))
    write_reading(archive / "185" / "069.xml", series, three_agree(2)[::-1], study_first=True)
    (tmp_path / "elsewhere").mkdir()
    stranger = MiniLidc(tmp_path / "elsewhere").ct("LIDC-IDRI-0009", 9)
    write_reading(archive / "189" / "001.xml", stranger, NOBODY)
    (archive / "189" / "002.xml").write_text("<LidcReadMessage>")
    outcome = run_import(LidcImporter(lidc.folder, tmp_path / "LIDC-XML-only"), tmp_path / "out")
    assert ranges(by_name(outcome)["LIDC-IDRI-0001"]) == ((-5.0, -5.0),)
    assert outcome.refused == {
        "LIDC-IDRI-0002": "no XML of its series is there. "
        "Give the unpacked LIDC-XML-only.zip of TCIA with --xml."
    }
    unmatched, unusable = outcome.set_notes
    assert unmatched == f"Readings whose series is not there: 1 ({archive / '189' / '001.xml'})."
    assert unusable.startswith(f"Not used: {archive / '189' / '002.xml'}: this is no XML")
    assert alone.folder.is_dir()


def test_what_cannot_be_trusted_is_refused_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    good = lidc.ct("LIDC-IDRI-0001", 1)
    odd = {
        "a marked slice is gone from an end": lidc.ct("LIDC-IDRI-0002", 2, leave_out=[7]),
        "a slice in between is gone": lidc.ct("LIDC-IDRI-0003", 3, leave_out=[4]),
        "two XML say different things": lidc.ct("LIDC-IDRI-0004", 4),
        "two readers": lidc.ct("LIDC-IDRI-0005", 5),
        "two panels": lidc.ct("LIDC-IDRI-0006", 6),
        "of somebody else": lidc.ct("LIDC-IDRI-0007", 7, patient_id="LIDC-IDRI-0077"),
        "of nobody": lidc.ct("LIDC-IDRI-0008", 8, patient_id=""),
        "a slice cut short": lidc.ct("LIDC-IDRI-0009", 9),
        "slices in the same place": lidc.ct("LIDC-IDRI-0085", 85),
    }
    for name, series in {"good": good, **odd}.items():
        readers = {"two readers": 2, "two panels": 8}.get(name, 4)
        marked = 7 if name == "a marked slice is gone from an end" else 2
        write_reading(series.folder / "069.xml", series, [[(marked,)]] * readers)
    different = odd["two XML say different things"]
    write_reading(tmp_path / "LIDC-IDRI" / "070.xml", different, NOBODY)
    cut = odd["a slice cut short"].folder / "1-003.dcm"
    cut.write_bytes(cut.read_bytes()[:520])
    again = pydicom.dcmread(good.folder / "1-005.dcm")
    again.PatientID, again.SeriesInstanceUID = "LIDC-IDRI-0085", odd["slices in the same place"].uid
    again.SOPInstanceUID = f"{again.SeriesInstanceUID}.77"
    pydicom.dcmwrite(odd["slices in the same place"].folder / "1-077.dcm", again, write_like_original=False)
    outcome = run_import(LidcImporter(lidc.folder), tmp_path / "out")
    assert list(by_name(outcome)) == ["LIDC-IDRI-0001"]
    wanted = {
        "LIDC-IDRI-0002": "1 of 1 marked slices are not in the series",
        "LIDC-IDRI-0003": "1 slice is missing: 1 after z = -12.5 mm",
        "LIDC-IDRI-0004": "say different things of one series",
        "LIDC-IDRI-0005": "it holds 2 of the at least 3 readings wanted",
        "LIDC-IDRI-0006": "it holds 8 readings, of more than one panel of 4",
        "LIDC-IDRI-0077": "its PatientID is LIDC-IDRI-0077, but it lies in the folder LIDC-IDRI-0007",
        "3000008-8": "its PatientID is '', which is none of LIDC-IDRI",
        "LIDC-IDRI-0009": "1-003.dcm is damaged or cut short",
        "LIDC-IDRI-0085": "1 slice position is there twice",
    }
    assert outcome.refused.keys() == wanted.keys()
    for name, why in wanted.items():
        assert why in outcome.refused[name]
    assert all(name in outcome.refused["LIDC-IDRI-0004"] for name in ("/069.xml", "/070.xml"))


def test_a_series_that_ends_early_shows_by_the_list_of_the_download(tmp_path: Path) -> None:
    """Without a gap, and without a marked slice that is gone, nothing else tells."""
    lidc = MiniLidc(tmp_path)
    series = lidc.ct("LIDC-IDRI-0001", 1, leave_out=[7])
    write_reading(series.folder / "069.xml", series, three_agree(2))
    assert not run_import(LidcImporter(lidc.folder), tmp_path / "unlisted").refused
    whole = lidc.ct("LIDC-IDRI-0002", 2)
    write_reading(whole.folder / "069.xml", whole, NOBODY)
    lidc.list_series()
    for folder in (lidc.folder, lidc.root):
        outcome = run_import(LidcImporter(folder), tmp_path / folder.name)
        assert list(outcome.refused) == ["LIDC-IDRI-0001"]
        assert "of 8 slices that metadata.csv lists 7 are there" in outcome.refused["LIDC-IDRI-0001"]


def test_a_series_that_was_downloaded_twice_is_one_study(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    series = lidc.ct("LIDC-IDRI-0001", 1)
    write_reading(series.folder / "069.xml", series, three_agree(2))
    copy = lidc.folder / "LIDC-IDRI-0001" / "again"
    shutil.copytree(series.folder, copy)
    outcome = run_import(LidcImporter(lidc.folder), tmp_path / "out")
    assert list(by_name(outcome)) == ["LIDC-IDRI-0001"]
    assert outcome.refused == {
        "LIDC-IDRI-0001-2": f"{copy} holds the same series as {series.folder}. Leave one of them."
    }


def test_a_second_ct_in_the_folder_of_another_is_told(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    first, second = lidc.ct("LIDC-IDRI-0001", 1), lidc.ct("LIDC-IDRI-0001", 2)
    write_reading(first.folder / "069.xml", first, three_agree(2))
    for file in second.folder.iterdir():
        file.rename(first.folder / f"2{file.name}")
    outcome = run_import(LidcImporter(lidc.folder), tmp_path / "out")
    (study,) = outcome.studies
    assert study.labels["nodule"].series_uid == first.uid
    assert outcome.notes == {
        "LIDC-IDRI-0001": (f"Another CT series lies in its folder, left out: {second.uid}.",)
    }


def test_fewer_readers_may_do_and_a_panel_of_three_is_told(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    series = lidc.ct("LIDC-IDRI-0700", 1)
    write_reading(series.folder / "069.xml", series, [[(2,)], [(2, 3)], []])
    for readers, wanted in ((3, None), (2, ((-5.0, -5.0),)), (1, ((-7.5, -5.0),))):
        outcome = run_import(LidcImporter(lidc.folder, min_readers=readers), tmp_path / f"out{readers}")
        assert ranges(outcome.studies[0]) == wanted
        assert outcome.notes == {"LIDC-IDRI-0700": ("069.xml holds 3 readings instead of 4.",)}


def test_a_reading_that_changes_is_read_again_and_what_did_not_change_is_not(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    for serial in (1, 2, 3):
        series = lidc.ct(f"LIDC-IDRI-{serial:04d}", serial)
        write_reading(tmp_path / "xml" / f"{serial}.xml", series, three_agree(2) if serial < 3 else [[]])
    importer = LidcImporter(lidc.folder, tmp_path / "xml")
    assert len(run_import(importer, tmp_path / "out").refused) == 1
    write_reading(tmp_path / "xml" / "3.xml", series, three_agree(2))
    done = run_import(importer, tmp_path / "out")
    assert (len(done.studies), done.unchanged, done.refused) == (3, 2, {})


def test_a_folder_without_cts_and_one_without_readings_are_told(tmp_path: Path) -> None:
    lidc = MiniLidc(tmp_path)
    lidc.radiograph("LIDC-IDRI-0001", 1)
    with pytest.raises(ConfigurationError, match="holds no CT; it holds 1 folders of other"):
        run_import(LidcImporter(lidc.folder), tmp_path / "out")
    lidc.ct("LIDC-IDRI-0002", 2)
    (lidc.folder / "LIDC-IDRI-0001" / "01-01-2000-1" / "3000001-1" / "072.xml").unlink()
    with pytest.raises(ConfigurationError, match=r"holds no XML.*LIDC-XML-only.zip of TCIA with --xml"):
        run_import(LidcImporter(lidc.folder), tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"there is no folder .*nowhere"):
        run_import(LidcImporter(tmp_path / "nowhere"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelError, match="empty: holds no XML"):
        run_import(LidcImporter(lidc.folder, tmp_path / "empty"), tmp_path / "out")


def read_by_hand(xml: Path) -> dict[str, float]:
    """UID and z of the slices on which at least three readers outlined a nodule of 3 mm or more."""
    text = re.sub(r' xmlns="[^"]+"', "", xml.read_text())
    seen: dict[str, set[int]] = {}
    z_mm: dict[str, float] = {}
    for reader, session in enumerate(ElementTree.fromstring(text).findall("readingSession")):
        for nodule in session.findall("unblindedReadNodule"):
            for contour in nodule.findall("roi"):
                if len(contour.findall("edgeMap")) > 1:
                    uid = str(contour.findtext("imageSOP_UID"))
                    seen.setdefault(uid, set()).add(reader)
                    z_mm[uid] = float(str(contour.findtext("imageZposition")))
    return {uid: z_mm[uid] for uid, readers in seen.items() if len(readers) >= 3}


def test_the_positive_slices_of_lidc_idri_0001_are_those_read_from_its_xml_by_hand(
    real_data: Path, tmp_path: Path
) -> None:
    xml = real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_annotations.xml"
    patient = tmp_path / "LIDC-IDRI" / "LIDC-IDRI-0001"
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        archive.extractall(patient)
    (series,) = {file.parent for file in patient.rglob("*.dcm")}
    shutil.copy(xml, series / "069.xml")
    files = [pydicom.dcmread(file, stop_before_pixels=True) for file in series.glob("*.dcm")]
    assert len(files) == 133
    assert len(re.findall("<readingSession>", xml.read_text())) == 4
    by_hand = read_by_hand(xml)
    outcome = run_import(LidcImporter(tmp_path / "LIDC-IDRI"), tmp_path / "out")
    assert (outcome.refused, outcome.notes, outcome.set_notes) == ({}, {}, ())
    (study,) = outcome.studies
    assert (study.study, study.patient) == ("LIDC-IDRI-0001", "LIDC-IDRI-0001")
    assert study.labels["nodule"].comment.startswith("LIDC-IDRI: slices on which at least 3 of 4 readers")
    positive = {
        str(file.SOPInstanceUID): float(file.ImagePositionPatient[2])
        for file in files
        if any(low <= file.ImagePositionPatient[2] <= high for low, high in ranges(study) or ())
    }
    assert positive == by_hand
    assert sorted(positive.values()) == [-125.0, -122.5, -120.0, -117.5, -115.0, -112.5, -110.0, -107.5]
    instances = [int(file.InstanceNumber) for file in files if str(file.SOPInstanceUID) in positive]
    assert sorted(instances) == [40, 41, 42, 43, 44, 45, 46, 47]
