"""PreparedStudies: every study read, resized and windowed once, and kept for all later epochs and trainings.

A prepared study is a folder of two files: ``slices.npy`` (uint8, memory-mapped when it is used) and
``study.json`` with its checksum. It is written beside its place and renamed, so it is there whole or not at
all, and two processes may prepare the same study at once. What was used least recently leaves when the folder
becomes too large.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.statistics import StudyFacts, study_facts
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.prepared_room import PreparedRoom
from vpt_plugin.data.splits import patient_key
from vpt_plugin.data.study_files import file_names, file_places
from vpt_plugin.durable import publish_folder
from vpt_plugin.tasks import HUWindow

# To be raised when reading or preparing changes what comes out; older prepared studies are then not used.
PREPARATION_VERSION = 4
DEFAULT_LIMIT_GB = 50.0

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_SLICES, _STUDY = "slices.npy", "study.json"
# NumPy reads a header with ast.literal_eval, and studies are prepared by several threads: in Python 3.11 one
# that parses while another does gets, seldom, a SystemError (python/cpython#106905).
_ONE_HEADER = threading.Lock()


@dataclass(frozen=True)
class PreparedStudy:
    """What training needs of one study.

    Attributes:
        file: of the slices.
        slice_z_mm: patient z of the centre of every slice, ascending.
        facts: of the volume as it was read.
        patient: ``patient_key`` of the PatientID, or "" where there is none.
        synthetic: its files say that it is a phantom.
        note: what a person should know of its copy here; "" where all is well.
    """

    file: Path
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    patient: str = ""
    synthetic: bool = False
    note: str = field(default="", compare=False)

    @property
    def slices(self) -> NDArray[np.uint8]:
        """(slices, pixels, pixels), the HU window as [0, 255]; memory-mapped, read-only.

        Opened anew at every use, for every open map counts against the limit of open files, and a training
        may have thousands of studies.
        """
        with _ONE_HEADER:
            return np.asarray(np.load(self.file, mmap_mode="r"), dtype=np.uint8)


class PreparedStudies:
    """A folder of prepared studies, for one HU window and one size of slices; several threads may ask.

    The checksum of every study is looked at once, when it is asked for first. What was asked for is not
    evicted before the end of the ``with`` block, or ``release``, or the end of this process.

    Args:
        folder: where they are kept; may hold those of other windows and sizes too.
        window: the task's.
        pixels: side of the slices after resizing.
        read: how a study is read.
        limit_gb: how large the folder may become, in 10^9 bytes.
    """

    def __init__(
        self,
        folder: Path,
        window: HUWindow,
        *,
        pixels: int,
        read: Callable[..., Volume] = read_study,
        limit_gb: float = DEFAULT_LIMIT_GB,
    ) -> None:
        self._folder = folder
        self._window = window
        self._pixels = pixels
        self._read = read
        self._room = PreparedRoom(folder, limit_gb * 1e9)
        self._checked: set[str] = set()
        self._damage: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> PreparedStudies:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def find(self, identity: str) -> PreparedStudy | None:
        """A study that was prepared before, known without its files; None where it has to be read.

        Args:
            identity: what the study is.
        """
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
        """The study at ``path``, read only if it changed or was never prepared.

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
        if identity:
            key = self._key([identity, *(file_names(path) if may_grow else ())], series_uid)
        else:
            key = self._key(file_places(path), series_uid)
        if (prepared := self._load(key)) is not None:
            return prepared
        volume = self._read(path, name=name, series_uid=series_uid)
        self._keep(volume, prepare_slices(volume, self._window, pixels=self._pixels), self._folder / key)
        if (prepared := self._load(key)) is None:
            raise OSError(f"{self._folder / key} cannot be read back right after it was written")
        damage = self._damage.pop(key, "")
        if damage:
            return replace(prepared, note=f"its prepared copy was damaged ({damage}) and is made again")
        return prepared

    def over_limit_gb(self) -> float:
        """How much more than the limit the folder holds, because trainings use so much; 0 for not."""
        return self._room.over_limit_bytes() / 1e9

    def release(self) -> None:
        """Nothing of what was asked for is in use any more."""
        self._room.release()

    def _key(self, identity: Sequence[str | int], series_uid: str | None) -> str:
        """Another one when the files, the series, the HU window, the size or the way of preparing changes."""
        parts = (
            PREPARATION_VERSION, self._window.centre, self._window.width, self._pixels, series_uid or "",
            *identity,
        )  # fmt: skip
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
            prepared = _read_prepared(place, self._pixels, whole=key not in self._checked)
        except (FileNotFoundError, ValueError, TypeError, KeyError, EOFError) as error:
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
            _remove(place)
        return None

    def _keep(self, volume: Volume, slices: NDArray[np.uint8], place: Path) -> None:
        self._room.claim(place.name)
        self._room.make_for(slices.nbytes)
        while True:
            try:
                return _save(volume, slices, place)
            except OSError as error:
                # The disk may be smaller than the limit.
                if error.errno not in _FULL_DISK or not self._room.free(slices.nbytes):
                    raise


def _save(volume: Volume, slices: NDArray[np.uint8], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.parent / f".writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        checksum = _write_slices(temporary / _SLICES, slices)
        about = {
            "study": volume.study,
            "slice_z_mm": volume.slice_z_mm.tolist(),
            "facts": study_facts(volume).as_dict(),
            "patient": patient_key(volume.provenance.patient_id) if volume.provenance.patient_id else "",
            "synthetic": volume.provenance.synthetic,
            "crc32": checksum,
        }
        (temporary / _STUDY).write_text(json.dumps(about), encoding="utf-8")
        with suppress(FileExistsError):  # Another process was quicker; what it wrote is the same.
            publish_folder(temporary, place, durable=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_slices(path: Path, slices: NDArray[np.uint8]) -> int:
    """Write the file as ``np.save`` does; its CRC-32."""
    # Not into the file at once: of a full disk np.save tells no more than how many bytes were written.
    file = io.BytesIO()
    np.save(file, slices)
    path.write_bytes(file.getbuffer())
    return zlib.crc32(file.getbuffer())


def _read_prepared(place: Path, pixels: int, *, whole: bool) -> PreparedStudy:
    """The prepared study in a folder.

    Args:
        whole: read all of it and look whether the checksum is right.

    Raises:
        FileNotFoundError, ValueError, TypeError, KeyError, EOFError: it is damaged.
    """
    about = json.loads((place / _STUDY).read_text(encoding="utf-8"))
    z_mm = np.array(about["slice_z_mm"], dtype=np.float64)
    facts, patient = StudyFacts(**about["facts"]), str(about["patient"])
    prepared = PreparedStudy(place / _SLICES, z_mm, facts, patient, bool(about["synthetic"]))
    slices = prepared.slices
    if slices.shape != (len(z_mm), pixels, pixels):
        raise ValueError(f"it holds {slices.shape[0]} slices, not {len(z_mm)}")
    if whole and zlib.crc32(prepared.file.read_bytes()) != about["crc32"]:
        raise ValueError("its checksum is wrong")
    return prepared


def _remove(place: Path) -> None:
    """Rename the folder away and delete it there: nobody finds it half deleted, or loses what comes next."""
    away = place.parent / f".damaged-{uuid.uuid4().hex}"
    try:
        place.rename(away)
    except FileNotFoundError:
        return  # another process was quicker
    shutil.rmtree(away, ignore_errors=True)
