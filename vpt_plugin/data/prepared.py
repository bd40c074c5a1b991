"""PreparedStudies: every study read, resized and windowed once, and kept for all later epochs and trainings.

A prepared study is a folder of two files: ``slices.npy`` (uint8, memory-mapped when it is used) and
``study.json``. It is written beside its place and renamed, so it is there whole or not at all, and two
processes may prepare the same study at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.archive import is_archive
from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import is_study_file, read_study
from vpt_plugin.ct.statistics import StudyFacts, study_facts
from vpt_plugin.ct.volume import Volume
from vpt_plugin.durable import publish_folder
from vpt_plugin.tasks import HUWindow

# To be raised when reading or preparing changes what comes out; older prepared studies are then not used.
PREPARATION_VERSION = 2

_SLICES, _STUDY = "slices.npy", "study.json"
_MHD_VOXELS = re.compile(rb"^ElementDataFile *= *(\S.*?)\s*$", re.MULTILINE)
_MHD_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class PreparedStudy:
    """What training needs of one study.

    Attributes:
        file: of the slices.
        slice_z_mm: patient z of the centre of every slice, ascending.
        facts: of the volume as it was read.
        patient: a hash of the PatientID, or "" where there is none; two studies of one patient have the same.
    """

    file: Path
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    patient: str = ""

    @property
    def slices(self) -> NDArray[np.uint8]:
        """(slices, pixels, pixels), the HU window as [0, 255]; memory-mapped, read-only.

        Opened anew at every use, for every open map counts against the limit of open files, and a training
        may have thousands of studies.
        """
        return np.asarray(np.load(self.file, mmap_mode="r"), dtype=np.uint8)


class PreparedStudies:
    """A folder of prepared studies, for one HU window and one size of slices.

    Args:
        folder: where they are kept; may hold those of other windows and sizes too.
        window: the task's.
        pixels: side of the slices after resizing.
        read: how a study is read.
    """

    def __init__(
        self,
        folder: Path,
        window: HUWindow,
        *,
        pixels: int,
        read: Callable[..., Volume] = read_study,
    ) -> None:
        self._folder = folder
        self._window = window
        self._pixels = pixels
        self._read = read

    def get(self, path: Path, *, name: str | None = None, series_uid: str | None = None) -> PreparedStudy:
        """The study at ``path``, read only if it changed or was never prepared.

        Args:
            path: as ``read_study`` takes it.
            name: of the study, for messages.
            series_uid: which series to take, where there are several.

        Raises:
            StudyError: the study cannot be read.
        """
        place = self._folder / self._key(path, series_uid)
        if (prepared := _load(place, self._pixels)) is not None:
            return prepared
        volume = self._read(path, name=name, series_uid=series_uid)
        _save(volume, prepare_slices(volume, self._window, pixels=self._pixels), place)
        if (prepared := _load(place, self._pixels)) is None:
            raise OSError(f"{place} cannot be read back right after it was written")
        return prepared

    def _key(self, path: Path, series_uid: str | None) -> str:
        """Another one when the files, the series, the HU window, the size or the way of preparing changes."""
        parts = (
            PREPARATION_VERSION, self._window.centre, self._window.width, self._pixels, series_uid or "",
            *_identity(path),
        )  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _identity(path: Path) -> list[str | int]:
    """The study's place, and name, size and time of change of all its files; their bytes are not read."""
    path = path.resolve()
    identity: list[str | int] = [str(path)]
    for file in _files(path):
        status = file.stat()
        identity += [file.name, status.st_size, status.st_mtime_ns]
    return identity


def _files(path: Path) -> list[Path]:
    """The files that a study is read from."""
    if path.is_file() and path.suffix.lower() == ".mhd":
        return [path, *_mhd_voxels(path)]
    if path.is_file() and (is_archive(path) or is_study_file(path)):
        return [path]
    # One DICOM file stands for the series that lies in its folder.
    folder = path if path.is_dir() else path.parent
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _mhd_voxels(header: Path) -> list[Path]:
    """The file beside an ``.mhd`` header that holds its voxels; none where the header names none."""
    with header.open("rb") as file:
        named = _MHD_VOXELS.search(file.read(_MHD_HEADER_BYTES))
    beside = header.parent / Path(named[1].decode("utf-8", errors="replace")).name if named else header.parent
    return [beside] if beside.is_file() else []


def _save(volume: Volume, slices: NDArray[np.uint8], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.parent / f".writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        np.save(temporary / _SLICES, slices)
        about = {
            "study": volume.study,
            "slice_z_mm": volume.slice_z_mm.tolist(),
            "facts": study_facts(volume).as_dict(),
            "patient": _patient(volume.provenance.patient_id),
        }
        (temporary / _STUDY).write_text(json.dumps(about), encoding="utf-8")
        with suppress(FileExistsError):  # Another process was quicker; what it wrote is the same.
            publish_folder(temporary, place, durable=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _patient(patient_id: str) -> str:
    """Tells patients apart without keeping who they are: the folder of prepared studies is only a cache."""
    return hashlib.sha256(f"vptct.patient/1\n{patient_id}".encode()).hexdigest() if patient_id else ""


def _load(place: Path, pixels: int) -> PreparedStudy | None:
    """The prepared study, or None where there is none or it is damaged (then it is removed)."""
    # Looked at first: what is not there now may be written by another process in the next moment.
    if not place.is_dir():
        return None
    try:
        about = json.loads((place / _STUDY).read_text(encoding="utf-8"))
        z_mm = np.array(about["slice_z_mm"], dtype=np.float64)
        facts, patient = StudyFacts(**about["facts"]), str(about["patient"])
        prepared = PreparedStudy(place / _SLICES, z_mm, facts, patient)
        if prepared.slices.shape == (len(z_mm), pixels, pixels):
            return prepared
    except (FileNotFoundError, ValueError, TypeError, KeyError, EOFError):
        # Half of it is there, after a full disk or a power cut: it is prepared again.
        pass
    _remove(place)
    return None


def _remove(place: Path) -> None:
    """Rename the folder away and delete it there: nobody finds it half deleted, or loses what comes next."""
    away = place.parent / f".damaged-{uuid.uuid4().hex}"
    try:
        place.rename(away)
    except FileNotFoundError:
        return  # another process was quicker
    shutil.rmtree(away, ignore_errors=True)
