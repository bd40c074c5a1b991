"""StudyUpload: packs a volume and uploads it, in one call of a worker; no file stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import slicer

from ..address import is_this_computer
from ..client import Client
from ..contract.info import StudyNeeds, Uploads
from ..contract.login import UploadSession
from ..errors import TooLargeError
from ..i18n import tr as _
from ..jobs import Work
from ..scene.export import PackedStudy, VolumeSnapshot, write_packed, write_study
from ..scene.geometry import geometry_of
from ..scene.packing import DIFFERENCES, TWELVE_BITS
from ..settings import UPLOAD_WHOLE
from ..transport.upload import StudyFile
from .asking import Answer, Asking, folder_in
from .questions import check_server

# By the form; but for twelve_bits those of chests: noise makes it more, air less.
_BYTES_PER_PIXEL = {TWELVE_BITS: 1.5, DIFFERENCES: 1.0, "": 1.0}
# Beyond, differences take longer to make and to read than the bytes that they spare take on their way.
_FAST_BYTES_PER_SECOND = 50e6


@dataclass
class StudyUpload:
    """The call for one upload.

    Attributes:
        asking: of whom, and what is to be answered at once where the server keeps no uploads.
        server_id: of the one that is meant.
        taken: the volume.
        needs: the form that the server asks for; None for whole.
        uploads: what the server says that they may be; None where it does not tell.
        upload_bytes: how many there are, as soon as that is known.
    """

    asking: Asking
    server_id: str
    taken: VolumeSnapshot
    needs: StudyNeeds | None
    uploads: Uploads | None
    upload_bytes: int | None = None

    @property
    def keeps_session(self) -> bool:
        """Whether the server keeps the upload; if not, it answers in the same request."""
        return self.uploads is None or self.uploads.sessions

    def __call__(self, work: Work) -> UploadSession | Answer:
        """Do it; in a worker."""

        def sent(done: int, total: int) -> None:
            # Before the progress that has it: by this number the main thread tells slices from bytes.
            self.upload_bytes = total
            work.progress(done, total)

        with self._made(work) as file:
            client = self.asking.client
            check_server(client, self.server_id, work.cancel)
            if self.keeps_session:
                return client.studies.upload([file], progress=sent, cancel=work.cancel)
            return self.asking.file(file, sent, work.cancel)

    @contextmanager
    def _made(self, work: Work) -> Iterator[StudyFile]:
        """The study in the form that is sooner there: made while it is sent, or a file until it is sent."""
        form = form_for(self.asking.client, self.uploads)
        if form == TWELVE_BITS:
            packed = PackedStudy(self.taken, self.needs)
            self._check_size(packed.size_bytes)
            yield packed
            return
        write = write_packed if form == DIFFERENCES else write_study
        with folder_in(self.asking.scratch_folder) as folder:
            file = write(self.taken, self.needs, Path(folder), progress=work.progress, cancel=work.cancel)
            self._check_size(file.stat().st_size)
            yield file

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


def form_for(client: Client, uploads: Uploads | None) -> str:
    """How a study is packed for the next upload to a server, see ``form_of_upload``.

    Args:
        client: to the server.
        uploads: what the server says that they may be; None where it does not tell.
    """
    return form_of_upload(
        () if uploads is None else uploads.forms,
        client.studies.link.bytes_per_second,
        nearby=is_this_computer(client.address),
    )


def form_of_upload(offered: Sequence[str], bytes_per_second: float | None, *, nearby: bool) -> str:
    """How a study is packed for an upload.

    Args:
        offered: the forms that the server says it reads, beside files of the usual formats.
        bytes_per_second: of earlier uploads; None before the first.
        nearby: the server is on this computer.

    Returns:
        ``twelve_bits``, ``differences``, or "" for an NRRD file, which any server reads.
    """
    fast = nearby if bytes_per_second is None else bytes_per_second > _FAST_BYTES_PER_SECOND
    wanted = (TWELVE_BITS, DIFFERENCES) if fast else (DIFFERENCES, TWELVE_BITS)
    return next((form for form in wanted if form in offered), "")


def upload_in_words(volume: slicer.vtkMRMLScalarVolumeNode, needs: StudyNeeds | None, form: str) -> str:
    """What of a volume that can be read leaves this computer, for the reader.

    Args:
        volume: to be uploaded.
        needs: the form that the server asks for; None for whole.
        form: how it is packed, as ``form_for`` tells.
    """
    slices, rows, columns = geometry_of(volume).shape
    pixels = rows * columns if needs is None or needs.pixels is None else min(rows * columns, needs.pixels**2)
    megabytes = slices * pixels * _BYTES_PER_PIXEL[form] / 1e6
    return _("about {n} MB, no names").format(n=max(1, round(megabytes)))


def megabytes(size_bytes: int) -> str:
    """A number of bytes in MB: whole ones, but for small files."""
    return f"{size_bytes / 1e6:.0f}" if size_bytes >= 10e6 else f"{size_bytes / 1e6:.1f}"
