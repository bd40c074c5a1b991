"""PreparedStudies: every study read, resized and windowed once, and kept for all later epochs and trainings.

A prepared study is an entry (``vpt_plugin.data.prepared_entry``) with the levels of one HU window, uint8,
memory-mapped when it is used. Beside it lies, where there is room, its master in Hounsfield units
(``vpt_plugin.data.prepared_masters``), from which the levels of another task's window are made without
reading the study again. What was used least recently leaves when the folder becomes too large, masters first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import window_hu
from vpt_plugin.ct.reduced import ReducedStudy, read_reduced, reduce_volume
from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.prepared_entry import (
    DAMAGE,
    AboutStudy,
    Entry,
    map_voxels,
    read_entry,
    remove_entry,
    write_entry,
)
from vpt_plugin.data.prepared_masters import Masters
from vpt_plugin.data.prepared_room import PreparedRoom
from vpt_plugin.data.study_files import file_names, file_places
from vpt_plugin.tasks import HUWindow

# To be raised when reading or preparing changes what comes out; older prepared studies are then not used.
PREPARATION_VERSION = 5
DEFAULT_LIMIT_GB = 50.0

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# The first bytes of a file of NumPy: a magic word, two bytes of version, and how long the header is.
_MAGIC, _LENGTH_ENDS = b"\x93NUMPY\x01\x00", 10


@dataclass(frozen=True)
class PreparedStudy:
    """What training needs of one study.

    Attributes:
        file: of the slices.
        slice_z_mm: patient z of the centre of every slice, ascending.
        facts: of the volume as it was read.
        patient: ``patient_key`` of the PatientID, or "" where there is none.
        synthetic: its files say that it is a phantom.
        header: what its series says of how it was taken; None where it says nothing, or that was not kept.
        note: what a person should know of its copy here; "" where all is well.
    """

    file: Path
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    patient: str = ""
    synthetic: bool = False
    header: StudyHeader | None = None
    note: str = field(default="", compare=False)

    @classmethod
    def of(cls, entry: Entry) -> PreparedStudy:
        """The study of an entry of the cache."""
        about = entry.about
        return cls(entry.file, about.slice_z_mm, about.facts, about.patient, about.synthetic, about.header)

    @property
    def slices(self) -> NDArray[np.uint8]:
        """(slices, pixels, pixels), the HU window as [0, 255]; memory-mapped, read-only.

        Opened anew at every use, for every open map counts against the limit of open files, and a training
        may have thousands of studies.
        """
        return np.asarray(map_voxels(self.file), dtype=np.uint8)

    def clip(self, start: int, length: int) -> NDArray[np.uint8]:
        """A copy of some slices, (slices, pixels, pixels); fewer than ``length`` where the study ends.

        Read at one go, which is twice as fast as through a map of the file, and five times where the disk has
        to be asked: a map is faulted in page by page.

        Raises:
            FileNotFoundError: the entry is gone.
            EOFError, ValueError: its file is not as long as it was, or no such file any more.
        """
        slices = max(0, min(length, len(self.slice_z_mm) - start))
        with self.file.open("rb", buffering=0) as file:
            head = file.read(_LENGTH_ENDS)
            if not head.startswith(_MAGIC):
                raise ValueError(f"{self.file} does not begin as np.save writes it")
            offset = _LENGTH_ENDS + int.from_bytes(head[len(_MAGIC) :], "little")
            size = os.fstat(file.fileno()).st_size - offset
            pixels = math.isqrt(size // len(self.slice_z_mm))
            if len(self.slice_z_mm) * pixels * pixels != size:
                raise EOFError(f"{self.file} is not as long as it was")
            clip = np.empty((slices, pixels, pixels), dtype=np.uint8)
            file.seek(offset + start * pixels * pixels)
            if file.readinto(clip.data) != clip.nbytes:
                raise EOFError(f"{self.file} is not as long as it was")
        return clip


class PreparedStudies:
    """A folder of prepared studies, for one HU window and one size of slices; several threads may ask.

    The checksum of every study is looked at once, when it is asked for first. What was asked for is not
    evicted before the end of the ``with`` block, or ``release``, or the end of this process.

    Args:
        folder: where they are kept; may hold those of other windows and sizes too.
        window: the task's.
        pixels: side of the slices after resizing.
        read: how a study is read; None reads it with ``read_reduced``.
        limit_gb: how large the folder may become, in 10^9 bytes.
        masters: whether a study that is read is kept in Hounsfield units, too, as long as there is room.
    """

    def __init__(
        self,
        folder: Path,
        window: HUWindow,
        *,
        pixels: int,
        read: Callable[..., Volume] | None = None,
        limit_gb: float = DEFAULT_LIMIT_GB,
        masters: bool = True,
    ) -> None:
        self._folder = folder
        self._window = window
        self._pixels = pixels
        self._reader = read
        self._room = PreparedRoom(folder, limit_gb * 1e9)
        self._masters = Masters(folder, self._room, kept=masters)
        self._checked: set[str] = set()
        self._damage: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> PreparedStudies:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __iter__(self) -> Iterator[PreparedStudy]:
        """Every prepared study of this window and size that is here, whatever asked for it; damaged ones not.

        Nothing is claimed, and no checksum looked at.
        """
        for place in sorted(self._folder.glob("[!.]*")):
            try:
                entry = read_entry(place, whole=False)
            except (*DAMAGE, NotADirectoryError):
                continue
            if entry.window == self._window and entry.voxels.shape[1] == self._pixels:
                yield PreparedStudy.of(entry)

    def find(self, identity: str, *, make: bool = True) -> PreparedStudy | None:
        """A study that was prepared before, known without its files; None where it has to be read.

        Args:
            identity: what the study is.
            make: it, where another task left its master; else nothing is written.

        Raises:
            OSError: there is no room for it, or the folder is not writable; only where it is made.
        """
        if make:
            return self._prepared([identity], None, None)
        return self._load(self._key([identity], None))

    def find_at(self, path: Path) -> PreparedStudy | None:
        """The study that lies at ``path``, if it was prepared before and has not changed; reads none of it.

        Args:
            path: as of ``get``; for a DICOM folder, its most suitable series.
        """
        return self._load(self._key(file_places(path), None))

    def get(
        self,
        path: Path,
        *,
        name: str | None = None,
        series_uid: str | None = None,
        identity: str = "",
        may_grow: bool = False,
    ) -> PreparedStudy:
        """The study at ``path``, read only if it changed or was never prepared, for this task or another.

        Args:
            path: as ``read_study`` takes it.
            name: of the study, for messages.
            series_uid: which series to take, where there are several.
            identity: what the study is, wherever its files lie; "" where their places and times tell.
            may_grow: besides the identity the names and sizes of the files tell.

        Raises:
            StudyError: the study cannot be read.
            OSError: there is no room for it, or the folder is not writable.
        """
        grown = file_names(path) if may_grow else ()
        parts = [identity, *grown] if identity else file_places(path)
        read = partial(self._read, path, name=name, series_uid=series_uid)
        prepared = self._prepared(parts, series_uid, read)
        assert prepared is not None, "what can be read is prepared"
        return prepared

    def over_limit_gb(self) -> float:
        """How much more than the limit the folder holds, because trainings use so much; 0 for not."""
        return self._room.over_limit_bytes() / 1e9

    def release(self) -> None:
        """Nothing of what was asked for is in use any more."""
        self._room.release()

    def _prepared(
        self, identity: Sequence[str | int], series_uid: str | None, read: Callable[[], ReducedStudy] | None
    ) -> PreparedStudy | None:
        """The prepared study: as it is here, or made of its master, or else read; None where it cannot be."""
        key = self._key(identity, series_uid)
        if (prepared := self._load(key)) is not None:
            return prepared
        master_key = self._key(identity, series_uid, master=True)
        if (master := self._masters.find(master_key)) is not None:
            self._keep(master.about, master.voxels, key)
        elif read is not None:
            study = read()
            self._keep(AboutStudy.of(study), study.hu, key)
            self._masters.keep(master_key, study)
        else:
            return None
        if (prepared := self._load(key)) is None:
            raise OSError(f"{self._folder / key} cannot be read back right after it was written")
        damage = self._damage.pop(key, "")
        if damage:
            return replace(prepared, note=f"its prepared copy was damaged ({damage}) and is made again")
        return prepared

    def _read(self, path: Path, *, name: str | None, series_uid: str | None) -> ReducedStudy:
        if self._reader is None:
            return read_reduced(path, pixels=self._pixels, name=name, series_uid=series_uid)
        return reduce_volume(self._reader(path, name=name, series_uid=series_uid), pixels=self._pixels)

    def _key(self, identity: Sequence[str | int], series_uid: str | None, *, master: bool = False) -> str:
        """Another one when the files, the series, the HU window, the size or the way of preparing changes."""
        window = ("master",) if master else (self._window.centre, self._window.width)
        parts = (PREPARATION_VERSION, *window, self._pixels, series_uid or "", *identity)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _load(self, key: str) -> PreparedStudy | None:
        """The prepared study; None where there is none or it is damaged (then it is removed)."""
        place = self._folder / key
        # Looked at first: what is not there now may be written by another process in the next moment.
        if not place.is_dir():
            return None
        # Before it is looked at: from here on nobody evicts it.
        self._room.claim(key)
        try:
            prepared = PreparedStudy.of(read_entry(place, whole=key not in self._checked))
        except DAMAGE as error:
            # Half of it is there, after a full disk or a power cut, or a disk has lost some of it.
            damage = str(error) or type(error).__name__
        else:
            with self._lock:
                self._checked.add(key)
            return prepared
        # Only here: as long as the error is handled, it holds on to the map of the file, and Windows renames
        # no folder of an open one.
        if place.is_dir():
            with self._lock:
                self._damage[key] = damage
            remove_entry(place)
        return None

    def _keep(self, about: AboutStudy, hu: NDArray[np.int16], key: str) -> None:
        """Write the levels of a study."""
        levels = window_hu(hu, self._window)
        self._room.claim(key)
        self._room.make_for(levels.nbytes)
        while True:
            try:
                return write_entry(self._folder / key, about, levels, self._window)
            except OSError as error:
                # The disk may be smaller than the limit.
                if error.errno not in _FULL_DISK or not self._room.free(levels.nbytes):
                    raise
