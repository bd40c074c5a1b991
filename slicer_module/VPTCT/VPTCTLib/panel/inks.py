"""Inks: the colours of what we paint ourselves, on light and dark panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import qt


@dataclass(frozen=True)
class Inks:
    """The colours, for a light or a dark panel.

    Attributes:
        paper: behind the plot.
        ink: words, frame and key slice; fainter ones are made of it.
        curve: of the network.
        cursor: the slice on screen.
        mark: of the reader.
        focus: around what has the keys.
    """

    paper: Any
    ink: Any
    curve: Any
    cursor: Any
    mark: Any
    focus: Any

    @staticmethod
    def of(palette: Any) -> Inks:
        """Those that can be told apart on this palette."""
        # Copies: in Slicer a palette gives colours that are gone when it is.
        paper, ink, focus = (
            qt.QColor(palette.color(role))
            for role in (qt.QPalette.Base, qt.QPalette.Text, qt.QPalette.Highlight)
        )
        names = (
            ("#64b5f6", "#ffb74d", "#4db6ac")
            if paper.lightness() < 128
            else ("#1565c0", "#d84315", "#00796b")
        )
        curve, cursor, mark = (qt.QColor(name) for name in names)
        return Inks(paper, ink, curve, cursor, mark, focus)


def clear(colour: Any, alpha: int) -> Any:
    """The colour, so much of 255 to be seen."""
    made = qt.QColor(colour)
    made.setAlpha(alpha)
    return made
