"""Notes on the figures of a table: numbered as they come, told once below it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """Numbers notes as they come; the same note has one number.

    Attributes:
        texts: of the notes, in the order of their numbers.
    """

    texts: list[str] = field(default_factory=list)

    def mark(self, note: str) -> str:
        """`` (2)``, or nothing where there is no note."""
        if note and note not in self.texts:
            self.texts.append(note)
        return f" ({self.texts.index(note) + 1})" if note else ""

    def numbered(self) -> list[tuple[str, str]]:
        """``(2)`` and its note, of all of them."""
        return [(f"({number})", text) for number, text in enumerate(self.texts, 1)]
