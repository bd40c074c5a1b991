"""Served: which version of a model is served and what was served before it (``vptct.served/1``)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from vpt_plugin.errors import ModelCardError

SCHEMA = "vptct.served/1"
PUBLISHED, IMPORTED, PROMOTED, ROLLED_BACK = "published", "imported", "promoted", "rolled back"
WAYS = (PUBLISHED, IMPORTED, PROMOTED, ROLLED_BACK)


@dataclass(frozen=True)
class Change:
    """One change of what is served.

    Attributes:
        version: served from then on.
        how: ``published`` by a training, ``imported``, ``promoted`` or ``rolled back``.
        why: in the words of whoever did it.
        by: who did it; empty where nobody knows.
        when: as ``2026-11-20T20:31:05Z``; empty where nobody knows.
    """

    version: int
    how: str
    why: str = ""
    by: str = ""
    when: str = ""

    @classmethod
    def from_json(cls, data: Any) -> Change:
        """The change from its JSON.

        Raises:
            ModelCardError: something is missing or of another kind.
        """
        names = [each.name for each in fields(cls)]
        change = cls(**{name: data[name] for name in names if name in data})
        texts = (change.how, change.why, change.by, change.when)
        # A bool is an int to Python.
        if type(change.version) is not int or change.version < 1 or change.how not in WAYS:
            raise ModelCardError("a change does not name its version and how it came about.")
        if not all(isinstance(text, str) for text in texts):
            raise ModelCardError(f"a change to version {change.version} has something else than text in it.")
        return change


@dataclass(frozen=True)
class Served:
    """All changes of what is served, the oldest first; none where nothing was ever served."""

    changes: tuple[Change, ...] = ()

    @classmethod
    def newest_of(cls, versions: Iterable[int]) -> Served:
        """What is served where nobody recorded it: the newest version, and before it the earlier ones."""
        return cls(tuple(Change(version, PUBLISHED) for version in sorted(versions)))

    @property
    def version(self) -> int | None:
        """What is served; None for nothing."""
        return self.changes[-1].version if self.changes else None

    @property
    def before(self) -> int | None:
        """What a rollback serves again; None where nothing was served before.

        Rolling back twice goes back two versions: what was rolled back from is forgotten here, though not in
        the record.
        """
        line: list[int] = []
        for change in self.changes:
            if change.how == ROLLED_BACK:
                while line and line[-1] != change.version:
                    line.pop()
            if not line or line[-1] != change.version:
                line.append(change.version)
        return line[-2] if len(line) > 1 else None

    @property
    def highest(self) -> int:
        """The highest version that was ever served; 0 where none was."""
        return max((change.version for change in self.changes), default=0)

    def then(self, change: Change) -> Served:
        """The record with one more change."""
        return Served((*self.changes, change))

    def to_json(self) -> dict[str, Any]:
        """The record as JSON: what is served now, and under ``earlier`` what was, the newest last."""
        *earlier, now = [asdict(change) for change in self.changes] or [{"version": None}]
        return {"schema": SCHEMA, **now, "earlier": earlier}

    @classmethod
    def from_json(cls, data: Any) -> Served:
        """The record from its JSON.

        Raises:
            ModelCardError: not a record of this schema, or damaged.
        """
        try:
            if isinstance(data, (str, bytes)):
                data = json.loads(data)
            if not isinstance(data, dict) or data.get("schema") != SCHEMA:
                raise ModelCardError(f"it does not follow {SCHEMA!r}.")
            earlier = tuple(Change.from_json(each) for each in data["earlier"])
            if data["version"] is None and not earlier:
                return cls()
            return cls((*earlier, Change.from_json(data)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelCardError(f"{type(error).__name__}: {error}.") from error
