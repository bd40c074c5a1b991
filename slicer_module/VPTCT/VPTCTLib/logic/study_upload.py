"""StudyUpload: writes a volume as a file and uploads it, in one call of a worker; no file stays."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import slicer

from ..client import Client
from ..contract.info import StudyNeeds, Uploads
from ..contract.login import UploadSession
from ..contract.result import Result
from ..errors import LocalFileError, TooLargeError
from ..i18n import tr as _
from ..jobs import Work
from ..scene.export import VolumeSnapshot, write_study
from ..scene.geometry import geometry_of
from ..settings import UPLOAD_WHOLE
from .questions import check_server

# Of chests; noise makes it more, air less.
_BYTES_PER_PIXEL = 1.0


@dataclass
class StudyUpload:
    """The call for one upload.

    Attributes:
        client: to the server.
        server_id: of the one that is meant.
        taken: the volume.
        needs: the form that the server asks for; None for whole.
        uploads: what the server says that they may be; None where it does not tell.
        model: that is to answer at once, where the server keeps no uploads.
        scratch_folder: where the file lies meanwhile.
        upload_bytes: how many there are, as soon as that is known.
    """

    client: Client
    server_id: str
    taken: VolumeSnapshot
    needs: StudyNeeds | None
    uploads: Uploads | None
    model: str
    scratch_folder: Path
    upload_bytes: int | None = None

    @property
    def keeps_session(self) -> bool:
        """Whether the server keeps the upload; if not, it answers in the same request."""
        return self.uploads is None or self.uploads.sessions

    def __call__(self, work: Work) -> UploadSession | Result:
        """Do it; in a worker."""

        def sent(done: int, total: int) -> None:
            # Before the progress that has it: by this number the main thread tells slices from bytes.
            self.upload_bytes = total
            work.progress(done, total)

        with _folder_in(self.scratch_folder) as folder:
            file = write_study(
                self.taken, self.needs, Path(folder), progress=work.progress, cancel=work.cancel
            )
            self._check_size(file.stat().st_size)
            check_server(self.client, self.server_id, work.cancel)
            studies = self.client.studies
            if self.keeps_session:
                return studies.upload([file], progress=sent, cancel=work.cancel)
            return studies.classify_file(self.model, file, progress=sent, cancel=work.cancel)

    def _check_size(self, size_bytes: int) -> None:
        """What the server would refuse at the end is not uploaded at all."""
        if self.uploads is None or size_bytes <= self.uploads.max_bytes:
            return
        hint = _("Crop the volume to the chest, or ask who runs the server to raise its limit.")
        if self.needs is None:
            hint = _('Switch off "{setting}" in the settings: the task needs less.').format(
                setting=UPLOAD_WHOLE.title
            )
        raise TooLargeError(
            _("the study takes {n} MB, and this server takes up to {most} MB.").format(
                n=megabytes(size_bytes), most=megabytes(self.uploads.max_bytes)
            ),
            hint,
        )


def upload_in_words(volume: slicer.vtkMRMLScalarVolumeNode, needs: StudyNeeds | None) -> str:
    """What of a volume that can be read leaves this computer, for the reader.

    Args:
        volume: to be uploaded.
        needs: the form that the server asks for; None for whole.
    """
    slices, rows, columns = geometry_of(volume).shape
    pixels = rows * columns if needs is None or needs.pixels is None else min(rows * columns, needs.pixels**2)
    megabytes = slices * pixels * _BYTES_PER_PIXEL / 1e6
    return _("about {n} MB, no names").format(n=max(1, round(megabytes)))


def megabytes(size_bytes: int) -> str:
    """A number of bytes in MB: whole ones, but for small files."""
    return f"{size_bytes / 1e6:.0f}" if size_bytes >= 10e6 else f"{size_bytes / 1e6:.1f}"


def _folder_in(scratch_folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=scratch_folder)
    except OSError as error:
        raise LocalFileError(
            _("{folder} cannot be written: {error}.").format(folder=scratch_folder, error=error),
            _("Look at the disk of this computer, and try again."),
        ) from error
