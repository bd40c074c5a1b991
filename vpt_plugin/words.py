"""Numbers and names as people write them, for messages."""

from __future__ import annotations


def count_in_words(number: int, one: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number:,} {one if number == 1 else f'{one}s'}"


def studies_in_words(number: int) -> str:
    """``1 study``, ``2 studies``."""
    return f"{number:,} {'study' if number == 1 else 'studies'}"


def in_a_sentence(name: str) -> str:
    """``lung nodule`` of ``lung_nodule``, for a finding within a sentence."""
    return name.replace("_", " ")
