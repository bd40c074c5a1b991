"""Asking: in a worker, what a network says of a study, and where in it that comes from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..client import Client
from ..contract.explained import Explained
from ..contract.login import UploadSession
from ..contract.result import Result
from ..errors import LocalFileError
from ..i18n import tr as _
from ..scene.heat_map import Box, ReadMap, read_heat_maps
from ..transport.cancel import Cancel
from ..transport.upload import OnProgress, StudyFile


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        result: what the network says.
        maps: where it sees that, by finding; none where that was not asked.
    """

    result: Result
    maps: tuple[ReadMap, ...] = ()


@dataclass(frozen=True)
class Asking:
    """Asks one network about one volume. Every function raises what ``Studies`` or ``Explanations`` does.

    Attributes:
        client: to the server.
        model: that answers.
        explain_over: the box of the volume, where heat maps are wanted; None where they are not.
        scratch_folder: for files meanwhile.
        anyway: also where an answer would be meaningless.
    """

    client: Client
    model: str
    explain_over: Box | None
    scratch_folder: Path
    anyway: bool = False

    def study(self, study: str, cancel: Cancel) -> Answer:
        """About a study of the server."""
        client, anyway = self.client, self.anyway
        if self.explain_over is None:
            return Answer(client.studies.classify(self.model, study, cancel, anyway=anyway))
        told = client.explanations.study(self.model, study, cancel, anyway=anyway)
        return self._read(told, self.explain_over, cancel)

    def upload(self, session: UploadSession, cancel: Cancel) -> Answer:
        """About an uploaded study."""
        client, anyway = self.client, self.anyway
        if self.explain_over is None:
            return Answer(client.studies.classify_upload(self.model, session, cancel, anyway=anyway))
        told = client.explanations.upload(self.model, session, cancel, anyway=anyway)
        return self._read(told, self.explain_over, cancel)

    def file(self, file: StudyFile, progress: OnProgress, cancel: Cancel) -> Answer:
        """About a file, which goes along."""
        client, anyway = self.client, self.anyway
        if self.explain_over is None:
            return Answer(
                client.studies.classify_file(
                    self.model, file, progress=progress, cancel=cancel, anyway=anyway
                )
            )
        told = client.explanations.file(self.model, file, progress=progress, cancel=cancel, anyway=anyway)
        return self._read(told, self.explain_over, cancel)

    def _read(self, told: Explained, over: Box, cancel: Cancel) -> Answer:
        with folder_in(self.scratch_folder) as folder:
            return Answer(told.result, read_heat_maps(told.maps, Path(folder), over, cancel))


def folder_in(scratch_folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder that goes with its ``with`` block.

    Raises:
        LocalFileError: it cannot be made.
    """
    try:
        return tempfile.TemporaryDirectory(dir=scratch_folder)
    except OSError as error:
        raise LocalFileError(
            _("{folder} cannot be written: {error}.").format(folder=scratch_folder, error=error),
            _("Look at the disk of this computer, and try again."),
        ) from error
