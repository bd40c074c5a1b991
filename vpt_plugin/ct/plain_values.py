"""Values of elements that were found in a DICOM file, converted from their bytes by pydicom."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement_from_raw, RawDataElement, empty_value_for_VR
from pydicom.tag import Tag

CHARACTER_SET = 0x00080005
# The tag of an element, its value representation ("" where the file does not say it), and its bytes.
StoredValue = tuple[int, str, bytes]


class PlainElements:
    """Elements by keyword, with values as pydicom's ``Dataset`` gives them."""

    def __init__(self, stored: Iterable[StoredValue]) -> None:
        self._by_tag = {each[0]: each for each in stored}
        character_set = self._by_tag.get(CHARACTER_SET)
        self._encoding = _encoding(*character_set) if character_set else (default_encoding,)

    def __contains__(self, keyword: str) -> bool:
        return tag_of(keyword) in self._by_tag

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of an element, or ``default`` where it is not there."""
        stored = self._by_tag.get(tag_of(keyword))
        return default if stored is None else _element(*stored, self._encoding).value

    def stored(self, keyword: str) -> StoredValue | None:
        """An element as stored."""
        return self._by_tag.get(tag_of(keyword))


def stored_value(keyword: str, vr: str, value: bytes) -> StoredValue:
    """An element as a file would store it."""
    return tag_of(keyword), vr, value


@lru_cache(maxsize=256)
def tag_of(keyword: str) -> int:
    """The tag of an element of the standard, group and number in one."""
    tag: int | None = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


@lru_cache(maxsize=64)
def _encoding(tag: int, vr: str, stored: bytes) -> tuple[str, ...]:
    return tuple(convert_encodings(_element(tag, vr, stored, (default_encoding,)).value))


def _element(tag: int, vr: str, stored: bytes, encoding: tuple[str, ...]) -> Any:
    value = stored or empty_value_for_VR(vr or None, raw=True)
    raw = RawDataElement(Tag(tag), vr or None, len(stored), value, 0, not vr, True)
    return DataElement_from_raw(raw, list(encoding))
