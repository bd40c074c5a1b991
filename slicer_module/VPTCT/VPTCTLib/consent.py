"""Consents: whether studies may be uploaded to a server, agreed to once for each, and revocable."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping

_KEY = "VPTCT.uploads"


class Consents:
    """What the reader agreed to, by the address of the server.

    Args:
        settings: where that is remembered, such as a wrapper of Slicer's settings.
    """

    def __init__(self, settings: MutableMapping[str, str]) -> None:
        self._settings = settings

    @property
    def all(self) -> Mapping[str, str]:
        """When the reader agreed, by the address; {} where what is remembered cannot be read."""
        try:
            stored = json.loads(self._settings.get(_KEY, "{}"))
        except ValueError:
            return {}
        if not isinstance(stored, dict):
            return {}
        return {server: when for server, when in stored.items() if isinstance(when, str) and when}

    def given(self, server: str) -> bool:
        """Whether the reader agreed for this server."""
        return bool(self.given_at(server))

    def given_at(self, server: str) -> str:
        """When, as ``2026-11-20T20:31:05Z``; "" where they did not."""
        return self.all.get(server, "")

    def give(self, server: str, when: str) -> None:
        """The reader agrees: from now on studies are uploaded to this server without a question."""
        self._settings[_KEY] = json.dumps({**self.all, server: when})

    def revoke(self, server: str) -> None:
        """From now on they are asked again."""
        self._settings[_KEY] = json.dumps({each: when for each, when in self.all.items() if each != server})
