"""From what a user names, a folder or a file, to a Volume in Hounsfield units."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from vpt_plugin.ct.archive import FULL_DISK, is_archive, unpack
from vpt_plugin.ct.dicom import read_dicom_file, read_dicom_folder
from vpt_plugin.ct.files import KINDS, file_suffix, read_file
from vpt_plugin.ct.hounsfield import require_hounsfield
from vpt_plugin.ct.packed import SUFFIX as PACKED
from vpt_plugin.ct.packed import read_packed
from vpt_plugin.ct.stacking import MIN_SLICES
from vpt_plugin.ct.volume import Volume, canonical
from vpt_plugin.errors import (
    StudyNotFoundError,
    TooFewSlicesError,
    UnreadableStudyError,
)


def is_study_file(path: Path) -> bool:
    """Whether the file's name is that of a study in one file: NIfTI, NRRD, MHA."""
    return file_suffix(path) in KINDS


def read_study(path: Path, *, name: str | None = None, series_uid: str | None = None) -> Volume:
    """Read a chest CT in the canonical orientation; nothing is resampled.

    Args:
        path: a DICOM folder (nested, with whatever else in it), one DICOM file of a series (the files
            beside it are read too), a NIfTI, NRRD or MHA file, a DICOM folder packed as .zip, .tar,
            .tar.gz or .tgz, or what a client packed for an upload (.vptct).
        name: the study's name in messages; the path's own name by default.
        series_uid: which DICOM series to read; by default ``vpt_plugin.ct.series.choose_series`` decides,
            and ``provenance.notes`` say what was chosen and what was left out.

    Raises:
        StudyError: the subclass says what is wrong: ``StudyNotFoundError``, ``UnreadableStudyError``,
            ``StudyTooLargeError``, ``NotCTError``, ``NotHounsfieldError``, ``GeometryError``,
            ``TooFewSlicesError``.
        OSError: the disk that an archive is unpacked to is full.
    """
    study = name or path.name
    try:
        if not path.exists():
            raise StudyNotFoundError(study, f"there is no {path}.", "Check the path.")
        volume = canonical(_read(path, study, series_uid))
    except OSError as error:
        if error.errno in FULL_DISK:
            raise  # no fault of the study: what it is unpacked to has no room
        raise UnreadableStudyError(study, f"cannot be read: {error}.") from error
    if volume.slices < MIN_SLICES:
        raise TooFewSlicesError(
            study,
            f"it has {volume.slices} of the at least {MIN_SLICES} slices of a volume.",
            "Give the whole study.",
        )
    require_hounsfield(volume.hu, study)
    return volume


def _read(path: Path, study: str, series_uid: str | None) -> Volume:
    if path.is_dir():
        return read_dicom_folder(path, study, series_uid)
    if is_archive(path):
        return _read_archive(path, study, series_uid)
    if file_suffix(path) in KINDS:
        return read_file(path, study)
    if file_suffix(path) == PACKED:
        return read_packed(path, study)
    return read_dicom_file(path, study, series_uid)


def _read_archive(path: Path, study: str, series_uid: str | None) -> Volume:
    with TemporaryDirectory(prefix="vptct-") as folder:
        unpack(path, Path(folder), study=study)
        return read_dicom_folder(Path(folder), study, series_uid)
