"""Explanations: what a network says of a study, and where in it the answer comes from."""

from __future__ import annotations

from collections.abc import Mapping

from ..contract.explained import Explained, read_explained
from ..contract.login import UploadSession
from ..errors import NotTrainedError
from ..transport.answers import decoded
from ..transport.cancel import Cancel
from ..transport.connection import Connection
from ..transport.parts import PARAMS
from ..transport.request import LONG, Request
from ..transport.upload import Forms, OnProgress, StudyFile, no_progress, study_parts
from ..transport.wish import wish_fields, wish_parts


class Explanations:
    """Asks for answers with the heat maps of all findings; raises VptctError, see ``Connection.json``.

    They wait for their turn on the server; cancelling closes the connection, by which the server stops, too.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def study(
        self, model: str, study: str, cancel: Cancel | None = None, *, anyway: bool = False
    ) -> Explained:
        """Of a study of the server.

        Args:
            model: ``<task>_<network>``.
            study: its id.
            cancel: ends it.
            anyway: also where an answer would be meaningless, which is else refused.

        Raises:
            NotTrainedError: this network was never trained for this task.
        """
        return self._explained(model, {"image": study}, anyway, cancel)

    def upload(
        self, model: str, session: UploadSession, cancel: Cancel | None = None, *, anyway: bool = False
    ) -> Explained:
        """Of an uploaded study. Raises: as ``study``.

        Raises:
            NotThereError: the session has expired, or the server was started anew: upload again.
        """
        return self._explained(model, {"session_id": session.id}, anyway, cancel)

    def file(
        self,
        model: str,
        file: StudyFile,
        *,
        progress: OnProgress = no_progress,
        cancel: Cancel | None = None,
        anyway: bool = False,
    ) -> Explained:
        """Upload one file, of which the server keeps nothing. Raises: as ``Studies.upload``, ``study``."""
        cancel = cancel if cancel is not None else Cancel()
        wishes = wish_parts(explain=True, anyway=anyway)
        forms = Forms([*wishes, *study_parts([file], "file")], progress, cancel)
        request = Request("POST", f"/infer/{model}", form=forms.new, conflict=NotTrainedError, patience=LONG)
        return self._answer(request, cancel)

    def _explained(
        self, model: str, which: Mapping[str, str], anyway: bool, cancel: Cancel | None
    ) -> Explained:
        fields = wish_fields(explain=True, anyway=anyway)
        request = Request(
            "POST", f"/infer/{model}", which, fields=fields, conflict=NotTrainedError, patience=LONG
        )
        return self._answer(request, cancel)

    def _answer(self, request: Request, cancel: Cancel | None) -> Explained:
        parts = self._connection.parts(request, cancel)
        return read_explained(decoded(parts.get(PARAMS, b"")), parts)
