"""Consents: whether studies may be uploaded to a server, agreed to once for each, and revocable."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from .signal import Signal

_KEY = "VPTCT.uploads"


@dataclass(frozen=True)
class Consent:
    """What the reader agreed to.

    Attributes:
        when: as ``2026-11-20T20:31:05Z``.
        server_id: of the server that answered at the address then; "" where it told none.
    """

    when: str
    server_id: str


class Consents:
    """What the reader agreed to, by the address of the server.

    Args:
        settings: where that is remembered, such as a wrapper of Slicer's settings.

    Attributes:
        changed: a consent was given or revoked, by whichever of these: the page of settings and the panel
            have one each, and remember in the same place.
    """

    changed = Signal()

    def __init__(self, settings: MutableMapping[str, str]) -> None:
        self._settings = settings

    @property
    def all(self) -> Mapping[str, Consent]:
        """By the address; what is remembered and cannot be read counts as none."""
        try:
            stored = json.loads(self._settings.get(_KEY, "{}"))
        except ValueError:
            return {}
        if not isinstance(stored, dict):
            return {}
        read = {server: _consent(value) for server, value in stored.items()}
        return {server: consent for server, consent in read.items() if consent is not None}

    def given(self, server: str) -> bool:
        """Whether the reader agreed for this server."""
        return server in self.all

    def given_at(self, server: str) -> str:
        """When, as ``2026-11-20T20:31:05Z``; "" where they did not."""
        consent = self.all.get(server)
        return consent.when if consent is not None else ""

    def given_for(self, server: str) -> str:
        """The id of the server that was meant; "" where it is not known, or where they did not agree."""
        consent = self.all.get(server)
        return consent.server_id if consent is not None else ""

    def give(self, server: str, when: str, server_id: str = "") -> None:
        """The reader agrees: from now on studies are uploaded to this server without a question."""
        self._store({**self.all, server: Consent(when, server_id)})

    def revoke(self, server: str) -> None:
        """From now on they are asked again."""
        self._store({each: consent for each, consent in self.all.items() if each != server})

    def _store(self, consents: Mapping[str, Consent]) -> None:
        self._settings[_KEY] = json.dumps(
            {server: [consent.when, consent.server_id] for server, consent in consents.items()}
        )
        self.changed.emit()


def _consent(stored: object) -> Consent | None:
    if not isinstance(stored, list) or len(stored) != 2 or not all(isinstance(each, str) for each in stored):
        return None
    return Consent(*stored) if stored[0] else None
