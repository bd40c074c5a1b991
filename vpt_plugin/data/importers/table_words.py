"""What people write into the cells of a table: states of findings, sides of the split, ranges of slices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from vpt_plugin.data.splits import SPLITS
from vpt_plugin.labels import MAX_MM, STATES

_PRESENT, _ABSENT, _INDETERMINATE = STATES
_STATE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        _PRESENT: ("present", "yes", "y", "1", "true", "positive", "pos", "ja"),
        _ABSENT: ("absent", "no", "n", "0", "false", "negative", "neg", "nein"),
        _INDETERMINATE: ("indeterminate", "unclear", "equivocal", "unklar"),
    }
)
_STATE = {word: state for state, words in _STATE_WORDS.items() for word in words}
KNOWN_STATES = "; ".join(f"{state}: {', '.join(words[1:])}" for state, words in _STATE_WORDS.items())
_SIDE_WORDS = dict(
    zip(
        SPLITS,
        (("train", "training"), ("validation", "valid", "val", "dev"), ("test", "testing")),
        strict=True,
    )
)
_SIDE = {word: side for side, words in _SIDE_WORDS.items() for word in words}
KNOWN_SIDES = ", ".join(_SIDE)
# What a column of numbers becomes where a cell of it was empty once.
_WHOLE_NUMBER = re.compile(r"([01])[.,]0+")
_NUMBER = r"[-+\u2212]?\d+(?:[.,]\d+)?"
_RANGE = re.compile(rf"({_NUMBER})(?:\s*(?:\.\.\.?|to|bis|:|\u2013|\u2026)\s*({_NUMBER}))?")
KNOWN_RANGES = (
    "-142.5 to -118, and several with a semicolon or a bar between them: -142.5 to -118; -90 to -85"
)


def state_of(cell: str) -> str | None:
    """The state that a cell means; "" where it is empty, None where it means nothing that is known."""
    word = cell.casefold()
    if number := _WHOLE_NUMBER.fullmatch(word):
        word = number[1]
    return _STATE.get(word) if word else ""


def side_of(cell: str) -> str | None:
    """The side that a cell means; "" where it is empty, None where it means none."""
    return _SIDE.get(cell.casefold()) if cell else ""


def ranges_mm_of(cell: str) -> tuple[tuple[float, float], ...] | None:
    """The ranges of patient z, in mm, that a cell means; None where it means none.

    A single position is a range of one slice; decimal commas are read, and both orders of the ends.
    """
    found = [_RANGE.fullmatch(part.strip()) for part in re.split(r"[;|]", cell) if part.strip()]
    if not found or not all(found):
        return None
    pairs = sorted(tuple(sorted((_mm(each[1]), _mm(each[2] or each[1])))) for each in found if each)
    if any(abs(mm) > MAX_MM for pair in pairs for mm in pair):
        return None
    return tuple((low, high) for low, high in pairs)


def _mm(number: str) -> float:
    return float(number.replace("\u2212", "-").replace(",", "."))
