"""Trainings and versions: ordering, watching, stopping; which version is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..contract.training import Training, TrainingState, read_training, read_trainings
from ..contract.versions import Versions, read_served, read_versions
from ..errors import TrainingRefusedError
from ..transport.cancel import Cancel
from ..transport.connection import Connection
from ..transport.request import Patience, Request, get

# The server answers when the process is gone, which may be in the middle of writing.
_STOPPING = Patience(stall_seconds=120.0, total_seconds=120.0)
# The checksum of a large file is looked at before it is served.
_SERVING = Patience(stall_seconds=300.0, total_seconds=300.0)


class Trainings:
    """Asks about trainings. Every function raises VptctError, see ``Connection.json``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def order(
        self, model: str, settings: Mapping[str, Any] | None = None, cancel: Cancel | None = None
    ) -> Training:
        """Order a training of ``<task>_<network>``; it runs when those before it have ended.

        Args:
            model: its name.
            settings: those that are not to be the default, typed as the default is.
            cancel: ends it; whether it was ordered is then not known.

        Raises:
            TrainingRefusedError: it cannot start: too few labels, no room, the same one runs already.
        """
        request = Request("POST", f"/train/{model}", json=dict(settings or {}), conflict=TrainingRefusedError)
        return read_training(self._connection.json(request, cancel))

    def state(self, cancel: Cancel | None = None) -> TrainingState:
        """What runs, what waits, how the last ones ended."""
        return read_trainings(self._connection.json(get("/train/"), cancel))

    def one(self, number: int, cancel: Cancel | None = None) -> Training:
        """One training."""
        return read_training(self._connection.json(get(f"/train/{number}"), cancel))

    def stop(self, number: int, cancel: Cancel | None = None) -> Training:
        """End a training; its process is gone when this returns."""
        request = Request("DELETE", f"/train/{number}", patience=_STOPPING, conflict=TrainingRefusedError)
        return read_training(self._connection.json(request, cancel))

    def report(self, number: int, cancel: Cancel | None = None) -> bytes:
        """Its report: one page of HTML."""
        return self._connection.content(get(f"/train/{number}/report"), cancel)


class ModelVersions:
    """Asks about versions. Every function raises VptctError, see ``Connection.json``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, model: str, cancel: Cancel | None = None) -> Versions:
        """All versions of ``<task>_<network>``, and which one is served."""
        return read_versions(self._connection.json(get(f"/versions/{model}"), cancel))

    def promote(self, model: str, version: int, *, why: str = "", cancel: Cancel | None = None) -> int:
        """Serve a version from now on; its number."""
        return self._served(f"/versions/{model}/promote", {"version": version, "why": why}, cancel)

    def rollback(self, model: str, *, why: str = "", cancel: Cancel | None = None) -> int:
        """Serve again what was served before; its number. Never repeated: twice goes back two versions."""
        return self._served(f"/versions/{model}/rollback", {"why": why}, cancel)

    def report(self, model: str, version: int, cancel: Cancel | None = None) -> bytes:
        """The report of a version: one page of HTML."""
        return self._connection.content(get(f"/versions/{model}/report", version=version), cancel)

    def _served(self, path: str, params: Mapping[str, str | int | None], cancel: Cancel | None) -> int:
        request = Request("POST", path, params=params, patience=_SERVING)
        return read_served(self._connection.json(request, cancel))
