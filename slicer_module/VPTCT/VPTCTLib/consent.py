"""Consents: whether studies may be uploaded to a server, agreed to once for each, and revocable."""

from __future__ import annotations

from collections.abc import MutableMapping


class Consents:
    """What the reader agreed to, by the address of the server.

    Args:
        settings: where that is remembered, such as a wrapper of Slicer's settings.
    """

    def __init__(self, settings: MutableMapping[str, str]) -> None:
        self._settings = settings

    def given(self, server: str) -> bool:
        """Whether the reader agreed for this server."""
        return bool(self.given_at(server))

    def given_at(self, server: str) -> str:
        """When, as ``2026-11-20T20:31:05Z``; "" where they did not."""
        return self._settings.get(_key(server), "")

    def give(self, server: str, when: str) -> None:
        """The reader agrees: from now on studies are uploaded to this server without a question."""
        self._settings[_key(server)] = when

    def revoke(self, server: str) -> None:
        """From now on they are asked again."""
        self._settings.pop(_key(server), None)


def _key(server: str) -> str:
    # A slash would make groups in Slicer's settings.
    return f"VPTCT.uploads.{server.replace('/', '_')}"
