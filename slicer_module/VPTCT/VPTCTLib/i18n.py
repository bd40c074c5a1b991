"""Translations of what readers see: Slicer's, where this runs inside Slicer.

``tr`` must be called by the file that has the text, under the name ``_``: Slicer takes the name of that file
for the text's context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:

    def tr(text: str) -> str:
        """The text in the reader's language."""

else:
    try:
        from slicer.i18n import tr
    except ImportError:
        # Outside of Slicer, as in the tests of what needs no Slicer.
        tr = str
