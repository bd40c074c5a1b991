"""A header of a few bytes may claim any size: memory is asked for only after a look at what there is."""

from __future__ import annotations

import json
import tracemalloc
import zlib

import pytest

from vpt_plugin.ct.dicom_headers import read_header
from vpt_plugin.ct.packed import MAGIC, read_packed
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.reduced import read_reduced
from vpt_plugin.ct.slice_pixels import SliceReader
from vpt_plugin.errors import StudyTooLargeError, TooFewSlicesError, UnreadableStudyError

EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"


def claim(files, side):
    """Rows and columns of 16 become others, in the files as they are written."""
    for file in files:
        data = file.read_bytes()
        for element in (b"\x28\0\x10\0US\2\0", b"\x28\0\x11\0US\2\0"):
            before, after = (element + number.to_bytes(2, "little") for number in (16, side))
            assert data.count(before) == 1
            data = data.replace(before, after)
        file.write_bytes(data)


@pytest.mark.parametrize("syntax", [EXPLICIT, RLE])
def test_a_slice_that_claims_more_than_its_file_holds_takes_no_memory(
    tmp_path, chest_hu, write_series, syntax
):
    (file,) = write_series(tmp_path, chest_hu((1, 16, 16)), syntax=syntax)
    claim([file], 20_000)
    header = read_header(file)
    assert (header.rows, header.columns) == (20_000, 20_000)
    assert header.pixels is not None
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableStudyError, match="is cut short"):
            SliceReader(20_000, 20_000, "s").read(header)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 << 20


@pytest.mark.parametrize("read", [read_study, lambda path: read_reduced(path, pixels=8)])
def test_a_series_that_claims_more_voxels_than_any_ct_has_is_refused_by_its_headers(
    tmp_path, chest_hu, write_series, read
):
    # 6 x 20,000 x 20,000 are 2.4e9 voxels; 2^31 are 2.1e9.
    claim(write_series(tmp_path, chest_hu((6, 16, 16))), 20_000)
    with pytest.raises(StudyTooLargeError, match="6 slices of 20000 x 20000 pixels, more than 2,147,483,648"):
        read(tmp_path)


def packed_claim(shape, slices, form="differences"):
    """A packed study that claims a shape and holds these bytes of slices."""
    fields = {
        "shape": shape, "form": form, "spacing_mm": [1, 1, 1], "origin_mm": [0, 0, 0], "pixels_mm": None,
        "directions": [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    }  # fmt: skip
    return MAGIC + json.dumps(fields).encode() + b"\n" + slices


def nothing_but_zeros(size):
    """So many bytes as zlib has them after their length: a thousandth of them."""
    stored = zlib.compress(bytes(size))
    return len(stored).to_bytes(4, "little") + stored


@pytest.mark.parametrize(
    ("shape", "error", "says"),
    [
        ([1, 8192, 8192], UnreadableStudyError, "asks for 1 x 8192 x 8192 voxels"),
        ([3, 4097, 16], UnreadableStudyError, "asks for 3 x 4097 x 16 voxels"),
        ([3, 16, 4097], UnreadableStudyError, "asks for 3 x 16 x 4097 voxels"),
        ([40_000, 512, 512], UnreadableStudyError, "asks for 40000 x 512 x 512 voxels"),
        ([2, 4096, 4096], TooFewSlicesError, "it has 2 of the at least 3 slices"),
        ([3, 4096, 4096], StudyTooLargeError, "unpacks to more than 200 times its size"),
    ],
)
def test_a_packed_study_that_claims_what_no_ct_is_takes_no_memory(tmp_path, shape, error, says):
    path = tmp_path / "study.vptct"
    slices = nothing_but_zeros(shape[1] * shape[2] * 3 // 2) if shape[0] < 4 else b""
    path.write_bytes(packed_claim(shape, slices * shape[0]))
    tracemalloc.start()
    try:
        with pytest.raises(error, match=says):
            read_packed(path, "s")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 << 20
