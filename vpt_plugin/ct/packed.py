"""A study as a client packs it for an upload: 12 bits for every voxel, as they are or as differences.

::

    VPTCT packed study 1
    {"shape": [300, 256, 256], "form": "twelve_bits", "spacing_mm": [1.0, 1.4, 1.4], ...}
    the slices, from the first to the last
    Adler-32 of all bytes of the slices, 4 bytes, lowest first

Every voxel is HU + 1024, 0 to 4095, row after row. A slice has the low bytes of all its voxels, then their
high four bits, two in a byte: those of the first half of the voxels in its low four bits, those of the second
half, which is one shorter where their number is odd, in its high ones.

``differences`` has in the place of each voxel how much more it is than its left neighbour, the first of a row
than the one above, the first of a slice than 0; modulo 4096, and folded: 0, -1, 1, -2 are 0, 1, 2, 3. The
bytes of a slice are a zlib stream after its length, 4 bytes, lowest first. Noise so takes half the bytes.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.archive import MAX_RATIO, RATIO_MATTERS_BYTES
from vpt_plugin.ct.stacking import MIN_SLICES
from vpt_plugin.ct.volume import MAX_VOXELS, MIN_HU, Provenance, Volume
from vpt_plugin.errors import GeometryError, StudyTooLargeError, TooFewSlicesError, UnreadableStudyError

SUFFIX = ".vptct"
TWELVE_BITS, DIFFERENCES = "twelve_bits", "differences"
FORMS = (TWELVE_BITS, DIFFERENCES)
MAGIC = b"VPTCT packed study 1\n"
_MAX_HEADER_BYTES = 1 << 12
_KEYS = frozenset({"shape", "form", "spacing_mm", "directions", "origin_mm", "pixels_mm"})
_LENGTH_BYTES = _CHECKSUM_BYTES = 4
# zlib and NumPy let other threads run; more of them would wait for the memory.
_THREADS = min(4, os.cpu_count() or 1)
_SLICES_AT_ONCE = 16
_LARGEST_MM = 100
# Scanners make slices of up to 2048 x 2048. A slice is unpacked in one piece: it has a bound of its own.
_MAX_SIDE = 4096


@dataclass(frozen=True)
class _Header:
    """What stands before the voxels; see ``Volume`` and ``Provenance`` for what each is."""

    shape: tuple[int, int, int]
    form: str
    spacing_mm: tuple[float, float, float]
    directions: NDArray[np.float64]
    origin_mm: tuple[float, float, float]
    pixels_mm: tuple[float, float] | None


def read_packed(path: Path, study: str) -> Volume:
    """The volume as packed: array axes (slices, rows, columns) of the file, whatever way they point.

    Raises:
        StudyError: the file is cut short or damaged, or no such file; its header asks for what no CT is.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = _read_header(file, study)
        _require_length(file, header, study)
        hu = np.empty(header.shape, dtype=np.int16)
        checksum = 1
        with ThreadPoolExecutor(_THREADS) as threads:
            for begin in range(0, len(hu), _SLICES_AT_ONCE):
                targets = hu[begin : begin + _SLICES_AT_ONCE]
                stored = [_next_slice(file, header, study) for _ in targets]
                for each in stored:
                    checksum = zlib.adler32(each, checksum)
                # Taken one by one, so that an error comes out.
                for _ in threads.map(partial(_unpack, header, study), stored, targets):
                    pass
        if file.read(_CHECKSUM_BYTES + 1) != checksum.to_bytes(_CHECKSUM_BYTES, "little"):
            raise _damaged(study, "its checksum is that of other bytes")
    return Volume(
        hu=hu,
        spacing_mm=header.spacing_mm,
        origin_mm=header.origin_mm,
        direction=header.directions.T.copy(),
        study=study,
        provenance=Provenance(kind="packed", reduced_from_mm=header.pixels_mm),
    )


def _plane_bytes(header: _Header) -> int:
    """How many bytes the planes of a slice have."""
    voxels = math.prod(header.shape[1:])
    return voxels + (voxels + 1) // 2


def _next_slice(file: BinaryIO, header: _Header, study: str) -> bytes:
    """The stored bytes of a slice, its length included."""
    size = _plane_bytes(header)
    if header.form == TWELVE_BITS:
        return _read(file, size, study)
    length = _read(file, _LENGTH_BYTES, study)
    # zlib makes nothing longer than this, so no length makes us read more of a file than it needs.
    if int.from_bytes(length, "little") > 2 * size + 64:
        raise _damaged(study, "a slice is longer than any can be")
    return length + _read(file, int.from_bytes(length, "little"), study)


def _unpack(header: _Header, study: str, stored: bytes, hu: NDArray[np.int16]) -> None:
    """The HU of a slice, (rows, columns), from its stored bytes."""
    if header.form == TWELVE_BITS:
        _from_planes(stored, hu.reshape(-1))
    else:
        _from_planes(_inflated(stored[_LENGTH_BYTES:], _plane_bytes(header), study), hu.reshape(-1))
        _add_up(hu)
    hu += MIN_HU


def _inflated(stored: bytes, size: int, study: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        planes = stream.decompress(stored, size + 1)
    except zlib.error as error:
        raise _damaged(study, str(error)) from error
    if len(planes) != size or not stream.eof or stream.unused_data:
        raise _damaged(study, f"a slice does not unpack to the {size} bytes that its header says")
    return planes


def _from_planes(planes: bytes, out: NDArray[np.int16]) -> None:
    """The two planes of a slice as 0 to 4095."""
    first = (len(out) + 1) // 2
    low = np.frombuffer(planes, np.uint8, len(out))
    high = np.frombuffer(planes, np.uint8, first, len(out)).astype(np.int16)
    np.left_shift(high & 15, 8, out=out[:first])
    np.left_shift(high[: len(out) - first] >> 4, 8, out=out[first:])
    out |= low


def _add_up(folded: NDArray[np.int16]) -> None:
    """Folded differences (rows, columns) to the values that they are of, in place."""
    steps = (folded >> 1) ^ -(folded & 1)
    np.cumsum(steps[:, 0], out=steps[:, 0], dtype=np.int16)
    np.cumsum(steps, axis=1, out=folded, dtype=np.int16)
    # 65536, at which the sums begin anew, is 16 times 4096.
    folded &= 4095


def _read_header(file: BinaryIO, study: str) -> _Header:
    if file.read(len(MAGIC)) != MAGIC:
        raise _damaged(study, "it does not begin as a packed study does")
    line = file.readline(_MAX_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise _damaged(study, "its header has no end")
    try:
        fields = json.loads(line, object_pairs_hook=_once)
        header = _header(fields)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _damaged(study, f"its header cannot be read: {error}") from error
    _refuse_size(header.shape, study)
    if not all(0 < mm < _LARGEST_MM for mm in header.spacing_mm):
        raise GeometryError(study, f"its voxel spacing is {header.spacing_mm} mm.", "Export it again.")
    return header


def _refuse_size(shape: tuple[int, int, int], study: str) -> None:
    """Before memory is asked for: a header of a few bytes may claim any size."""
    if math.prod(shape) > MAX_VOXELS or max(shape[1:]) > _MAX_SIDE:
        text = " x ".join(map(str, shape))
        raise UnreadableStudyError(study, f"its header asks for {text} voxels.", "No CT is that large.")
    if shape[0] < MIN_SLICES:
        raise TooFewSlicesError(
            study,
            f"it has {shape[0]} of the at least {MIN_SLICES} slices of a volume.",
            "Give the whole study.",
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field stands there twice")
    return dict(pairs)


def _header(fields: Any) -> _Header:
    if not isinstance(fields, dict) or fields.keys() != _KEYS:
        raise ValueError(f"it must have the fields {', '.join(sorted(_KEYS))}, and no others")
    if fields["form"] not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}")
    shape = fields["shape"]
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError("shape must be three whole numbers above 0")
    pixels_mm = fields["pixels_mm"]
    if pixels_mm is not None and not all(0 < mm < _LARGEST_MM for mm in _numbers(pixels_mm, 2)):
        raise ValueError("pixels_mm must be null, or what pixels were")
    if not (isinstance(fields["directions"], list) and len(fields["directions"]) == 3):
        raise ValueError("directions must be those of slices, rows and columns")
    slices_mm, rows_mm, columns_mm = _numbers(fields["spacing_mm"], 3)
    x_mm, y_mm, z_mm = _numbers(fields["origin_mm"], 3)
    return _Header(
        shape=(shape[0], shape[1], shape[2]),
        form=fields["form"],
        spacing_mm=(slices_mm, rows_mm, columns_mm),
        directions=np.array([_numbers(each, 3) for each in fields["directions"]]),
        origin_mm=(x_mm, y_mm, z_mm),
        pixels_mm=None if pixels_mm is None else (float(pixels_mm[0]), float(pixels_mm[1])),
    )


def _numbers(values: Any, count: int) -> list[float]:
    """So many finite numbers."""
    if not (isinstance(values, list) and len(values) == count):
        raise ValueError(f"{count} numbers must stand where {values!r:.40} stands")
    if not all(type(each) in (int, float) and math.isfinite(each) for each in values):
        raise ValueError(f"{values!r:.40} are no numbers")
    return [float(each) for each in values]


def _require_length(file: BinaryIO, header: _Header, study: str) -> None:
    """Refuse voxels of another length than the header says, or differences too short to be of a CT."""
    found_bytes = os.fstat(file.fileno()).st_size - file.tell()
    planes_bytes = header.shape[0] * _plane_bytes(header)
    if header.form == TWELVE_BITS and found_bytes != planes_bytes + _CHECKSUM_BYTES:
        expected = planes_bytes + _CHECKSUM_BYTES
        raise _damaged(study, f"{found_bytes} bytes after its header, which says {expected}")
    if planes_bytes > max(RATIO_MATTERS_BYTES, MAX_RATIO * found_bytes):
        raise StudyTooLargeError(
            study,
            f"the file unpacks to more than {MAX_RATIO} times its size.",
            "No CT shrinks to so little: upload the study again.",
        )


def _read(file: BinaryIO, size: int, study: str) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise _damaged(study, "it ends before its last slice")
    return found


def _damaged(study: str, what: str) -> UnreadableStudyError:
    return UnreadableStudyError(
        study, f"the file is cut short or damaged, or no packed study ({what}).", "Upload it again."
    )
