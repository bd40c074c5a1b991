"""Wishes: what is asked of a server beside the probabilities, as MONAI Label's field ``params`` takes it."""

from __future__ import annotations

import json

from .parts import PARAMS
from .upload import FilePart


def wish_fields(**wishes: bool) -> dict[str, str]:
    """The wishes as the fields of a short form; none of them where nothing is wished.

    Args:
        wishes: by their names, such as ``explain``.
    """
    wished = {name: True for name, wanted in wishes.items() if wanted}
    return {PARAMS: json.dumps(wished)} if wished else {}


def wish_parts(**wishes: bool) -> list[FilePart]:
    """The same as the parts of a form that brings a file, too."""
    return [FilePart(name, "", text.encode()) for name, text in wish_fields(**wishes).items()]
