"""The pixels of one DICOM slice in Hounsfield units, by pydicom, whatever the file is like.

The JPEG family is decoded by imagecodecs (BSD-3), which takes every transfer syntax a CT may have, faster
than the plug-ins of pydicom and without their GPL part. ``slice_pixels`` reads ordinary files faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_pixel_data_frame

from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.errors import UnreadableStudyError

# int16 or uint16.
Stored = NDArray[Any]

_RLE = "1.2.840.10008.1.2.5"
# Two bytes of a run-length code stand for at most 128. pydicom asks for memory before it looks at them.
_RLE_MOST = 64
_UNCOMPRESSED = (
    "",  # files from before transfer syntaxes were written down
    "1.2.840.10008.1.2",  # implicit VR little endian
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2.2",  # explicit VR big endian
    "1.2.840.10008.1.2.1.99",  # deflated: pydicom inflates the whole data set while reading it
)
DECODERS: MappingProxyType[str, Callable[[bytes], NDArray[Any]]] = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.51": imagecodecs.jpeg8_decode,  # JPEG extended, 12-bit
        "1.2.840.10008.1.2.4.57": imagecodecs.jpeg8_decode,  # JPEG lossless
        "1.2.840.10008.1.2.4.70": imagecodecs.jpeg8_decode,  # JPEG lossless, first-order prediction
        "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,  # JPEG-LS lossless
        "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,  # JPEG-LS near-lossless
        "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,  # JPEG 2000 lossless
        "1.2.840.10008.1.2.4.91": imagecodecs.jpeg2k_decode,  # JPEG 2000
        "1.2.840.10008.1.2.4.201": imagecodecs.jpeg2k_decode,  # High-throughput JPEG 2000 lossless
        "1.2.840.10008.1.2.4.202": imagecodecs.jpeg2k_decode,  # the same with RPCL options
        "1.2.840.10008.1.2.4.203": imagecodecs.jpeg2k_decode,  # High-throughput JPEG 2000
    }
)
_EXPORT_AGAIN = "Copy or export the series again."


def decode_slice(path: Path, rows: int, columns: int, study: str) -> NDArray[np.int16]:
    """The Hounsfield units of one slice, clamped to what a ``Volume`` holds.

    Returns:
        (rows, columns) int16.

    Raises:
        UnreadableStudyError: no pixel data, fewer than the header says, or a damaged or unknown compression.
    """
    try:
        dataset = pydicom.dcmread(path, force=True)
        stored = _stored_values(dataset, rows, columns)
        # The standard wants both in a CT. Without them, values that are no HU are found in the whole volume.
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        return to_hounsfield(
            stored,
            slope=1.0 if slope is None else float(slope),
            intercept=0.0 if intercept is None else float(intercept),
            padding=dataset.get("PixelPaddingValue"),
        )
    except OSError as error:
        raise UnreadableStudyError(study, f"{path.name} cannot be read: {error}.") from error
    except _UndecodableError as problem:
        raise UnreadableStudyError(study, f"{path.name} {problem}.", _EXPORT_AGAIN) from problem
    except Exception as error:  # a damaged file breaks pydicom and the decoders anywhere
        raise UnreadableStudyError(study, f"{path.name} is damaged ({error}).", _EXPORT_AGAIN) from error


def to_hounsfield(
    stored: Stored, *, slope: float, intercept: float, padding: object, out: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Stored values to Hounsfield units, clamped to [MIN_HU, MAX_HU].

    Args:
        stored: (rows, columns) int16 or uint16.
        slope: RescaleSlope, HU per stored unit.
        intercept: RescaleIntercept, HU of a stored 0.
        padding: PixelPaddingValue, or None. Padding is air, also where it stands above all real values.
        out: where to put them; memory that is used again is written several times faster than new memory.

    Raises:
        ValueError: a slope or intercept that cannot be.
    """
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
        raise ValueError(f"RescaleSlope {slope}, RescaleIntercept {intercept}")
    if not isinstance(padding, int):
        return _rescaled(stored, slope, intercept, out)
    # Compared as 16 bits: -2000 is often written as 63536.
    pads = np.array([padding % 65536], dtype=np.uint16)
    above = MAX_HU in _rescaled(pads.view(stored.dtype), slope, intercept)
    padded = stored.view(np.uint16) == pads if above else False
    hu = _rescaled(stored, slope, intercept, out)
    if above:
        hu[padded] = MIN_HU
    return hu


def _rescaled(
    stored: Stored, slope: float, intercept: float, out: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    held = np.iinfo(stored.dtype)
    low, high = MIN_HU - intercept, MAX_HU - intercept
    if slope == 1 and intercept.is_integer() and low <= held.max and high >= held.min:
        low, high = max(int(low), held.min), min(int(high), held.max)
        # To look whether there is anything to clamp takes a tenth of clamping.
        below = low > held.min and stored.min() < low
        above = high < held.max and stored.max() > high
        within = np.clip(stored, low, high) if below or above else stored
        # Modulo 2^16, where the sum is right whatever its parts are, because it lies in [MIN_HU, MAX_HU].
        shift = np.array(int(intercept) % 65536, dtype=np.uint16).view(np.int16)
        return np.asarray(np.add(within.view(np.int16), shift, out=out))
    values = np.clip(np.rint(stored * slope + intercept), MIN_HU, MAX_HU).astype(np.int16)
    if out is None:
        return np.asarray(values)
    out[...] = values
    return out


class _UndecodableError(Exception):
    """What is wrong with the pixels of a file, as the end of a sentence that begins with its name."""


def _stored_values(dataset: Any, rows: int, columns: int) -> Stored:
    if "PixelData" not in dataset:
        raise _UndecodableError("has no pixel data, or ends before them")
    if dataset.BitsAllocated != 16:
        raise _UndecodableError(f"stores {dataset.BitsAllocated} bits per pixel, where a CT stores 16")
    signed = bool(dataset.PixelRepresentation)
    bits, high_bit = int(dataset.BitsStored), int(dataset.HighBit)
    if not 0 < bits <= high_bit + 1 <= 16:
        raise _UndecodableError(f"says that bit {high_bit} is the highest of {bits} bits per pixel")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax in DECODERS:
        pixels, high_bit = _decompressed(dataset.PixelData, DECODERS[syntax]), bits - 1
    elif syntax == _RLE:
        if _RLE_MOST * len(dataset.PixelData) < rows * columns * 2:
            raise _UndecodableError(
                f"is cut short: it cannot hold the {rows} x {columns} pixels of its header"
            )
        dataset.convert_pixel_data("rle")
        pixels = dataset.pixel_array
    elif syntax in _UNCOMPRESSED:
        pixels = _uncompressed(dataset, rows, columns)
    else:
        name = pydicom.uid.UID(syntax).name
        raise _UndecodableError(f"is compressed in a way that is not known here ({name})")
    if pixels.shape != (rows, columns):
        raise _UndecodableError(f"holds {pixels.shape} pixels where its header says ({rows}, {columns})")
    return used_bits(pixels, bits=bits, high_bit=high_bit, signed=signed)


def _uncompressed(dataset: Any, rows: int, columns: int) -> NDArray[Any]:
    data: bytes = dataset.PixelData
    if len(data) < rows * columns * 2:
        raise _UndecodableError(
            f"is cut short: {len(data)} bytes of pixels where its header says {rows * columns * 2}"
        )
    order = "<" if dataset.is_little_endian else ">"
    pixels = np.frombuffer(data, dtype=f"{order}u2", count=rows * columns)
    return pixels.reshape(rows, columns)


def _decompressed(data: bytes, decode: Callable[[bytes], NDArray[Any]]) -> NDArray[Any]:
    frame = next(generate_pixel_data_frame(data, 1))
    if not has_end(frame):
        raise _UndecodableError(f"is cut short: its compressed image of {len(frame)} bytes has no end")
    return decode(frame)


def has_end(frame: bytes) -> bool:
    """Whether a compressed image has the end marker of the JPEG family.

    libjpeg fills what is missing with grey and says nothing.
    """
    return b"\xff\xd9" in frame[-16:]


def used_bits(pixels: NDArray[Any], *, bits: int, high_bit: int, signed: bool) -> Stored:
    """Without the bits that are not used (old files keep overlays there), with the sign in its place."""
    words: NDArray[np.uint16] = pixels.astype(np.uint16, copy=False)
    unused = 16 - bits
    if high_bit == bits - 1 and not signed and int(words.max()) >> bits == 0:
        return words
    words = words << np.uint16(15 - high_bit)
    # Shifted back as signed, the highest used bit fills the unused ones: the sign.
    return words.view(np.int16) >> np.int16(unused) if signed else words >> np.uint16(unused)
