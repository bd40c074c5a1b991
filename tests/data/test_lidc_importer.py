"""LIDC-IDRI's readings as labels: who counts, which slices count, and what is refused."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.ct.dicom import read_slice_headers
from vpt_plugin.ct.dicom_headers import SliceHeader
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.importers.lidc import (
    LidcReading,
    lidc_label,
    lidc_series,
    read_lidc,
    z_disagreement_mm,
)
from vpt_plugin.data.importers.lidc_readings import agreed_reading, sort_readings
from vpt_plugin.errors import LabelError
from vpt_plugin.labels import StudyLabel

# (slice, points of the contour, inclusion)
Contour = tuple[int, int, str]
Nodule = Sequence[Contour]


def document(readers: Sequence[Sequence[Nodule]], *, series: str = "1.2.3", namespace: str = "nih") -> str:
    """The XML of a series whose slices lie at 0, -2.5, -5 ... mm: slice n has the SOPInstanceUID 9.n."""
    sessions = "".join(
        f"<readingSession>{''.join(map(nodule_xml, reader))}<nonNodule><imageZposition>-5</imageZposition>"
        "<imageSOP_UID>9.2</imageSOP_UID></nonNodule></readingSession>"
        for reader in readers
    )
    header = f"<ResponseHeader><SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
    return f'<LidcReadMessage xmlns="http://www.{namespace}.gov">{header}{sessions}</LidcReadMessage>'


def nodule_xml(contours: Nodule) -> str:
    rois = "".join(
        f"<roi><imageZposition>{-2.5 * number:f} </imageZposition><imageSOP_UID>9.{number}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>"
        f"{'<edgeMap><xCoord>1</xCoord><yCoord>1</yCoord></edgeMap>' * points}</roi>"
        for number, points, inclusion in contours
    )
    return f"<unblindedReadNodule><noduleID>1</noduleID>{rois}</unblindedReadNodule>"


def on(*slices: int) -> Nodule:
    return [(number, 20, "TRUE") for number in slices]


def read(tmp_path: Path, text: str | bytes) -> LidcReading:
    file = tmp_path / "069.xml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    reading = read_lidc(file)
    assert reading is not None
    return reading


def headers(count: int = 12, *, series: str = "1.2.3", step_mm: float = -2.5) -> list[SliceHeader]:
    return [
        SliceHeader(
            path=Path(f"{number}.dcm"), series_uid=series, patient_id="", description="", rows=8, columns=8,
            position_mm=(0.0, 0.0, step_mm * number), along_row=(1.0, 0.0, 0.0),
            along_column=(0.0, 1.0, 0.0), pixel_spacing_mm=(1.0, 1.0), thickness_mm=2.5,
            instance_uid=f"9.{number}",
        )
        for number in range(count)
    ]  # fmt: skip


def ranges(label: StudyLabel) -> tuple[tuple[float, float], ...] | None:
    return label.findings["lung_nodule"].slices_mm


def test_a_slice_counts_when_three_of_four_readers_outlined_a_nodule_on_it(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[on(2, 3, 4)], [on(3, 4, 5)], [on(3, 4, 5)], [on(5)]]))
    assert ranges(lidc_label(reading, headers())) == ((-12.5, -7.5),)
    assert ranges(lidc_label(reading, headers(), min_readers=1)) == ((-12.5, -5.0),)
    nobody = lidc_label(reading, headers(), min_readers=4)
    assert (nobody.findings["lung_nodule"].state, ranges(nobody)) == ("absent", None)


def test_slices_in_two_places_are_two_ranges_and_their_order_in_the_files_does_not_matter(
    tmp_path: Path,
) -> None:
    reading = read(tmp_path, document([[on(1), on(8, 7)]] * 3 + [[]]))
    assert ranges(lidc_label(reading, headers()[::-1])) == ((-20.0, -17.5), (-2.5, -2.5))


def test_a_reader_counts_once_however_many_contours_and_nodules_there_are(tmp_path: Path) -> None:
    many = [[*on(3), *on(3)], on(3), on(3)]
    reading = read(tmp_path, document([many, many, [], []]))
    assert lidc_label(reading, headers()).findings["lung_nodule"].state == "absent"
    assert reading.readers == (frozenset({"9.3"}), frozenset({"9.3"}), frozenset(), frozenset())


def test_small_nodules_and_non_nodules_do_not_count(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[[(2, 1, "TRUE")]]] * 4))
    assert reading.readers == (frozenset(),) * 4


def test_the_last_point_of_a_large_nodule_counts_and_a_hole_does_not(tmp_path: Path) -> None:
    nodule = [(3, 20, "TRUE"), (3, 8, "FALSE"), (4, 1, "TRUE"), (5, 8, "FALSE")]
    reading = read(tmp_path, document([[nodule]] * 4))
    assert ranges(lidc_label(reading, headers())) == ((-10.0, -7.5),)


@pytest.mark.parametrize("namespace", ["nih", "nih.gov/idri"])
def test_the_namespace_of_the_xml_does_not_matter(tmp_path: Path, namespace: str) -> None:
    reading = read(tmp_path, document([[on(3)]] * 4, namespace=namespace))
    assert ranges(lidc_label(reading, headers())) == ((-7.5, -7.5),)


def test_slices_lie_where_the_dicom_files_say_and_the_difference_is_told(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[on(3)]] * 4))
    moved = headers(step_mm=-3.0)
    assert ranges(lidc_label(reading, moved)) == ((-9.0, -9.0),)
    assert z_disagreement_mm(reading, moved) == pytest.approx(1.5)
    assert z_disagreement_mm(reading, headers(step_mm=-2.53)) == 0.0


def test_the_xml_of_another_series_is_refused_and_both_are_named(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[on(3)]] * 4, series="1.2.4"))
    with pytest.raises(LabelError, match=r"069\.xml: it is of the series 1\.2\.4.*the study holds 1\.2\.3"):
        lidc_label(reading, headers())


def test_a_series_without_its_marked_slices_is_refused(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[on(3, 11)]] * 4))
    with pytest.raises(LabelError, match=r"1 of 2 marked slices are not in the series, the first 9\.11"):
        lidc_label(reading, headers(11))


def test_three_readers_cannot_agree_where_two_read(tmp_path: Path) -> None:
    reading = read(tmp_path, document([[on(3)]] * 2))
    with pytest.raises(LabelError, match="holds 2 of the at least 3 readings"):
        lidc_label(reading, headers())
    assert ranges(lidc_label(reading, headers(), min_readers=2)) == ((-7.5, -7.5),)
    with pytest.raises(ValueError, match="at least one reader"):
        lidc_label(reading, headers(), min_readers=0)


def entities(*, external: bool) -> str:
    grown = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    declared = '<!ENTITY a9 SYSTEM "file:///etc/passwd">' if external else f'<!ENTITY a0 "ha">{grown}'
    return f"<!DOCTYPE x [{declared}]>" + document([]).replace("1.2.3", "&a9;")


HOSTILE: Mapping[str, tuple[str | bytes, str]] = {
    "a billion laughs": (entities(external=False), "declares a document type"),
    "another file": (entities(external=True), "declares a document type"),
    "another file in another encoding": (entities(external=True).encode("utf-16"), "document type"),
    "an entity nobody declared": (document([]).replace("1.2.3", "&a9;"), "this is no XML: undefined entity"),
    "cut short": (document([[on(3)]] * 4)[:-80], "this is no XML"),
    "nothing": ("", "this is no XML: no element found"),
    "an unknown encoding": (
        '<?xml version="1.0" encoding="x-none"?><a/>',
        "this is no XML: unknown encoding",
    ),
    "something else": ("<html/>", "no reading of LIDC-IDRI: it begins with 'html'"),
    "no series": (document([]).replace("1.2.3", " "), "a ResponseHeader has no SeriesInstanceUid"),
    "no UID": (document([[on(3)]]).replace("9.3", ""), "a roi has no imageSOP_UID"),
    "no number": (document([[on(3)]]).replace("-7.5", "z"), "imageZposition 'z00000' is no number"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_damaged_or_hostile_is_refused_at_once_with_the_files_name(tmp_path: Path, what: str) -> None:
    text, cause = HOSTILE[what]
    began = time.monotonic()
    with pytest.raises(LabelError, match=cause) as told:
        read(tmp_path, text)
    assert str(told.value).startswith(f"{tmp_path / '069.xml'}: ")
    assert time.monotonic() - began < 5


def test_a_file_larger_than_any_reading_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.xml"
    with file.open("wb") as stream:
        stream.truncate((50 << 20) + 1)
    with pytest.raises(LabelError, match="more than 50 MiB"):
        read_lidc(file)
    with pytest.raises(LabelError, match=r"gone\.xml: cannot be read"):
        read_lidc(tmp_path / "gone.xml")


def test_the_reading_of_a_chest_radiograph_is_none(tmp_path: Path) -> None:
    file = tmp_path / "cxr.xml"
    file.write_text('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>')
    assert read_lidc(file) is None


@given(
    marks=st.lists(st.frozensets(st.integers(0, 11)), min_size=4, max_size=4),
    step_mm=st.sampled_from([-2.5, 0.625, 1.2500001]),
)
def test_the_ranges_mean_exactly_the_slices_that_enough_readers_marked(
    marks: list[frozenset[int]], step_mm: float
) -> None:
    readers = tuple(frozenset(f"9.{number}" for number in each) for each in marks)
    reading = LidcReading(Path("x.xml"), "1.2.3", readers, dict.fromkeys(frozenset().union(*readers), 0.0))
    slices = headers(step_mm=step_mm)
    label = lidc_label(reading, slices)
    z_mm = np.array([step_mm * number for number in range(12)])
    wanted = [sum(number in each for each in marks) >= 3 for number in range(12)]
    assert positive_slices(z_mm, ranges(label) or ()).tolist() == wanted


@pytest.fixture(scope="module")
def lidc_0001(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lidc")
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        archive.extractall(folder)
    return folder


def test_the_four_readers_of_lidc_idri_0001_agree_on_eight_slices(real_data: Path, lidc_0001: Path) -> None:
    reading = read_lidc(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_annotations.xml")
    assert reading is not None
    # By hand from the XML: -125 to -107.5, -122.5 to -107.5, -125 to -107.5, and -125 to -105 mm.
    assert [len(each) for each in reading.readers] == [8, 7, 8, 9]
    slices = read_slice_headers(lidc_0001, "LIDC-IDRI-0001")
    label = lidc_label(reading, slices)
    assert ranges(label) == ((-125.0, -107.5),)
    assert z_disagreement_mm(reading, slices) == 0.0
    volume = read_study(lidc_0001, series_uid=label.series_uid)
    assert np.allclose(volume.slice_z_mm, sorted(each.centre_mm[2] for each in slices), atol=1e-6)
    assert int(positive_slices(volume.slice_z_mm, ranges(label) or ()).sum()) == 8


def test_which_series_a_reading_is_of_is_in_its_header_whatever_follows(tmp_path: Path) -> None:
    file = tmp_path / "069.xml"
    file.write_text(document([[on(3)]] * 4)[:-200])
    assert lidc_series(file) == "1.2.3"
    file.write_text('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>')
    assert lidc_series(file) is None
    file.write_text("<html/>")
    with pytest.raises(LabelError, match=r"069\.xml: this is no reading of LIDC-IDRI"):
        lidc_series(file)


def test_eight_readings_are_of_two_panels_and_refused(tmp_path: Path) -> None:
    """As LIDC-IDRI-0566 has them: three of eight readers are not three of four."""
    reading = read(tmp_path, document([[on(3)]] * 8))
    with pytest.raises(LabelError, match=r"069\.xml: it holds 8 readings, of more than one panel of 4"):
        lidc_label(reading, headers())


def test_the_same_reading_in_several_files_is_one_and_different_ones_are_named(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in ("158.xml", "copy.xml", "159.xml"))
    one.write_text(document([[on(3)], [on(3, 4)], [on(3)], []]))
    other.write_text(document([[], [on(3)], [on(3)], [on(4, 3)]]).replace("1.2.3</", "1.2.3 </"))
    third.write_text(document([[on(3)], [on(3)], [on(3)], []]))
    found = sort_readings([other, one, one])
    assert found.by_series == {"1.2.3": (other, one)}
    assert agreed_reading([one, other]).path == one
    with pytest.raises(LabelError, match=r"158\.xml and .*159\.xml say different things of one series"):
        agreed_reading([one, other, third])


def test_the_correction_that_tcia_published_counts_instead_of_what_it_corrects(tmp_path: Path) -> None:
    """LIDC-IDRI-0101: both files are in the archive of the readings."""
    old, new = tmp_path / "161.xml", tmp_path / "161-resubmitted-correction-3-9-12.xml"
    old.write_text(document([[on(3)]] * 4))
    new.write_text(document([[on(4)]] * 4))
    assert ranges(lidc_label(agreed_reading([old, new]), headers())) == ((-10.0, -10.0),)
