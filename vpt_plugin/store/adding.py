"""A study that comes from elsewhere becomes one of a folder: whole, on the disk, read once, never twice.

It lies hidden beside the others until it is known to be a chest CT; what cannot be read leaves
nothing. Its name is chosen here and tells the day and its content, nothing of where it came from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

from vpt_plugin.ct.reader import read_study
from vpt_plugin.digest import file_sha256
from vpt_plugin.durable import publish_file
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.store.patient_keys import patient_key

# Of one file, with all that belongs to it: an .mhd needs another one, and DICOM has patients' names.
ADDED_KINDS = (".nii", ".nii.gz", ".nrrd", ".mha")
# Hidden, so that no look at the studies sees what is not whole yet.
_UNFINISHED = ".vptct-upload-{}.tmp"
_SWEPT_AFTER_SECONDS = 3600.0
_CHUNK_BYTES = 1 << 20
_SHOWN_DIGITS = 12


class PatientInHeaderError(ConfigurationError):
    """The header of the file tells who the patient is."""


@dataclass(frozen=True)
class AddedStudy:
    """A study that is in the folder now.

    Attributes:
        path: its file, directly in the folder.
        sha256: of the file.
        new: False where the same file was added before.
    """

    path: Path
    sha256: str
    new: bool


def add_study(root: Path, content: BinaryIO, suffix: str, *, day: date) -> AddedStudy:
    """Add one file to a folder of studies; it is on the disk when this returns. One at a time for a folder.

    The same bytes give the same study again, so that who got no answer may ask once more.

    Args:
        root: the folder.
        content: the file, from its beginning.
        suffix: of ``ADDED_KINDS``.
        day: stands in the name.

    Raises:
        PatientInHeaderError: it has a key of DICOM's patient group; nothing of it stays.
        StudyError: it cannot be read as a chest CT; nothing of it stays.
        OSError: the disk is full, or the folder cannot be written.
    """
    if suffix not in ADDED_KINDS:
        raise ValueError(f"{suffix!r}; choose from {', '.join(ADDED_KINDS)}")
    # In a folder of its own, for the file's ending says what it is.
    unfinished = root / _UNFINISHED.format(uuid.uuid4().hex) / f"study{suffix}"
    unfinished.parent.mkdir()
    try:
        sha256 = _written(content, unfinished)
        _refuse_patient(unfinished, suffix)
        if (known := _same(root, sha256)) is not None:
            return AddedStudy(known, sha256, new=False)
        read_study(unfinished, name="the uploaded study")
        path = _new_name(root, sha256, suffix, day)
        publish_file(unfinished, path)
        return AddedStudy(path, sha256, new=True)
    finally:
        shutil.rmtree(unfinished.parent, ignore_errors=True)


def sweep_unfinished(root: Path, *, older_than_seconds: float = _SWEPT_AFTER_SECONDS) -> list[Path]:
    """Remove what killed servers left of studies that were being added; what was removed."""
    oldest = time.time() - older_than_seconds
    try:
        found = [path for path in root.glob(_UNFINISHED.format("*")) if path.stat().st_mtime < oldest]
    except OSError:
        return []  # The folder is away, or another server sweeps.
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return found


def _refuse_patient(path: Path, suffix: str) -> None:
    if key := patient_key(path, suffix):
        raise PatientInHeaderError(
            f"the header of the file has {key!r}, which tells who the patient is;",
            "save the volume without DICOM's fields and send that, or remove the field from the header.",
        )


def _written(content: BinaryIO, path: Path) -> str:
    """Write the file; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _same(root: Path, sha256: str) -> Path | None:
    """The file that was added with this content; by its name, and then by what is in it."""
    with os.scandir(root) as entries:
        names = [
            each.name
            for each in entries
            if each.name.startswith("upload-") and sha256[:_SHOWN_DIGITS] in each.name
        ]
    return next((root / name for name in sorted(names) if file_sha256(root / name) == sha256), None)


def _new_name(root: Path, sha256: str, suffix: str, day: date) -> Path:
    """``upload-20261121-3f9a0c51d2e7.nrrd``; all digits where another file has these."""
    path = root / f"upload-{day:%Y%m%d}-{sha256[:_SHOWN_DIGITS]}{suffix}"
    return path if not path.exists() else root / f"upload-{day:%Y%m%d}-{sha256}{suffix}"
