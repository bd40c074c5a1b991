"""A file that is replaced after its header was read gives its own slice again, or an error in words."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vpt_plugin.ct.decoding import decode_slice
from vpt_plugin.ct.dicom import find_in_folder, read_found
from vpt_plugin.ct.dicom_headers import read_header
from vpt_plugin.ct.slice_pixels import SliceReader
from vpt_plugin.errors import UnreadableStudyError

EXPLICIT, BIG_ENDIAN, JPEG_LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.80"


def put_in_place(file, data):
    """As programs that copy safely do it: a new file, under the old name when it is complete."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.replace(file)


def write_over(file, data):
    """In place, a second later."""
    stat = file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


@pytest.mark.parametrize("replace", [put_in_place, write_over])
@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_LS, BIG_ENDIAN])
def test_another_slice_in_the_place_of_one_is_refused(tmp_path, chest_hu, write_series, syntax, replace):
    files = write_series(tmp_path, chest_hu((4, 8, 8)), syntax=syntax)
    found = find_in_folder(tmp_path, "lung")
    replace(files[1], files[2].read_bytes())
    with pytest.raises(UnreadableStudyError, match=r"lung: 001\.dcm changed while the study was read"):
        read_found(found)


def test_a_file_of_the_same_length_and_time_is_known_by_its_number(tmp_path, chest_hu, write_series):
    first, second = write_series(tmp_path, chest_hu((2, 8, 8)), spacing_mm=(1.0, 0.7, 0.7))
    header, stat, other = read_header(first), first.stat(), second.read_bytes()
    assert len(other) == stat.st_size
    put_in_place(first, other)
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(UnreadableStudyError, match="changed while"):
        SliceReader(8, 8, "s").read(header)


@pytest.mark.parametrize("now", [b"", b"no longer DICOM", None])
def test_a_file_that_is_no_slice_any_more_or_is_gone_is_refused(tmp_path, chest_hu, write_series, now):
    (file,) = write_series(tmp_path, chest_hu((1, 8, 8)))
    header = read_header(file)
    if now is None:
        file.unlink()
    else:
        write_over(file, now)
    with pytest.raises(UnreadableStudyError, match="cannot be read" if now is None else "changed while"):
        SliceReader(8, 8, "s").read(header)


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_LS])
def test_the_same_slice_stored_anew_in_whatever_way_is_read(tmp_path, chest_hu, write_series, syntax):
    hu = chest_hu((1, 8, 8))
    (file,) = write_series(tmp_path / "old", hu)
    (again,) = write_series(tmp_path / "new", hu, syntax=syntax)
    header = read_header(file)
    write_over(file, again.read_bytes())
    np.testing.assert_array_equal(SliceReader(8, 8, "s").read(header), hu[0])
    np.testing.assert_array_equal(decode_slice(file, 8, 8, "s"), hu[0])
