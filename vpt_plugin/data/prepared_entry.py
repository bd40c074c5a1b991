"""One entry of the training cache: a folder with the voxels of a study and what is known of it.

::

    slices.npy    uint8 levels of one HU window, or int16 Hounsfield units; memory-mapped when they are used
    study.json    what is known of the study, and the checksum of the voxels

It is written beside its place and renamed, so it is there whole or not at all, and two processes may write
the same one at once.
"""

from __future__ import annotations

import io
import json
import shutil
import threading
import uuid
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.data.splits import patient_key
from vpt_plugin.durable import publish_folder
from vpt_plugin.tasks import HUWindow

SLICES, STUDY = "slices.npy", "study.json"
# What reading an entry raises that is damaged, after a full disk or a power cut; or that is gone.
DAMAGE = (FileNotFoundError, ValueError, TypeError, KeyError, EOFError)
# NumPy reads a header with ast.literal_eval, and studies are prepared by several threads: in Python 3.11 one
# that parses while another does gets, seldom, a SystemError (python/cpython#106905).
_ONE_HEADER = threading.Lock()


@dataclass(frozen=True)
class AboutStudy:
    """What an entry knows of its study.

    Attributes:
        study: its name when it was read.
        slice_z_mm: patient z of the centre of every slice, ascending.
        facts: of the volume as it was read.
        patient: ``patient_key`` of the PatientID, or "" where there is none.
        synthetic: its files say that it is a phantom.
        header: what its series says of how it was taken; None where it says nothing, or that was not kept.
    """

    study: str
    slice_z_mm: NDArray[np.float64]
    facts: StudyFacts
    patient: str
    synthetic: bool
    header: StudyHeader | None = None

    @classmethod
    def of(cls, study: ReducedStudy) -> AboutStudy:
        """What is kept of a study that was just read."""
        patient_id = study.provenance.patient_id
        patient = patient_key(patient_id) if patient_id else ""
        said = study.provenance
        return cls(study.study, study.slice_z_mm, study.facts, patient, said.synthetic, said.header)


@dataclass(frozen=True)
class Entry:
    """An entry that was read and found whole.

    Attributes:
        file: of the voxels.
        about: the study.
        voxels: (slices, pixels, pixels), uint8 or int16; memory-mapped, read-only.
        window: HU window of levels; None where the voxels are Hounsfield units.
    """

    file: Path
    about: AboutStudy
    voxels: NDArray[Any]
    window: HUWindow | None


def write_entry(place: Path, about: AboutStudy, voxels: NDArray[Any], window: HUWindow | None = None) -> None:
    """Write an entry, whole or not at all; where it is there already, it stays.

    Args:
        place: its folder.
        about: the study.
        voxels: (slices, pixels, pixels).
        window: the HU window of levels; None for Hounsfield units.

    Raises:
        OSError: there is no room for it, or the folder is not writable.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.parent / f".writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        data = {
            "study": about.study,
            "slice_z_mm": about.slice_z_mm.tolist(),
            "facts": about.facts.as_dict(),
            "patient": about.patient,
            "synthetic": about.synthetic,
            "header": asdict(about.header) if about.header else None,
            "pixels": voxels.shape[1],
            "hu_window": {"centre": window.centre, "width": window.width} if window else None,
            "crc32": _write_voxels(temporary / SLICES, voxels),
        }
        (temporary / STUDY).write_text(json.dumps(data), encoding="utf-8")
        with suppress(FileExistsError):  # Another process was quicker; what it wrote is the same.
            publish_folder(temporary, place, durable=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_entry(place: Path, *, whole: bool) -> Entry:
    """An entry, if it is sound.

    Args:
        place: its folder.
        whole: read all of it and look whether the checksum is right.

    Raises:
        FileNotFoundError, ValueError, TypeError, KeyError, EOFError: it is damaged, or gone; see ``DAMAGE``.
    """
    data = json.loads((place / STUDY).read_text(encoding="utf-8"))
    z_mm = np.array(data["slice_z_mm"], dtype=np.float64)
    # An older VPTCT kept no header.
    header = StudyHeader(**data["header"]) if data.get("header") else None
    facts = StudyFacts(**data["facts"])
    synthetic = bool(data["synthetic"])
    about = AboutStudy(str(data["study"]), z_mm, facts, str(data["patient"]), synthetic, header)
    window = HUWindow(**data["hu_window"]) if data["hu_window"] else None
    voxels = map_voxels(place / SLICES)
    expected = (len(z_mm), data["pixels"], data["pixels"])
    if voxels.shape != expected:
        raise ValueError(f"it holds {voxels.shape[0]} slices, not {len(z_mm)}")
    if voxels.dtype != (np.uint8 if window else np.int16):
        raise ValueError(f"its voxels are {voxels.dtype}")
    if whole and _checksum(place / SLICES) != data["crc32"]:
        raise ValueError("its checksum is wrong")
    return Entry(place / SLICES, about, voxels, window)


def map_voxels(file: Path) -> NDArray[Any]:
    """The voxels of an entry, memory-mapped, read-only.

    Raises:
        FileNotFoundError, ValueError, EOFError: it is damaged, or gone.
    """
    with _ONE_HEADER:
        return np.asarray(np.load(file, mmap_mode="r"))


def remove_entry(place: Path) -> None:
    """Rename the folder away and delete it there: nobody finds it half deleted, or loses what comes next."""
    away = place.parent / f".damaged-{uuid.uuid4().hex}"
    try:
        place.rename(away)
    except FileNotFoundError:
        return  # another process was quicker
    shutil.rmtree(away, ignore_errors=True)


def _write_voxels(path: Path, voxels: NDArray[Any]) -> int:
    """Write the file as ``np.save`` does; its CRC-32."""
    # Not into the file at once: of a full disk np.save tells no more than how many bytes were written.
    file = io.BytesIO()
    np.save(file, voxels)
    path.write_bytes(file.getbuffer())
    return zlib.crc32(file.getbuffer())


def _checksum(file: Path) -> int:
    return zlib.crc32(np.memmap(file, mode="r").data)
