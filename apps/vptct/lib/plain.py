"""Texts for clients without the paths of the server's folders, wherever in an answer they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Takes the server's folders out of a text.
Plain = Callable[[str], str]


def plain_json(value: Any, plain: Plain) -> Any:
    """The value with the server's folders taken out of all of its texts."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {name: plain_json(each, plain) for name, each in value.items()}
    return [plain_json(each, plain) for each in value] if isinstance(value, (list, tuple)) else value
