"""Pixels: every transfer syntax gives the same Hounsfield units, and none hides a damaged file."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpt_plugin.ct.decoding import decode_slice, to_hounsfield
from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import StudyError, UnreadableStudyError

LOSSLESS = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big-endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-lossless": "1.2.840.10008.1.2.4.57",
    "jpeg-lossless-first-order": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
    "high-throughput-jpeg-2000": "1.2.840.10008.1.2.4.201",
}


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned-12-bit"])
@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS.keys())
def test_every_lossless_encoding_gives_the_same_hounsfield_units(
    tmp_path, chest_hu, write_series, syntax, signed
):
    hu = chest_hu((3, 32, 48))
    write_series(tmp_path, hu, syntax=syntax, signed=signed)
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)


def test_12_bit_jpeg_is_near_the_original(tmp_path, chest_hu, write_series):
    smooth = np.linspace(-1000, 1000, 64 * 64).reshape(1, 64, 64).repeat(3, axis=0).astype(np.int16)
    write_series(tmp_path, smooth, syntax="1.2.840.10008.1.2.4.51", signed=False)
    assert np.abs(read_study(tmp_path).hu.astype(int) - smooth).max() <= 3


def test_the_six_real_encodings_decode_to_the_same_pixels(real_data):
    files = sorted((real_data / "dicom-encodings").glob("*.dcm"))
    assert len(files) == 6
    plain = real_data / "dicom-encodings" / "LittleEndianExplicit.dcm"
    expected = np.clip(pydicom.dcmread(plain).pixel_array - 1024, -1024, 3071)
    assert expected.std() > 300
    for file in files:
        np.testing.assert_array_equal(decode_slice(file, 512, 512, "real"), expected, err_msg=file.name)


def test_bits_above_the_highest_used_one_do_not_count(tmp_path, chest_hu, write_series):
    hu = chest_hu()

    def with_overlay(dataset, _):
        stored = np.frombuffer(dataset.PixelData, np.uint16) | 0xA000
        dataset.PixelData = stored.tobytes()

    write_series(tmp_path, hu, signed=False, edit=with_overlay)
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)


def test_12_bit_values_keep_their_sign(tmp_path, chest_hu, write_series):
    hu = np.clip(chest_hu(), -1024, 2023)

    def as_12_bits(dataset, _):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) & 0x0FFF).tobytes()

    write_series(tmp_path, hu, edit=as_12_bits)  # stored as HU + 24, so -1000 to 2047
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)


def test_every_slice_has_its_own_slope_and_intercept(tmp_path, chest_hu, write_series):
    hu = chest_hu() // 4 * 4

    def rescaled(dataset, index):
        slope, intercept = (1, 2, 4)[index % 3], (-1024, -1000, 0)[index % 3]
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
        dataset.PixelData = ((hu[index].astype(int) - intercept) // slope).astype(np.int16).tobytes()

    write_series(tmp_path, hu, edit=rescaled)
    np.testing.assert_array_equal(read_study(tmp_path).hu, hu)


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "padding", "expected"),
    [
        (np.int16([0, 24, 1024]), 1, -1024, None, [-1024, -1000, 0]),
        (np.uint16([0, 4096, 65535]), 1, -1024, None, [-1024, 3071, 3071]),
        (np.int16([-2000, -32768]), 1, -1024, 63536, [-1024, -1024]),
        (np.uint16([63536, 100, 5000]), 1, -1024, 63536, [-1024, -924, 3071]),  # padding above all values
        (np.int16([-3, 1, 5]), 0.5, 0.25, None, [-1, 1, 3]),  # -1.25, 0.75, 2.75
    ],
)
def test_stored_values_become_clamped_hounsfield_units(stored, slope, intercept, padding, expected):
    hu = to_hounsfield(stored, slope=float(slope), intercept=float(intercept), padding=padding)
    assert hu.dtype == np.int16
    assert hu.tolist() == expected


def test_a_slope_that_cannot_be_is_refused(tmp_path, chest_hu, write_series):
    def flat(dataset, _):
        dataset.RescaleSlope = "0"

    write_series(tmp_path, chest_hu(), edit=flat)
    with pytest.raises(UnreadableStudyError, match=r"damaged \(RescaleSlope 0\.0"):
        read_study(tmp_path)


# Refusals: damaged pixels.


def cut(file: Path, keep_bytes: int) -> None:
    file.write_bytes(file.read_bytes()[:keep_bytes])


def test_an_uncompressed_file_that_is_cut_short_is_refused_with_its_name(tmp_path, chest_hu, write_series):
    files = write_series(tmp_path, chest_hu())
    cut(files[2], files[2].stat().st_size - 2)
    with pytest.raises(UnreadableStudyError, match=r"002\.dcm is cut short: 158 bytes .* says 160\. Copy or"):
        read_study(tmp_path)


@pytest.mark.parametrize("name", ["deflated", "rle", "jpeg-lossless", "jpeg-ls", "jpeg-2000"])
@pytest.mark.parametrize("share", [0.75, 0.97])
def test_a_compressed_file_that_is_cut_short_is_refused(tmp_path, chest_hu, write_series, name, share):
    files = write_series(tmp_path, chest_hu((3, 32, 48)), syntax=LOSSLESS[name])
    cut(files[1], int(files[1].stat().st_size * share))
    with pytest.raises(UnreadableStudyError, match=r"001\.dcm (is cut short|is damaged|has no pixel data)"):
        read_study(tmp_path)


@pytest.mark.parametrize("name", ["jpeg-lossless", "jpeg-ls", "jpeg-2000", "rle"])
def test_a_compressed_image_without_its_end_is_refused_though_its_wrapping_is_whole(
    tmp_path, chest_hu, write_series, name
):
    files = write_series(tmp_path, chest_hu((3, 32, 48)), syntax=LOSSLESS[name])
    dataset = pydicom.dcmread(files[1])
    frame = next(pydicom.encaps.generate_pixel_data_frame(dataset.PixelData, 1))
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 4 * 2]])
    dataset.save_as(files[1])
    with pytest.raises(UnreadableStudyError, match=r"001\.dcm is (cut short|damaged)"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (b"\x28\x00\x10\x00", r"005\.dcm, of the series to be read, has no pixel data"),  # Rows
        (b"\x08\x00\x18\x00", r"005\.dcm is damaged or cut short, and may be a slice"),  # SOPInstanceUID
    ],
)
def test_a_last_slice_that_ends_within_its_header_is_refused_and_not_left_out(
    tmp_path, chest_hu, write_series, before, message
):
    files = write_series(tmp_path, chest_hu())
    cut(files[-1], files[-1].read_bytes().index(before))
    with pytest.raises(UnreadableStudyError, match=message):
        read_study(tmp_path)


def test_an_empty_file_that_a_full_disk_left_is_refused(tmp_path, chest_hu, write_series):
    files = write_series(tmp_path, chest_hu())
    cut(files[-1], 0)
    with pytest.raises(UnreadableStudyError, match=r"005\.dcm is damaged or cut short"):
        read_study(tmp_path)


def test_a_header_without_pixels_is_refused(tmp_path, chest_hu, write_series):
    def drop(dataset, _):
        del dataset.PixelData

    write_series(tmp_path, chest_hu(), edit=drop)
    with pytest.raises(UnreadableStudyError, match=r"00\d\.dcm has no pixel data"):
        read_study(tmp_path)


def test_a_compression_that_is_not_known_is_named(tmp_path, chest_hu, write_series):
    files = write_series(tmp_path, chest_hu(), syntax="1.2.840.10008.1.2.4.70")
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.94"))
    with pytest.raises(UnreadableStudyError, match=r"is compressed in a way that is not known here \(JPIP"):
        read_study(tmp_path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_damage_to_a_file_raises_anything_but_a_study_error(data, chest_hu, write_series):
    syntax = data.draw(st.sampled_from(sorted(LOSSLESS.values())))
    with tempfile.TemporaryDirectory() as folder:
        files = write_series(Path(folder), chest_hu((3, 8, 10)), syntax=syntax)
        whole = bytearray(files[1].read_bytes())
        for _ in range(data.draw(st.integers(0, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        files[1].write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        with contextlib.suppress(StudyError):
            assert read_study(Path(folder)).hu.shape == (3, 8, 10)
