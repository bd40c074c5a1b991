"""What the module packs the server reads as exactly that; what only looks like it is refused."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vpt_plugin.ct.packed import read_packed
from vpt_plugin.ct.reader import is_study_file, read_study
from vpt_plugin.errors import GeometryError, NotHounsfieldError, UnreadableStudyError
from VPTCTLib.scene.packing import DIFFERENCES, TWELVE_BITS, differences, header, packed, size_of, twelve_bits

PLACE: dict[str, Any] = {
    "spacing_mm": [2.5, 0.8, 0.7],
    "directions": [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    "origin_mm": [-1.5, 2.0, 30.25],
    "pixels_mm": None,
}
PACK = {TWELVE_BITS: twelve_bits, DIFFERENCES: differences}
FORMS = list(PACK)


def bytes_of(hu: np.ndarray, form: str, **changed: Any) -> bytes:
    return header(form, hu.shape, {**PLACE, **changed}) + b"".join(packed(map(PACK[form], hu)))


def read_back(content: bytes, folder: Path) -> Any:
    (folder / "study.vptct").write_bytes(content)
    return read_packed(folder / "study.vptct", "study")


def chest(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 400, (4, 6, 5), dtype=np.int16)


def test_three_voxels_take_three_low_bytes_and_two_bytes_of_high_bits() -> None:
    # 0, 4095 and 1024: 0x000, 0xFFF, 0x400; the first two are the first half.
    assert twelve_bits(np.array([[-1024, 3071, 0]], np.int16)) == bytes([0x00, 0xFF, 0x00, 0x40, 0x0F])


def test_differences_are_from_the_left_and_from_above_and_folded() -> None:
    # 2, 1, 4 and below them 5, 5, 3: +2, -1, +3 and +3, 0, -2.
    hu = np.array([[2, 1, 4], [5, 5, 3]], np.int16) - 1024
    stored = differences(hu)
    assert struct.unpack("<I", stored[:4]) == (len(stored) - 4,)
    assert zlib.decompress(stored[4:]) == bytes([4, 1, 6, 6, 0, 3, 0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(3, 6), st.integers(1, 9), st.integers(1, 9)),
    spread=st.sampled_from([(-1024, 3071), (-1024, -1020), (3000, 3071), (-900, 300)]),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 99),
)
def test_any_study_comes_back_voxel_by_voxel(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int, int], spread: tuple[int, int], form: str,
    seed: int,
) -> None:  # fmt: skip
    hu = np.random.default_rng(seed).integers(*spread, shape, endpoint=True, dtype=np.int16)
    content = bytes_of(hu, form)
    volume = read_back(content, tmp_path_factory.getbasetemp())
    assert volume.hu.dtype == np.int16
    assert (volume.hu == hu).all()
    if form == TWELVE_BITS:
        assert len(content) == size_of(header(form, hu.shape, PLACE), hu.shape)


def test_many_slices_are_unpacked_in_their_order(tmp_path: Path) -> None:
    hu = np.repeat(np.arange(-1000, -950, dtype=np.int16), 6).reshape(50, 2, 3)
    for form in FORMS:
        assert (read_back(bytes_of(hu, form), tmp_path).hu == hu).all()


def test_a_packed_study_lies_where_its_header_says(tmp_path: Path) -> None:
    volume = read_back(bytes_of(chest(), TWELVE_BITS, pixels_mm=[0.4, 0.35]), tmp_path)
    assert (volume.spacing_mm, volume.origin_mm) == ((2.5, 0.8, 0.7), (-1.5, 2.0, 30.25))
    assert volume.direction.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert (volume.provenance.kind, volume.provenance.reduced_from_mm) == ("packed", (0.4, 0.35))
    # The second column of directions is that of rows: those of a study on its side.
    turned = read_back(
        bytes_of(chest(), TWELVE_BITS, directions=[[0, 1, 0], [0, 0, -1], [1, 0, 0]]), tmp_path
    )
    assert turned.direction[:, 1].tolist() == [0, 0, -1]


@pytest.mark.parametrize("form", FORMS)
def test_whatever_is_cut_off_added_or_changed_is_noticed(tmp_path: Path, form: str) -> None:
    content = bytes_of(chest(), form)
    begin = content.index(b"}\n") + 2
    for end in (0, 5, 30, begin - 1, begin, begin + 3, len(content) - 5, len(content) - 1):
        with pytest.raises(UnreadableStudyError, match="cut short or damaged"):
            read_back(content[:end], tmp_path)
    with pytest.raises(UnreadableStudyError):
        read_back(content + b"\0", tmp_path)
    for place in range(begin, len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x10
        with pytest.raises(UnreadableStudyError):
            read_back(bytes(changed), tmp_path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"shape": [4, 6]}, "three whole numbers"),
        ({"shape": [4, 6, -5]}, "three whole numbers"),
        ({"shape": [4, 6, 5.0]}, "three whole numbers"),
        ({"shape": [4, 6, True]}, "three whole numbers"),
        ({"shape": [40_000, 40_000, 40_000]}, "asks for 40000 x 40000 x 40000"),
        ({"form": "eight_bits"}, "one of twelve_bits, differences"),
        ({"form": ["twelve_bits"]}, "one of twelve_bits, differences"),
        ({"spacing_mm": [1, 1]}, "3 numbers"),
        ({"spacing_mm": [1, 1, "1"]}, "no numbers"),
        ({"origin_mm": [0, 0, float("nan")]}, "no numbers"),
        ({"origin_mm": [0, 0, 10**400]}, "cannot be read"),
        ({"directions": [[1, 0, 0]]}, "slices, rows and columns"),
        ({"pixels_mm": [0, 1]}, "what pixels were"),
        ({"file": "/etc/passwd"}, "and no others"),
    ],
)
def test_a_header_that_cannot_be_is_refused_in_words(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    content = bytes_of(chest(), TWELVE_BITS)
    first, line, voxels = content.split(b"\n", 2)
    fields = {**json.loads(line), **changed}
    with pytest.raises(UnreadableStudyError, match=says):
        read_back(b"\n".join([first, json.dumps(fields).encode(), voxels]), tmp_path)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"[" * 4000, b"{}" + b" " * 5000, b'{"shape": [1, 1, 1], "shape": [2, 2, 2]}']
)
def test_what_is_no_header_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(UnreadableStudyError, match="header"):
        read_back(b"VPTCT packed study 1\n" + line + b"\n", tmp_path)


def test_a_slice_that_unpacks_to_more_than_its_voxels_fills_no_memory(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(50_000_000))
    content = header(DIFFERENCES, (3, 200, 200), PLACE) + 3 * (struct.pack("<I", len(bomb)) + bomb) + bytes(4)
    with pytest.raises(UnreadableStudyError, match="does not unpack to the 60000 bytes"):
        read_back(content, tmp_path)
    long = header(DIFFERENCES, (3, 2, 2), PLACE) + struct.pack("<I", 2**31) + bytes(100)
    with pytest.raises(UnreadableStudyError, match="longer than any can be"):
        read_back(long, tmp_path)


def test_a_packed_study_is_checked_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "study.vptct"
    path.write_bytes(bytes_of(chest(), TWELVE_BITS))
    assert (read_study(path).hu == chest()).all()
    path.write_bytes(bytes_of(np.full((4, 6, 5), 40, np.int16), TWELVE_BITS))
    with pytest.raises(NotHounsfieldError):
        read_study(path)
    path.write_bytes(bytes_of(chest(), TWELVE_BITS, directions=[[0, 0, 1], [0, 1, 0], [0, 1, 0]]))
    with pytest.raises(GeometryError):
        read_study(path)
    path.write_bytes(bytes_of(chest(), TWELVE_BITS, spacing_mm=[0, 1, 1]))
    with pytest.raises(GeometryError, match="voxel spacing"):
        read_study(path)


def test_a_packed_study_is_only_ever_an_upload() -> None:
    # A folder of studies lists none, and none is added to it: what is kept is whole.
    assert not is_study_file(Path("study.vptct"))
