"""Labels: saving what a reader says about a study, and what was said before."""

from __future__ import annotations

import json

from ..contract.label import LabelHistory, SavedLabel, StudyLabel, read_history, read_saved
from ..errors import LabelConflictError
from ..transport.cancel import Cancel
from ..transport.connection import Connection
from ..transport.request import Request, get
from ..transport.upload import FilePart, Form, no_progress


class Labels:
    """Asks about labels. Every function raises VptctError, see ``Connection.json``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def save(
        self, study: str, label: StudyLabel, *, if_version: int | None = None, cancel: Cancel | None = None
    ) -> SavedLabel:
        """Save a label as a new version; it is on the server's disk when this returns.

        Args:
            study: its id.
            label: what the reader says.
            if_version: save only if this is the newest version (0: there is none). The server takes the same
                label upon the same version for the first one again, so only then it is sent again where an
                answer is lost.
            cancel: ends it; whether it was saved is then not known.

        Raises:
            LabelConflictError: another version is the newest; has both labels.
        """
        cancel = cancel if cancel is not None else Cancel()
        content = json.dumps(label.to_json(), allow_nan=False).encode()

        def form() -> Form:
            return Form([FilePart("label", "label.json", content)], no_progress, cancel)

        request = Request(
            "PUT",
            "/datastore/label",
            params={"image": study, "if_version": if_version},
            form=form,
            repeat=if_version is not None,
            conflict=LabelConflictError,
        )
        return read_saved(self._connection.json(request, cancel))

    def history(self, study: str, task: str, cancel: Cancel | None = None) -> LabelHistory:
        """All versions of a study's label, those set aside, and those that cannot be read."""
        return read_history(
            self._connection.json(get("/datastore/label/history", image=study, task=task), cancel)
        )
