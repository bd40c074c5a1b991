"""Held: a study in this reader's hands; and the note of those of a reader without a name."""

from __future__ import annotations

import json
from collections.abc import Iterable, MutableMapping
from dataclasses import asdict, dataclass, fields
from typing import Any

# Of ``Held.reading``, and of proposals.
SECOND = "second"
_NOTED = "VPTCT.held"


@dataclass(frozen=True)
class Held:
    """A study in this reader's hands.

    Attributes:
        study: its id.
        task: it is to be labelled for.
        reading: ``first`` or ``second``.
        until: UTC, by the server's clock.
        holder: to be said when it is extended or given back; "" where the reader's name does.
    """

    study: str
    task: str
    reading: str
    until: str
    holder: str = ""


class NotedHolders:
    """Notes on this computer what a reader without a name holds: no server tells that to anybody later.

    Args:
        store: of the settings.
    """

    def __init__(self, store: MutableMapping[str, str]) -> None:
        self._store = store

    def of(self, address: str) -> tuple[Held, ...]:
        """What is noted of a server, those among them whose time is over; () where the note is damaged."""
        noted = self._read().get(address, [])
        names = {each.name for each in fields(Held)}
        good = (
            [each for each in noted if isinstance(each, dict) and set(each) == names]
            if isinstance(noted, list)
            else []
        )
        return tuple(Held(**{name: str(value) for name, value in each.items()}) for each in good)

    def note(self, address: str, held: Iterable[Held]) -> None:
        """Note what is held of a server, and nothing else of it."""
        noted = {**self._read(), address: [asdict(each) for each in held]}
        self._store[_NOTED] = json.dumps({server: each for server, each in noted.items() if each})

    def _read(self) -> dict[str, Any]:
        try:
            noted = json.loads(self._store.get(_NOTED, "{}"))
        except ValueError:
            return {}
        return noted if isinstance(noted, dict) else {}
