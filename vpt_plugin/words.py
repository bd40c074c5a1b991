"""Numbers and names as people write them, for messages."""

from __future__ import annotations

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count_in_words(number: int, one: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number:,} {one if number == 1 else f'{one}s'}"


def number_in_words(number: int) -> str:
    """``seven``, ``12``: as one writes them within a sentence."""
    return _NUMBERS[number] if 0 <= number < len(_NUMBERS) else f"{number:,}"


def studies_in_words(number: int) -> str:
    """``1 study``, ``2 studies``."""
    return f"{number:,} {'study' if number == 1 else 'studies'}"


def in_a_sentence(name: str) -> str:
    """``lung nodule`` of ``lung_nodule``, for a finding within a sentence."""
    return name.replace("_", " ")
