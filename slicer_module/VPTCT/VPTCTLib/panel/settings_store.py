"""SettingsStore: Slicer's settings as a mapping of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any


class SettingsStore(MutableMapping[str, str]):
    """The module's part of Slicer's settings.

    Args:
        settings: ``slicer.app.userSettings()``, which has the keys ``VPTCT.name`` in a group ``VPTCT``.
    """

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getitem__(self, key: str) -> str:
        if not self._settings.contains(stored_key(key)):
            raise KeyError(key)
        value = self._settings.value(stored_key(key))
        # The settings dialog writes numbers and truth values, which come back as texts only after a restart.
        return value if isinstance(value, str) else json.dumps(value)

    def __setitem__(self, key: str, value: str) -> None:
        self._settings.setValue(stored_key(key), value)

    def __delitem__(self, key: str) -> None:
        if not self._settings.contains(stored_key(key)):
            raise KeyError(key)
        self._settings.remove(stored_key(key))

    def __iter__(self) -> Iterator[str]:
        return (key.replace("/", ".", 1) for key in self._settings.allKeys() if str(key).startswith("VPTCT/"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def stored_key(key: str) -> str:
    """Under which Slicer stores the setting of this key."""
    return key.replace(".", "/", 1)
