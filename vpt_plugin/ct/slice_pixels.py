"""SliceReader: the pixels of one slice after the other, straight from where the headers say that they lie."""

from __future__ import annotations

import math
import os
import struct
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.decoding import DECODERS, decode_slice, has_end, to_hounsfield, used_bits
from vpt_plugin.ct.dicom_headers import read_header
from vpt_plugin.ct.plain_dicom import EXPLICIT, IMPLICIT, RLE, PixelPlace, encapsulated_frame
from vpt_plugin.ct.slice_header import SliceHeader, version_of
from vpt_plugin.ct.stored_pixels import StoredPixels
from vpt_plugin.errors import UnreadableStudyError

# How many segments there are, and where the first two begin.
_RLE_START = struct.Struct("<3L")


class SliceReader:
    """Reads slices of one size, for one thread; memory is used again from slice to slice.

    Args:
        rows: of every slice.
        columns: of every slice.
        study: the study's name, for messages.
    """

    def __init__(self, rows: int, columns: int, study: str) -> None:
        self._shape = (rows, columns)
        self._study = study
        self._memory: tuple[bytearray, NDArray[np.int16]] | None = None

    def read(self, header: SliceHeader) -> NDArray[np.int16]:
        """The Hounsfield units of one slice, (rows, columns), good until the next call.

        Raises:
            UnreadableStudyError: as ``decode_slice``; the file is no longer the one whose header it is.
        """
        pixels = header.pixels
        stored = None if pixels is None else self._stored(header, pixels)
        if stored is None or pixels is None:
            return self._by_pydicom(header)
        form = pixels.format
        values = used_bits(stored, bits=form.bits, high_bit=self._high_bit(pixels), signed=form.signed)
        return to_hounsfield(
            values, slope=form.slope, intercept=form.intercept, padding=form.padding, out=self._buffers()[1]
        )

    def _buffers(self) -> tuple[bytearray, NDArray[np.int16]]:
        """Memory for a slice as stored and in HU; asked for once a file is found to be as long as that."""
        if self._memory is None:
            voxels = math.prod(self._shape)
            self._memory = bytearray(2 * voxels), np.empty(self._shape, dtype=np.int16)
        return self._memory

    def _stored(self, header: SliceHeader, pixels: StoredPixels) -> NDArray[np.uint16] | None:
        """The pixels as stored; None where pydicom has to take them, or to say what is wrong with them."""
        place = pixels.place
        try:
            with header.path.open("rb", buffering=0) as file:
                file.seek(place.offset_bytes)
                if place.syntax in (IMPLICIT, EXPLICIT):
                    stored = self._uncompressed(file, place)
                else:
                    stored = self._decompressed(file.read(), place)
                # Looked at last: a file may be written to while it is read.
                return stored if version_of(os.fstat(file.fileno())) == header.version else None
        except OSError as error:
            raise UnreadableStudyError(self._study, f"{header.path.name} cannot be read: {error}.") from error

    def _by_pydicom(self, header: SliceHeader) -> NDArray[np.int16]:
        try:
            return decode_slice(header.path, *self._shape, self._study)
        finally:  # what else is wrong with a file that changed says less
            self._refuse_another(header)

    def _refuse_another(self, header: SliceHeader) -> None:
        """A file that was only copied anew is still the same slice; another one would be out of its place."""
        try:
            if version_of(header.path.stat()) == header.version:
                return
            now = read_header(header.path)
        except OSError as error:
            raise UnreadableStudyError(self._study, f"{header.path.name} cannot be read: {error}.") from error
        if not (isinstance(now, SliceHeader) and now.is_same_slice(header)):
            raise UnreadableStudyError(
                self._study,
                f"{header.path.name} changed while the study was read.",
                "Read it again once it is no longer written to.",
            )

    def _uncompressed(self, file: BinaryIO, place: PixelPlace) -> NDArray[np.uint16] | None:
        length = place.length_bytes or 0
        if length < 2 * math.prod(self._shape) or place.offset_bytes + length != place.file_bytes:
            return None
        stored = self._buffers()[0]
        done, wanted = 0, memoryview(stored)
        while done < len(wanted):
            got = file.readinto(wanted[done:])  # type: ignore[attr-defined]
            if not got:
                return None
            done += got
        return np.frombuffer(stored, dtype="<u2").reshape(self._shape)

    def _decompressed(self, data: bytes, place: PixelPlace) -> NDArray[np.uint16] | None:
        frame = None if place.length_bytes is not None else encapsulated_frame(data)
        if frame is None:
            return None
        try:
            if place.syntax == RLE:
                pixels: NDArray[Any] | None = self._decode_rle(frame)
            else:
                pixels = DECODERS[place.syntax](frame) if has_end(frame) else None
        except (
            Exception
        ):  # a damaged image breaks the decoders anywhere; pydicom's way says of what study it is
            return None
        return pixels if pixels is not None and pixels.shape == self._shape else None

    def _decode_rle(self, frame: bytes) -> NDArray[np.uint16] | None:
        """Two segments, of the high and of the low bytes of all pixels (DICOM PS3.5, annex G)."""
        count, high, low = _RLE_START.unpack_from(frame)
        segments = frame[high:low], frame[low:]
        planes = [imagecodecs.packbits_decode(segment) for segment in segments if count == len(segments)]
        if [len(plane) for plane in planes] != [math.prod(self._shape)] * 2:
            return None
        pixels = np.frombuffer(self._buffers()[0], dtype=np.uint8)
        pixels[1::2], pixels[::2] = (np.frombuffer(plane, dtype=np.uint8) for plane in planes)
        return pixels.view("<u2").reshape(self._shape)

    @staticmethod
    def _high_bit(pixels: StoredPixels) -> int:
        """Decoders of the JPEG family put the lowest bit at the bottom."""
        return pixels.format.bits - 1 if pixels.place.syntax in DECODERS else pixels.format.high_bit
