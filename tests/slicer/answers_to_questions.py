"""Answers to what the logic asks the reader, as a test gives them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Answers:
    """Says yes or no; a test that expects a question looks whether it came.

    Attributes:
        yes: to all that is asked from now on.
        asked: what was asked, in its order: an address of a server, or the title of a question.
        told: what else was said then.
    """

    yes: bool = True
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)

    def may_upload(self, address: str, why: str, what: str) -> bool:
        self.asked.append(address)
        self.told.append((why, what))
        return self.yes

    def confirm(self, title: str, text: str, ok_text: str) -> bool:
        self.asked.append(title)
        self.told.append((text, ok_text))
        return self.yes
