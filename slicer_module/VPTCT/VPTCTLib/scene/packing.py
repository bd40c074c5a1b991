"""Packing: a study as few bytes as its values allow, 12 bits for every voxel, in one of two forms.

``twelve_bits`` is quick to make and to read. ``differences`` between neighbours take half of that, for noise
is narrower than the range of HU, but some time on both sides: it pays where the link is slow.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

TWELVE_BITS, DIFFERENCES = "twelve_bits", "differences"
# What the server keeps of any CT before it does anything else: 12 bits.
LOWEST_HU, HIGHEST_HU = -1024, 3071
_MAGIC = b"VPTCT packed study 1\n"


def header(form: str, shape: tuple[int, int, int], place: dict[str, Any]) -> bytes:
    """What stands before the slices.

    Args:
        form: of the voxels.
        shape: slices, rows, columns.
        place: where they lie, by the names that the server knows.
    """
    return _MAGIC + json.dumps({"shape": list(shape), "form": form, **place}).encode("ascii") + b"\n"


def size_of(header_bytes: bytes, shape: tuple[int, int, int]) -> int:
    """How many bytes a study has in the form ``twelve_bits``."""
    slices, rows, columns = shape
    return len(header_bytes) + slices * (rows * columns + (rows * columns + 1) // 2) + 4


def packed(slices: Iterator[bytes]) -> Iterator[bytes]:
    """What follows the header: the packed slices, and their checksum."""
    checksum = 1
    for each in slices:
        checksum = zlib.adler32(each, checksum)
        yield each
    yield checksum.to_bytes(4, "little")


def twelve_bits(hu: NDArray[np.int16]) -> bytes:
    """One slice (rows, columns) within ``LOWEST_HU`` and ``HIGHEST_HU``."""
    return _planes((hu - LOWEST_HU).ravel())


def differences(hu: NDArray[np.int16]) -> bytes:
    """The same: each voxel less its left neighbour, the first of a row less the one above; noise around 0."""
    values = hu - LOWEST_HU
    steps = values.copy()
    steps[:, 1:] -= values[:, :-1]
    steps[1:, 0] -= values[:-1, 0]
    # Modulo 4096 with a sign: from -2048 to 2047.
    steps = (steps << 4) >> 4
    # Folded, so that the high bits of small steps are 0: 0, -1, 1, -2 become 0, 1, 2, 3.
    folded = (steps << 1) ^ (steps >> 15)
    # Of differences nothing repeats but runs, so nothing else is looked for: three times as fast.
    stream = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    stored = stream.compress(_planes(folded.ravel())) + stream.flush()
    return len(stored).to_bytes(4, "little") + stored


def _planes(values: NDArray[np.int16]) -> bytes:
    """The low bytes, then the high four bits: those of the first half beside those of the second."""
    high = (values >> 8).astype(np.uint8)
    half = (high.size + 1) // 2
    pairs = high[:half].copy()
    beside = pairs[: high.size - half]
    np.bitwise_or(beside, np.left_shift(high[half:], 4), out=beside)
    return values.astype(np.uint8).tobytes() + pairs.tobytes()
