"""Download: a file of the server as an answer, whose failures are answers of this server, too."""

from __future__ import annotations

import errno

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from vpt_plugin.errors import ArchiveUnreachableError, StudyNotFoundError, VptError

_GONE = (errno.ENOENT, errno.ENOTDIR)


class Download(FileResponse):
    """A file, or the part of it that the request's ``Range`` names.

    Starlette answers a wrong ``Range`` in plain text, and promises a file before it has opened it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file.

        Raises:
            HTTPException: 400 or 416, for a wrong ``Range``.
            StudyNotFoundError, ArchiveUnreachableError: the file cannot be read, and nothing was sent yet.
        """
        answer = _Answer(send)
        try:
            await super().__call__(scope, receive, answer.send)
        except (OSError, RuntimeError) as error:
            # A RuntimeError is what Starlette makes of a file that is not there.
            if answer.begun:
                raise
            cause = error if isinstance(error, OSError) else FileNotFoundError(errno.ENOENT, str(error))
            raise unreadable(self.filename or "the file", cause) from error


def unreadable(study: str, error: OSError) -> VptError:
    """What a client is told of a study that could not be read while it was downloaded."""
    if error.errno in _GONE:
        return StudyNotFoundError(
            study, "it was removed while it was downloaded.", "/datastore/?output=all lists what there is."
        )
    return ArchiveUnreachableError(f"{study}: the server's disk does not hand it out;", "try again later.")


class _Answer:
    """Keeps the first message back until the file gives its first bytes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400:
                raise _wrong_range(message)
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            self.begun = True
            await self._send(start)
        await self._send(message)


def _wrong_range(message: Message) -> HTTPException:
    names = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in message["headers"]}
    headers = {name: value for name, value in names.items() if name == "Content-Range"}
    return HTTPException(message["status"], "the header Range names no part of this file.", headers)
