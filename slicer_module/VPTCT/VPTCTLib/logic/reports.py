"""ReportReader: fetches the report of a version, one page of HTML, to be opened in a browser."""

from __future__ import annotations

from pathlib import Path

from ..errors import LocalFileError, VptctError
from ..jobs import Jobs, Work
from ..signal import Signal
from .choice import Choice
from .messages import Messages
from .server_link import ServerLink

ABOUT = "report"


class ReportReader:
    """Fetches reports.

    Args:
        server: that has them.
        choice: of the network.
        jobs: for requests.
        messages: for what went wrong.
        folder: for the page; emptied when the module ends.

    Attributes:
        ready: a report is on this computer, with its path.
    """

    def __init__(
        self, server: ServerLink, choice: Choice, jobs: Jobs, messages: Messages, folder: Path
    ) -> None:
        self._server, self._choice, self._jobs, self._messages = server, choice, jobs, messages
        self._folder = folder
        self.ready = Signal()

    def read(self, version: int) -> None:
        """Fetch the report of a version of the chosen network."""
        client, model = self._server.client, self._choice.model
        if client is None or model is None:
            return
        name, path = model.name, self._folder / f"{model.name}-version-{version}.html"

        def fetch(work: Work) -> Path:
            content = client.versions.report(name, version, work.cancel)
            try:
                path.write_bytes(content)
            except OSError as error:
                raise LocalFileError(f"the report cannot be written: {error}.") from error
            return path

        def failed(error: VptctError) -> None:
            self._messages.tell_error(error, about=ABOUT)
            self._server.report(error)

        self._jobs.start(fetch, self.ready.emit, failed)
