"""ServerVolumes: the volumes of the scene that are studies of the server, and bringing another one there."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import slicer

from ..client import Client
from ..contract.worklist import HeldStudy
from ..errors import UnexpectedError, VptctError
from ..jobs import OnProgress, Work
from ..scene.load import ReadStudy, add_study, read_files
from ..scene.nodes import nodes_of_class, others_need, volume_of
from ..scene.origin import is_download, mark_download, mark_origin, origin_of
from ..scene.results import forget_results
from ..scene.unpack import ready_to_load
from ..scene.volume_watch import can_be_read
from ..ticker import Ticker, Timer
from ..transport.upload import no_progress
from .downloads import Download, Downloads, Fetched
from .held import Held
from .server_link import ServerLink
from .study_on_screen import StudyOnScreen

_log = logging.getLogger(__name__)
# So that the window says what it does before it is busy with the file.
_A_MOMENT_SECONDS = 0.05


@dataclass(frozen=True)
class Brought:
    """A study that was fetched.

    Attributes:
        read: its voxels; None where it is in the scene already.
        extended: its lease; None where it was given just now.
        label_version: its newest label's, 0 for none; None where it was given just now.
    """

    read: ReadStudy | None
    extended: HeldStudy | None
    label_version: int | None


class ServerVolumes:
    """Finds them, brings them, removes them.

    Args:
        server: that they are of.
        screen: shows one of them.
        downloads: fetches them.
        ticker: of the main thread.
    """

    def __init__(
        self, server: ServerLink, screen: StudyOnScreen, downloads: Downloads, ticker: Ticker
    ) -> None:
        self._server, self._screen, self._downloads, self._ticker = server, screen, downloads, ticker
        self.changed = screen.changed
        self._scene: slicer.vtkMRMLScene | None = None
        self._download: Download[Brought] | None = None
        self._timer: Timer | None = None

    def use(self, scene: slicer.vtkMRMLScene) -> None:
        """Look at this scene from now on."""
        self._scene = scene

    @property
    def on_screen(self) -> str:
        """The id of the study on screen; "" where that is none of the server's."""
        return self._study_of(self._screen.volume) if self._screen.volume is not None else ""

    @property
    def studies(self) -> frozenset[str]:
        """The ids of all studies of the server that are in the scene, as they came."""
        return frozenset(filter(None, map(self._study_of, self._volumes())))

    def find(self, study: str) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume of a study of the server, as it came; None where it is not in the scene."""
        return next((each for each in self._volumes() if self._study_of(each) == study), None)

    def remove(self, study: str) -> None:
        """Remove a study that was downloaded, with all that belongs to it; the reader's own volumes stay."""
        volumes = [each for each in self._volumes() if self._study_of(each) == study]
        for volume in volumes:
            if is_download(volume) and not others_need(volume):
                self._remove(volume)

    def _remove(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        if self._scene is None:
            return
        forget_results(volume)
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        for node in [each for each in nodes if volume_of(each) is volume]:
            self._scene.RemoveNode(node)
        display, storage = volume.GetDisplayNode(), volume.GetStorageNode()
        for node in (volume, display, storage):
            if node is not None:
                self._scene.RemoveNode(node)

    def bring(
        self,
        client: Client,
        held: Held,
        *,
        is_new: bool,
        done: Callable[[Brought], object],
        failed: Callable[[VptctError], object],
        progress: OnProgress,
        loading: Callable[[], object],
    ) -> None:
        """Fetch a study, unless it is in the scene, and put it on the screen.

        Args:
            client: to the server.
            held: the study.
            is_new: it was given to this reader just now.
            done: it is on the screen.
            failed: it is not.
            progress: bytes so far and in all.
            loading: all of it came, and is put into the scene next.
        """
        is_here = self.find(held.study) is not None

        def fetch(folder: Path, work: Work) -> Brought:
            return _fetch(client, held, folder, work, is_new=is_new, is_here=is_here)

        def arrived(fetched: Fetched[Brought]) -> None:
            loading()
            self._timer = self._ticker.after(_A_MOMENT_SECONDS, lambda: show(fetched))

        def show(fetched: Fetched[Brought]) -> None:
            self._download = None
            error = self._shown(held.study, fetched)
            if error is not None:
                failed(error)
                return
            done(fetched.value)

        self._download = self._downloads.start(fetch, arrived, failed, progress)

    def cancel(self) -> None:
        """End what is on its way; ``failed`` is then called with CancelledError."""
        if self._download is not None:
            self._download.cancel()

    def drop(self) -> None:
        """End what is on its way and hear no more of it."""
        if self._timer is not None:
            self._timer.stop()
        if self._download is not None:
            self._download.drop()
        self._download = self._timer = None

    def _shown(self, study: str, fetched: Fetched[Brought]) -> VptctError | None:
        """Put a study on the screen, and remove its files; what went wrong, or None."""
        try:
            self._show(study, fetched.value)
        except VptctError as known:
            return known
        except Exception as unknown:
            # Of our own making: the reader must not wait for this study for ever.
            _log.exception("a study cannot be shown")
            return UnexpectedError(unknown)
        finally:
            fetched.close()
        return None

    def _show(self, study: str, brought: Brought) -> None:
        volume = self.find(study)
        if volume is None and brought.read is not None and self._scene is not None:
            volume = add_study(self._scene, brought.read, name=study)
            mark_origin(volume, server=self._server.address, study=study, server_id=self._server_id)
            mark_download(volume)
        self._screen.select(volume)

    def _volumes(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        return nodes_of_class(self._scene, "vtkMRMLScalarVolumeNode") if self._scene is not None else []

    def _study_of(self, volume: slicer.vtkMRMLScalarVolumeNode) -> str:
        if not can_be_read(volume):
            return ""
        origin = origin_of(volume, lambda uid: "")
        return origin.study if origin.is_from(self._server.address, self._server_id) else ""

    @property
    def _server_id(self) -> str:
        return self._server.info.server_id if self._server.info is not None else ""


def _fetch(client: Client, held: Held, folder: Path, work: Work, *, is_new: bool, is_here: bool) -> Brought:
    extended, label_version = None, None
    if not is_new:
        extended = client.worklist.extend(held.study, holder=held.holder, cancel=work.cancel)
        label_version = client.labels.history(held.study, held.task, work.cancel).newest_version
    if is_here:
        return Brought(None, extended, label_version)
    file = client.studies.download(held.study, folder, progress=work.progress, cancel=work.cancel)
    files = ready_to_load(file, progress=no_progress, cancel=work.cancel)
    return Brought(read_files(files), extended, label_version)
