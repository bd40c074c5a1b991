"""Ordinary DICOM files are read without pydicom's parser: what comes out is what pydicom alone would say."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vpt_plugin.ct import dicom_headers
from vpt_plugin.ct.archive import unpack
from vpt_plugin.ct.decoding import decode_slice
from vpt_plugin.ct.dicom_headers import LeftOutFile, SliceHeader, read_header
from vpt_plugin.ct.slice_pixels import SliceReader
from vpt_plugin.errors import UnreadableStudyError

IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
RLE, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
PLAIN = (IMPLICIT, EXPLICIT, RLE, JPEG_LOSSLESS, JPEG_LS)


def as_scanners_write(dataset, _):
    """Sequences with and without a length, one in another, private elements, padding, many small things."""
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "T-28000", "Lung"
    outer.ReferencedSOPInstanceUID = "1.2.3.9"
    outer.AnatomicRegionSequence = Sequence([inner])
    dataset.ReferencedImageSequence = Sequence([outer, outer])
    dataset.ProcedureCodeSequence = Sequence([inner])
    dataset.OtherPatientIDsSequence = Sequence([])
    dataset["ReferencedImageSequence"].is_undefined_length = True
    dataset["OtherPatientIDsSequence"].is_undefined_length = True
    outer["AnatomicRegionSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    dataset.add_new(0x00190010, "LO", "SCANNER")
    dataset.add_new(0x00191001, "OB", b"\x01\x02" * 40)
    dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 100", "Thorax Übersicht"
    dataset.Manufacturer, dataset.RescaleType, dataset.PixelPaddingValue = "SCANNER", "HU", -2000


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory, chest_hu, write_series) -> dict[str, bytes]:
    """One slice in every encoding that is read without pydicom, by its transfer syntax."""
    folder = tmp_path_factory.mktemp("whole")
    hu = chest_hu((1, 12, 16))
    return {
        syntax: write_series(folder / syntax, hu, syntax=syntax, edit=as_scanners_write)[0].read_bytes()
        for syntax in PLAIN
    }


def by_pydicom(file: Path) -> SliceHeader | LeftOutFile:
    with patch.object(dicom_headers, "_read_plain", return_value=None):
        return read_header(file)


def without_place(header: SliceHeader | LeftOutFile) -> SliceHeader | LeftOutFile:
    return replace(header, pixels=None) if isinstance(header, SliceHeader) else header


def pixels_or_error(read) -> list | str:
    try:
        return read().tolist()
    except UnreadableStudyError as error:
        return str(error)


def is_what_pydicom_says(file: Path) -> SliceHeader | LeftOutFile:
    header = read_header(file)
    # As text: a thickness that is no number is equal to none.
    assert repr(without_place(header)) == repr(by_pydicom(file))
    if isinstance(header, SliceHeader) and header.pixels is not None and header.rows * header.columns < 2**20:
        shape = header.rows, header.columns
        mine = pixels_or_error(lambda: SliceReader(*shape, "s").read(header))
        assert mine == pixels_or_error(lambda: decode_slice(file, *shape, "s"))
    return header


@pytest.mark.parametrize("syntax", PLAIN)
def test_an_ordinary_file_is_read_without_pydicom_and_to_the_same(tmp_path, whole_files, syntax):
    file = tmp_path / "slice.dcm"
    file.write_bytes(whole_files[syntax])
    with patch.object(pydicom, "dcmread", side_effect=AssertionError("pydicom was asked")):
        header = read_header(file)
        hu = SliceReader(12, 16, "s").read(header)
    assert header.description == "Thorax Übersicht"
    assert header.pixels.place.syntax == syntax
    assert header.pixels.format.padding == 63536
    np.testing.assert_array_equal(hu, decode_slice(file, 12, 16, "s"))
    assert without_place(header) == by_pydicom(file)


@pytest.mark.parametrize("syntax", [BIG_ENDIAN, DEFLATED])
def test_what_is_out_of_the_ordinary_is_left_to_pydicom(tmp_path, chest_hu, write_series, syntax):
    (file,) = write_series(tmp_path, chest_hu((1, 12, 16)), syntax=syntax)
    header = read_header(file)
    assert header == by_pydicom(file)
    assert header.pixels is None


# How a file may be damaged: where, and what is put in the place of how many bytes.
damage = st.tuples(
    st.floats(0, 1),
    st.integers(0, 12),
    st.binary(max_size=12) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"SQ"]),
)


@given(syntax=st.sampled_from(PLAIN), hits=st.lists(damage, min_size=1, max_size=3), in_header=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_what_pydicom_says(whole_files, syntax, hits, in_header):
    data = whole_files[syntax]
    for where, taken, put in hits:
        end = data.find(b"\xe0\x7f\x10\x00") if in_header else len(data)
        at = 128 + int(where * max(0, end - 128))
        data = data[:at] + put + data[at + taken :]
    same_as_pydicom(data)


@given(syntax=st.sampled_from(PLAIN), share=st.floats(0, 1))
@example(syntax=EXPLICIT, share=0.99)
@settings(max_examples=60, deadline=None)
def test_a_file_cut_short_is_what_pydicom_says(whole_files, syntax, share):
    data = whole_files[syntax]
    same_as_pydicom(data[: int(len(data) * share)])


def elements_of(data: bytes) -> list[bytes]:
    """An explicit file in pieces: what comes before the data set, then element after element."""
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    starts = []
    for element in dataset._dict.values():
        value_at = getattr(element, "value_tell", None) or element.file_tell
        tag = element.tag
        start = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
        starts.append(data.rindex(start, 0, value_at))
    ends = [*starts[1:], len(data)]
    return [data[: starts[0]], *(data[start:end] for start, end in zip(starts, ends, strict=True))]


@given(
    moves=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.booleans()), min_size=1, max_size=3)
)
@settings(max_examples=120, deadline=None)
def test_elements_in_another_order_missing_or_there_twice_are_what_pydicom_says(whole_files, moves):
    pieces = elements_of(whole_files[EXPLICIT])
    for taken, put, keep in moves:
        piece = pieces[1 + taken % (len(pieces) - 1)]
        if not keep:
            pieces.remove(piece)
        pieces.insert(1 + put % len(pieces), piece)
    same_as_pydicom(b"".join(pieces))


@given(drop=st.sets(st.integers(0, 40), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_file_without_some_elements_is_what_pydicom_says(whole_files, drop):
    pieces = elements_of(whole_files[EXPLICIT])
    gone = {1 + index % (len(pieces) - 1) for index in drop}
    same_as_pydicom(b"".join(piece for index, piece in enumerate(pieces) if index not in gone))


def same_as_pydicom(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "slice.dcm"
        file.write_bytes(data)
        is_what_pydicom_says(file)


def setting(**values):
    def edit(dataset, index):
        as_scanners_write(dataset, index)
        for name, value in values.items():
            setattr(dataset, name, value)

    return edit


@pytest.mark.parametrize(
    "values",
    [
        {"Modality": "MR"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": "DERIVED\\SECONDARY\\MIP"},
        {"NumberOfFrames": 3},
        {"RescaleType": "Z_EFF"},
        {"RescaleType": ""},
        {"ImagePositionPatient": ["1", "2"]},
        {"ImagePositionPatient": ["1e400", "2", "3"]},
        {"ImagePositionPatient": ["1.5e-05", "-2.", "+3"]},
        {"PixelSpacing": ["0.7", "nan"]},
        {"PixelSpacing": ["0.7"]},
        {"SliceThickness": ""},
        {"SOPInstanceUID": "9b1de0a1d4ea", "SeriesInstanceUID": "0a9f4c2d1e77"},
        {"SOPInstanceUID": ""},
        {"PatientID": "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller"},
        {"RescaleSlope": "0.5", "RescaleIntercept": "-1024.5"},
        {"RescaleSlope": ["1", "2"]},
        {"RescaleSlope": "0"},
        {"RescaleIntercept": ""},
        {"RescaleIntercept": "-40000"},
        {"BitsAllocated": 8},
        {"BitsStored": 12, "HighBit": 15},
        {"BitsStored": 17},
        {"Rows": 0},
        {"Rows": 400},
        {"PixelPaddingValue": None},
    ],
)
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_odd_values_are_what_pydicom_says(tmp_path, chest_hu, write_series, syntax, values):
    (file,) = write_series(tmp_path, chest_hu((1, 12, 16)), syntax=syntax, edit=setting(**values))
    is_what_pydicom_says(file)


@given(data=st.binary(max_size=80), length=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_runs_of_any_bytes_decode_as_pydicom_decodes_them(whole_files, data, length):
    # Instead of the run-length code of the high bytes; the rest of the image stays.
    whole = whole_files[RLE]
    at = whole.index((2).to_bytes(4, "little") + (64).to_bytes(4, "little")) + 64
    same_as_pydicom(whole[:at] + data[:length] + whole[at + len(data[:length]) :])


def test_every_file_of_real_studies_is_what_pydicom_says(real_data, tmp_path):
    unpack(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip", tmp_path)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    headers = [is_what_pydicom_says(file) for file in files]
    fast = [header for header in headers if isinstance(header, SliceHeader) and header.pixels is not None]
    assert len(fast) == 133
    for file in (real_data / "dicom-encodings").iterdir():
        is_what_pydicom_says(file)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_long_values_are_left_to_pydicom_and_not_kept(tmp_path, chest_hu, write_series, syntax):
    dicom_headers._judge.cache_clear()
    for length, kept in ((1024, True), (1026, False)):
        edit = setting(ImageType="\\".join(["ORIGINAL", "PRIMARY", "A" * (length - 17)]))
        (file,) = write_series(tmp_path / str(length), chest_hu((1, 12, 16)), syntax=syntax, edit=edit)
        header = is_what_pydicom_says(file)
        assert (header.pixels is not None) is kept
        assert dicom_headers._judge.cache_info().currsize == 1


def test_what_is_kept_of_headers_is_little(tmp_path, chest_hu, write_series):
    dicom_headers._judge.cache_clear()
    files = write_series(
        tmp_path, chest_hu((40, 4, 4)), edit=lambda each, i: setting(PatientID=f"p{i}")(each, i)
    )
    assert {read_header(file).patient_id for file in files} == {f"p{index}" for index in range(40)}
    assert dicom_headers._judge.cache_info().currsize == 32
