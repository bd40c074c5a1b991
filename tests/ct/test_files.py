"""NIfTI, NRRD and MHA: what they may hold, and what is refused with what words."""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from vpt_plugin.ct.reader import is_study_file, read_study
from vpt_plugin.errors import (
    GeometryError,
    NotHounsfieldError,
    TooFewSlicesError,
    UnreadableStudyError,
)

FORMATS = ("study.nii", "study.nii.gz", "study.nrrd", "study.mha")


def write(file, values, spacing=(0.7, 0.7, 2.5), **kind):
    image = sitk.GetImageFromArray(values, **kind)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(file), file.name.endswith("gz"))
    return file


def test_a_study_file_is_known_by_its_suffix(tmp_path):
    names = ["a.nii", "a.NII.GZ", "a.b.nrrd", "a.mha", "a.mhd"]
    assert all(is_study_file(tmp_path / name) for name in names)
    assert not any(is_study_file(tmp_path / name) for name in ["a.gz", "a.dcm", "a.zip", "nii", "a.json"])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_number_types_that_hold_hounsfield_units_are_read(tmp_path, chest_hu, name, dtype):
    hu = chest_hu()
    np.testing.assert_array_equal(read_study(write(tmp_path / name, hu.astype(dtype))).hu, hu)


def test_fractions_are_rounded_and_padding_is_clamped(tmp_path, chest_hu):
    values = chest_hu().astype(np.float32)
    values[0, 0, :4] = [-3024, 12.6, -0.4, 9999]
    assert read_study(write(tmp_path / "a.nii.gz", values)).hu[0, 0, :4].tolist() == [-1024, 13, 0, 3071]


def test_nifti_values_are_scaled_as_the_header_says(tmp_path, chest_hu):
    hu = chest_hu()
    file = write(tmp_path / "a.nii", (hu + 1024).astype(np.int16))
    with file.open("r+b") as header:
        header.seek(112)  # scl_slope, scl_inter
        header.write(struct.pack("<2f", 1, -1024))
    np.testing.assert_array_equal(read_study(file).hu, hu)


@pytest.mark.parametrize("name", FORMATS)
def test_nan_is_refused_with_its_count(tmp_path, chest_hu, name):
    values = chest_hu().astype(np.float32)
    values[1, 2, 3:6] = [np.nan, np.inf, -np.inf]
    with pytest.raises(NotHounsfieldError, match=r"3 of its 480 voxels are not a number .*air \(-1024\)"):
        read_study(write(tmp_path / name, values))


def test_nan_in_a_big_endian_nifti_file_is_refused(tmp_path, chest_hu):
    values = chest_hu().astype(">f4")
    values[0, 0, 0] = np.nan
    data = bytearray(352) + values.tobytes()
    header = {0: ">i348", 40: ">h3", 42: ">h10", 44: ">h8", 46: ">h6", 70: ">h16", 72: ">h32"}
    for at, value in header.items():
        struct.pack_into(value[:2], data, at, int(value[2:]))
    struct.pack_into(">8f", data, 76, 1, 0.7, 0.7, 2.5, 0, 0, 0, 0)
    struct.pack_into(">3f", data, 108, 352, 1, 0)
    data[344:348] = b"n+1\0"
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(NotHounsfieldError, match="1 of its 480 voxels are not a number"):
        read_study(tmp_path / "a.nii")


@pytest.mark.parametrize("name", FORMATS)
def test_8_bit_values_are_refused(tmp_path, chest_hu, name):
    grey = np.clip(chest_hu() // 16 + 128, 0, 255).astype(np.uint8)
    with pytest.raises(NotHounsfieldError, match=rf"{name}: its values have 8 bits"):
        read_study(write(tmp_path / name, grey))


@pytest.mark.parametrize("name", ["study.nii", "study.nrrd", "study.mha"])
def test_colours_are_refused(tmp_path, name):
    colours = np.zeros((4, 5, 6, 3), dtype=np.int16)
    with pytest.raises(NotHounsfieldError, match="colours or vectors"):
        read_study(write(tmp_path / name, colours, isVector=True))


def scaled(low, high):
    return lambda hu: np.interp(hu, (hu.min(), hu.max()), (low, high))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled(0, 255), "from 0 to 255 with next to no lung or air .* rescale slope and intercept"),
        (scaled(0, 4095), "from 0 to 3071 with next to no lung or air"),
        (scaled(0, 1), "from 0 to 1 with"),
        (scaled(-1, 1), "from -1 to 1 with"),
        (lambda hu: np.clip(hu, -100, 900), "from -100 to 900 with .*not cut to an HU window"),
        (lambda hu: np.full_like(hu, -1000), r"from -1000 to -1000 with next to no tissue"),
        (lambda hu: np.zeros_like(hu), "from 0 to 0 with"),
    ],
)
def test_values_that_cannot_be_hounsfield_units_are_refused(tmp_path, chest_hu, change, message):
    file = write(tmp_path / "a.nii", change(chest_hu()).astype(np.float32))
    with pytest.raises(NotHounsfieldError, match=message):
        read_study(file)


def test_a_chest_cropped_to_the_heart_is_still_a_ct(tmp_path):
    values = np.full((20, 20, 20), 40, dtype=np.int16)
    values[:, :1, :2] = -850  # 40 of 8,000 voxels of lung
    assert read_study(write(tmp_path / "a.nii", values)).slices == 20


@pytest.mark.parametrize("name", ["study.nii", "study.nrrd", "study.mha"])
def test_two_and_four_dimensions_are_refused_but_an_idle_fourth_one_is_not(tmp_path, chest_hu, name):
    hu = chest_hu()
    with pytest.raises(UnreadableStudyError, match=r"it is a 2-D image \(10 x 8\)"):
        read_study(write(tmp_path / name, hu[0]))
    with pytest.raises(UnreadableStudyError, match=r"it has 4 dimensions \(10 x 8 x 6 x 2\).*time point"):
        read_study(write(tmp_path / name, np.stack([hu, hu]), isVector=False))
    np.testing.assert_array_equal(read_study(write(tmp_path / name, hu[np.newaxis], isVector=False)).hu, hu)


def test_two_slices_are_no_volume(tmp_path, chest_hu):
    with pytest.raises(TooFewSlicesError, match=r"a\.nrrd: it has 2 of the at least 3 slices"):
        read_study(write(tmp_path / "a.nrrd", chest_hu((2, 8, 10))))


# Damage. Files are written with noise, so that compression leaves something to cut.


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.999, 0.5, 0.02])
def test_a_file_that_is_cut_short_is_refused(tmp_path, chest_hu, name, share):
    file = write(tmp_path / name, chest_hu((20, 32, 32)))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(UnreadableStudyError, match=rf"{name}: the file is cut short"):
        read_study(file)


def test_damage_inside_a_compressed_nifti_file_is_refused(tmp_path, chest_hu):
    file = write(tmp_path / "a.nii.gz", chest_hu((20, 32, 32)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(UnreadableStudyError, match=r"cut short or damaged \("):
        read_study(file)


def compressed(file, values):
    sitk.WriteImage(sitk.GetImageFromArray(values), str(file), True)
    return file.with_suffix(".zraw") if file.suffix == ".mhd" else file


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
def test_one_changed_byte_in_compressed_voxels_is_refused_wherever_it_is(tmp_path, chest_hu, name):
    hu = chest_hu((20, 32, 32))
    stored = compressed(tmp_path / name, hu)
    np.testing.assert_array_equal(read_study(tmp_path / name).hu, hu)
    whole = stored.read_bytes()
    # From where the voxels are, for the time in the header of a gzip stream may be any.
    for at in [*range(700, len(whole) - 8, len(whole) // 20), *range(len(whole) - 8, len(whole))]:
        stored.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with pytest.raises(UnreadableStudyError, match=r"cut short or damaged \("):
            read_study(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
@pytest.mark.parametrize("lost", [1, 4, 8, 9, 20_000])
def test_compressed_voxels_that_are_cut_short_are_refused(tmp_path, chest_hu, name, lost):
    stored = compressed(tmp_path / name, chest_hu((20, 32, 32)))
    stored.write_bytes(stored.read_bytes()[:-lost])
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        read_study(tmp_path / name)


def test_uncompressed_voxels_beside_their_header_that_are_cut_short_are_refused(tmp_path, chest_hu):
    sitk.WriteImage(sitk.GetImageFromArray(chest_hu()), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").write_bytes((tmp_path / "a.raw").read_bytes()[:-1])
    with pytest.raises(
        UnreadableStudyError, match="cut short: 959 bytes of voxels where its header says 960"
    ):
        read_study(tmp_path / "a.mhd")


@pytest.mark.parametrize("change", [-2, 2, 10_000_000])
def test_compressed_voxels_of_another_length_than_the_header_says_are_refused(tmp_path, chest_hu, change):
    voxels = chest_hu().tobytes()
    voxels = voxels[:change] if change < 0 else voxels + bytes(change)
    packed = zlib.compress(voxels)
    meta = META.format(f"CompressedData = True\nCompressedDataSize = {len(packed)}\n", END)
    (tmp_path / "a.mha").write_bytes(meta.encode() + packed)
    (tmp_path / "a.nrrd").write_bytes(NRRD.replace("raw", "gz").format("").encode() + gzip.compress(voxels))
    for name in ("a.mha", "a.nrrd"):
        with pytest.raises(UnreadableStudyError, match=r"unpack to .* bytes where its header says 960"):
            read_study(tmp_path / name)


def test_voxels_that_cannot_be_checked_are_refused_with_a_way_out(tmp_path, chest_hu):
    hu = chest_hu()
    text, packed = " ".join(str(value) for value in hu.ravel()).encode(), zlib.compress(hu.tobytes())
    files = {
        "text.nrrd": NRRD.replace("raw", "ascii").format("").encode() + text,
        "bzip2.nrrd": NRRD.replace("raw", "bzip2").format("").encode() + bz2.compress(hu.tobytes()),
        "skip.nrrd": NRRD.format("byte skip: -1\n").encode() + hu.tobytes(),
        "text.mha": META.format("BinaryData = False\n", END).encode() + text,
        "nosize.mha": META.format("CompressedData = True\n", END).encode() + packed,
        "twice.mha": META.format("CompressedData = False\nCompressedData = True\n", END).encode() + packed,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableStudyError, match=r"cannot be checked\. Save it as \.nii\.gz"):
            read_study(tmp_path / name)


@pytest.mark.parametrize("name", ["study.nii", "study.nrrd", "study.mha"])
def test_complex_numbers_are_refused(tmp_path, chest_hu, name):
    part = sitk.GetImageFromArray(chest_hu().astype(np.float32))
    sitk.WriteImage(sitk.RealAndImaginaryToComplex(part, part), str(tmp_path / name))
    with pytest.raises((NotHounsfieldError, UnreadableStudyError)):
        read_study(tmp_path / name)


@pytest.mark.parametrize("name", FORMATS)
def test_something_else_under_the_name_of_a_study_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"%PDF-1.7 " * 200)
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        read_study(tmp_path / name)


def test_nothing_stays_in_the_temporary_folder(tmp_path, chest_hu, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    file = write(tmp_path / "a.nii.gz", chest_hu())
    read_study(file)
    file.write_bytes(gzip.compress(b"no study"))
    with pytest.raises(UnreadableStudyError):
        read_study(file)
    assert list((tmp_path / "tmp").iterdir()) == []


# Geometry.


def with_sform(file, rows, codes=(0, 1)):
    data = bytearray(file.read_bytes())
    struct.pack_into("<2h", data, 252, *codes)  # qform_code, sform_code
    for index, row in enumerate(rows):
        struct.pack_into("<4f", data, 280 + 16 * index, *row)
    file.write_bytes(data)
    return file


def test_a_sheared_nifti_file_is_refused_and_a_rounded_one_is_not(tmp_path, chest_hu):
    file = write(tmp_path / "a.nii", chest_hu())
    straight = [(-0.7, 1e-5, 0, 10), (1e-5, -0.7, 0, 20), (0, 0, 2.5, -30)]
    volume = read_study(with_sform(file, straight))
    assert volume.slice_z_mm[0] == pytest.approx(-30, abs=1e-3)
    with pytest.raises(GeometryError, match=r"not at right angles \(a gantry tilt.*dcm2niix"):
        read_study(with_sform(file, [(-0.7, 0, 0, 10), (0, -0.7, 0.6, 20), (0, 0, 2.5, -30)]))


def test_a_sheared_nrrd_file_is_refused(tmp_path, chest_hu):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 8 6\n"
        "space directions: (0.7,0,0) (0,0.7,0.2) (0,0,2.5)\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + chest_hu().tobytes())
    with pytest.raises(GeometryError, match="not at right angles"):
        read_study(tmp_path / "a.nrrd")


def test_a_file_that_does_not_say_how_the_patient_lies_is_read_with_a_note(tmp_path, chest_hu):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 10 8 6\nspacings: 0.7 0.7 2.5\n"
        "endian: little\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + chest_hu().tobytes())
    for file in (tmp_path / "a.nrrd", with_sform(write(tmp_path / "a.nii", chest_hu()), [], codes=(0, 0))):
        volume = read_study(file)
        assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7))
        assert "does not say how the patient lies" in volume.provenance.warnings[0]
    assert read_study(write(tmp_path / "b.nii", chest_hu())).provenance.warnings == ()


# Headers that ask for what they must not have.


def test_a_header_may_not_point_to_another_file(tmp_path, chest_hu):
    (tmp_path / "secret").write_bytes(chest_hu().tobytes())
    (tmp_path / "a.nrrd").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 10 8 6\nendian: little\nencoding: raw\n"
        f"data file: {tmp_path / 'secret'}\n"
    )
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 10 8 6\nElementType = MET_SHORT\nElementDataFile = "
    (tmp_path / "a.mha").write_text(meta + f"{tmp_path / 'secret'}\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.mhd").write_text(meta + "../secret\n")
    for name in ("a.nrrd", "a.mha", "deep/a.mhd"):
        with pytest.raises(UnreadableStudyError, match=r"its voxels lie in another file.*one file"):
            read_study(tmp_path / name)


META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 10 8 6\nElementSpacing = 1 1 2\n{}ElementType = MET_SHORT\n{}"
)
END = "ElementDataFile = LOCAL\n"
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 10 8 6\nendian: little\nencoding: raw\n{}\n"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("case.mha", META.format("elementdatafile = LOCAL\n", "ElementDataFile = {}\n")),
        ("twice.mha", META.format("Comment = ElementDataFile = LOCAL\n", "ElementDataFile = {}\n")),
        ("empty.mha", META.format("Comment = \nElementDataFile = LOCAL\n" + "Foo = x\n" * 9000,
                                  "ElementDataFile = {}\n")),
        ("bare.mha", META.format("Foo\nElementDataFile = LOCAL\n" + "Foo = x\n" * 9000,
                                 "ElementDataFile = {}\n")),
        ("long.mha", META.format("Comment = " + "x" * 70_000 + "\n", "ElementDataFile = {}\n")),
        ("lines.mha", META.format("".join(f"Foo{i} = {'x' * 200}\n" for i in range(400)),
                                  "ElementDataFile = {}\n")),
        ("indented.mha", META.format("", "  ElementDataFile = {}\n")),
        ("colon.mha", META.format("", "ElementDataFile : {}\n")),
        ("case.nrrd", NRRD.format("Data File: {}\n")),
        ("comment.nrrd", NRRD.format("# " + "x" * 70_000 + "\ndata file: {}\n")),
        ("comments.nrrd", NRRD.format(("# " + "x" * 200 + "\n") * 400 + "data file: {}\n")),
        ("return.nrrd", NRRD.format("# x\rdata file: {}\n")),
        ("returns.nrrd", NRRD.format("# x\r\rdata file: {}\n")),
    ],
)  # fmt: skip
def test_no_way_of_writing_a_pointer_reads_another_file(tmp_path, chest_hu, name, header):
    (tmp_path / "secret.raw").write_bytes(chest_hu().tobytes())
    (tmp_path / name).write_bytes(header.replace("{}", str(tmp_path / "secret.raw")).encode())
    with pytest.raises(UnreadableStudyError, match=r"its voxels lie in another file|does not say plainly"):
        read_study(tmp_path / name)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_headers_with_comments_and_either_line_end_are_read(tmp_path, chest_hu, end):
    hu = chest_hu()
    meta = META.format("Comment = any words: of a scanner\n", "ElementDataFile = LOCAL\n").replace("\n", end)
    nrrd = NRRD.format("# the data file is this one\nmy key:=value\n").replace("\n", end)
    for name, header in (("a.mha", meta), ("a.nrrd", nrrd)):
        (tmp_path / name).write_bytes(header.encode() + hu.tobytes())
        np.testing.assert_array_equal(read_study(tmp_path / name).hu, hu)


def test_an_mhd_file_names_the_voxels_beside_it(tmp_path, chest_hu):
    hu = chest_hu()
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / "a.mhd"))
    np.testing.assert_array_equal(read_study(tmp_path / "a.mhd").hu, hu)


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
def test_a_file_is_read_as_what_its_name_says_only(tmp_path, chest_hu, name):
    sitk.WriteImage(sitk.GetImageFromArray(chest_hu()), str(tmp_path / "a.hdf5"))
    (tmp_path / "a.hdf5").rename(tmp_path / name)
    with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
        read_study(tmp_path / name)


def test_a_header_may_not_ask_for_more_voxels_than_any_ct_has(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nendian: little\nencoding: raw\n\n12"
    )
    with pytest.raises(UnreadableStudyError, match="asks for 30000 x 30000 x 30000 voxels"):
        read_study(tmp_path / "a.nrrd")


def test_a_name_that_the_system_cannot_hold_is_refused_like_any_other() -> None:
    with pytest.raises(UnreadableStudyError, match=r"cannot be read: "):
        read_study(Path("a" * 300 + ".nii"), name="long")


@pytest.mark.parametrize(
    ("text", "pixels_mm"),
    [
        ("0.703125 0.7", (0.703125, 0.7)), ("0.7", None), ("0.7 0.7 0.7", None), ("a b", None), ("0 1", None),
        ("nan 1", None), ("1 nan", None), ("1 inf", None), ("-1 1", None), ("1e9 1", None),
    ],
)  # fmt: skip
def test_a_file_of_reduced_slices_says_what_its_pixels_were_or_nothing(tmp_path, chest_hu, text, pixels_mm):
    image = sitk.GetImageFromArray(chest_hu())
    image.SetMetaData("VPTCT_pixels_mm", text)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert b"VPTCT_pixels_mm:=" in (tmp_path / "a.nrrd").read_bytes()[:2000]
    assert read_study(tmp_path / "a.nrrd").provenance.reduced_from_mm == pixels_mm
