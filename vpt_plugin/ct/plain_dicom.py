"""The elements of an ordinary DICOM file that a reader of CT asks for, found without parsing the rest.

pydicom makes an object of every element, which for a study takes longer than to read its pixels. Most files
are ordinary: Part 10, little endian, elements in order, every length within the file. Of those the wanted
elements are found here by stepping from length to length, and pydicom converts their values, once for all
slices that store the same bytes. Of any other file nothing is said here, so that pydicom alone decides what
it is: both ways give the same answer, or this one gives none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

from vpt_plugin.ct.plain_values import CHARACTER_SET, StoredValue, tag_of

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
_ENCAPSULATED = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
_DIRECTORY = b"1.2.840.10008.1.3.10"

# Nearly all headers fit into this; what needs more than a larger piece is left to pydicom.
FIRST_PIECE_BYTES = 1 << 14
_LARGER_PIECE_BYTES = 1 << 20
_PREAMBLE_BYTES = 132
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 16

_SOP_CLASS, _SYNTAX = 0x00020002, 0x00020010
_GROUP_LENGTH = (0x00020000, b"UL", 4)
_FIRST_PIXELS, _PIXELS = 0x7FE00008, 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

_EXPLICIT_START = struct.Struct("<HH2sH")
_PLAIN_START = struct.Struct("<HHL")
_LONG_LENGTH = struct.Struct("<L")
_SHORT_VR = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_16)
_LONG_VR = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)


class _NotPlainError(Exception):
    """The file is out of the ordinary: pydicom has to judge it."""


@dataclass(frozen=True)
class PixelPlace:
    """Where a file keeps its pixels.

    Attributes:
        syntax: the transfer syntax.
        offset_bytes: of the value from the beginning of the file.
        length_bytes: of the value; None where only its own items tell.
        file_bytes: of the whole file.
    """

    syntax: str
    offset_bytes: int
    length_bytes: int | None
    file_bytes: int


class FoundElements:
    """What was found of a file.

    Attributes:
        place: of its pixels.
    """

    def __init__(self, by_tag: dict[int, StoredValue], place: PixelPlace) -> None:
        self._by_tag = by_tag
        self.place = place

    @property
    def stored(self) -> tuple[StoredValue, ...]:
        """The elements in the order of their tags."""
        return tuple(self._by_tag.values())

    def take(self, keyword: str, vr: str) -> bytes:
        """An element's bytes, which are then no longer among the others; b"" where it is of another kind."""
        _, found, value = self._by_tag.pop(tag_of(keyword), (0, "", b""))
        return value if found in (vr, "") else b""


def find_elements(file: BinaryIO, start: bytes, keywords: frozenset[str]) -> FoundElements | None:
    """The wanted elements before the pixels of an ordinary file; None of any other file.

    Args:
        file: open for reading.
        start: the first bytes of it, ``FIRST_PIECE_BYTES`` of them where there are as many.
        keywords: the elements that are wanted.

    Raises:
        OSError: the file system does not hand the file out.
    """
    if start[128:_PREAMBLE_BYTES] != b"DICM":
        return None
    wanted = _wanted(keywords)
    try:
        try:
            return _find(start, file.seek(0, 2), wanted)
        except struct.error:  # the header is longer than what was read of it
            file.seek(0)
            return _find(file.read(_LARGER_PIECE_BYTES), file.seek(0, 2), wanted)
    except (_NotPlainError, struct.error):
        return None


def _find(data: bytes, file_bytes: int, wanted: frozenset[int]) -> FoundElements:
    syntax, at = _read_meta(data)
    explicit = syntax != IMPLICIT
    by_tag, at, length = (_walk_explicit if explicit else _walk_implicit)(data, at, wanted)
    defined = None if length == _UNDEFINED else length
    return FoundElements(by_tag, PixelPlace(syntax, at, defined, file_bytes))


def _read_meta(data: bytes) -> tuple[str, int]:
    """The transfer syntax, and where the data set begins."""
    at, last, syntax = _PREAMBLE_BYTES, 0, ""
    while data[at : at + 2] == b"\x02\0":
        tag, vr, at, length = _explicit_start(data, at)
        if tag <= last or length == _UNDEFINED:
            raise _NotPlainError
        # pydicom reads the value of the first element, and fails where that is no value.
        if not last and (tag, vr, length) != _GROUP_LENGTH and vr not in (b"OB", b"UI"):
            raise _NotPlainError
        value = data[at : at + length]
        if tag == _SOP_CLASS and (vr != b"UI" or _DIRECTORY in value):
            raise _NotPlainError
        if tag == _SYNTAX:
            syntax = value.rstrip(b"\0 ").decode("latin-1") if vr == b"UI" else ""
        last, at = tag, at + length
    if syntax not in (IMPLICIT, EXPLICIT, RLE) and not syntax.startswith(_ENCAPSULATED):
        raise _NotPlainError
    return syntax, at


def _walk_explicit(data: bytes, at: int, wanted: frozenset[int]) -> tuple[dict[int, StoredValue], int, int]:
    """The wanted elements up to the pixels, where their value begins, and its length."""
    found: dict[int, StoredValue] = {}
    last = 0x0007FFFF  # groups below belong to the file or to a command
    unpack = _EXPLICIT_START.unpack_from
    while True:
        # As _explicit_start; a call for each of a hundred elements would take as long as all the rest.
        group, element, vr, length = unpack(data, at)
        tag, at = group << 16 | element, at + 8
        if tag <= last:
            raise _NotPlainError
        last = tag
        if vr not in _SHORT_VR:
            if vr not in _LONG_VR:
                raise _NotPlainError
            (length,), at = _LONG_LENGTH.unpack_from(data, at), at + 4
            if tag >= _FIRST_PIXELS:
                if tag != _PIXELS or vr not in (b"OW", b"OB"):
                    raise _NotPlainError
                return found, at, length
            if length == _UNDEFINED:
                if vr != b"SQ" or tag in wanted:
                    raise _NotPlainError
                at = _after_sequence(data, at, explicit=True)
                continue
        if tag in wanted:
            found[tag] = tag, vr.decode(), data[at : at + length]
        at += length


def _walk_implicit(data: bytes, at: int, wanted: frozenset[int]) -> tuple[dict[int, StoredValue], int, int]:
    """As ``_walk_explicit``, where the file does not say what its elements are."""
    if data[at + 4 : at + 6].isupper() and data[at + 4 : at + 6].isalpha():
        raise _NotPlainError  # it does say it, against its transfer syntax
    found: dict[int, StoredValue] = {}
    last = 0x0007FFFF
    while True:
        group, element, length = _PLAIN_START.unpack_from(data, at)
        tag, at = group << 16 | element, at + 8
        if tag <= last:
            raise _NotPlainError
        last = tag
        if tag >= _FIRST_PIXELS:
            if tag != _PIXELS:
                raise _NotPlainError
            return found, at, length
        if length == _UNDEFINED:
            if tag in wanted or not _is_sequence(tag):
                raise _NotPlainError
            at = _after_sequence(data, at, explicit=False)
            continue
        if tag in wanted:
            found[tag] = tag, "", data[at : at + length]
        at += length


def _explicit_start(data: bytes, at: int) -> tuple[int, bytes, int, int]:
    """Tag, value representation, where the value begins, and its length."""
    group, element, vr, length = _EXPLICIT_START.unpack_from(data, at)
    if vr in _SHORT_VR:
        return group << 16 | element, vr, at + 8, length
    if vr not in _LONG_VR:
        raise _NotPlainError
    (long_length,) = _LONG_LENGTH.unpack_from(data, at + 8)
    return group << 16 | element, vr, at + 12, long_length


def _is_sequence(tag: int) -> bool:
    """Whether the standard says so of an element that does not say it itself."""
    try:
        return bool(dictionary_VR(tag) == "SQ")
    except KeyError:
        return False  # a private element


def _after_sequence(data: bytes, at: int, *, explicit: bool, depth: int = 0) -> int:
    """Where a sequence without a length ends; its items must fit exactly."""
    if depth == _MAX_DEPTH:
        raise _NotPlainError
    while True:
        group, element, length = _PLAIN_START.unpack_from(data, at)
        tag, at = group << 16 | element, at + 8
        if tag == _SEQUENCE_END and not length:
            return at
        if tag != _ITEM:
            raise _NotPlainError
        end = None if length == _UNDEFINED else at + length
        at = _after_item(data, at, end, explicit=explicit, depth=depth)


def _after_item(data: bytes, at: int, end: int | None, *, explicit: bool, depth: int) -> int:
    while at != end:
        group, element, length = _PLAIN_START.unpack_from(data, at)
        tag = group << 16 | element
        if tag == _ITEM_END and end is None and not length:
            return at + 8
        # A character set may be one that pydicom refuses.
        if group == 0xFFFE or tag == CHARACTER_SET:
            raise _NotPlainError
        vr = b""
        if explicit:
            _, vr, at, length = _explicit_start(data, at)
        else:
            at += 8
        if length != _UNDEFINED:
            at += length
        elif vr == b"SQ" if explicit else _is_sequence(tag):
            at = _after_sequence(data, at, explicit=explicit, depth=depth + 1)
        else:
            raise _NotPlainError
        if end is not None and at > end:
            raise _NotPlainError
    return at


def encapsulated_frame(data: bytes) -> bytes | None:
    """The one compressed image that lies between the beginning of the pixels and the end of the file.

    Returns:
        its fragments in one piece; None where the pieces do not fit exactly, or there may be several images.
    """
    fragments: list[bytes] = []
    at = 0
    try:
        while True:
            group, element, length = _PLAIN_START.unpack_from(data, at)
            tag, at = group << 16 | element, at + 8
            if tag == _SEQUENCE_END and not length and at == len(data):
                break
            if tag != _ITEM or length > len(data) - at:
                return None
            fragments.append(data[at : at + length])
            at += length
    except struct.error:
        return None
    if len(fragments) < 2 or fragments[0] not in (b"", bytes(4)):
        return None  # the first item says where the images begin: nothing, or one at 0
    return fragments[1] if len(fragments) == 2 else b"".join(fragments[1:])


@lru_cache(maxsize=8)
def _wanted(keywords: frozenset[str]) -> frozenset[int]:
    return frozenset(map(tag_of, keywords)) | {CHARACTER_SET}
