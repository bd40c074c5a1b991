"""From what a user names, a folder or a file, to a Volume in Hounsfield units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vpt_plugin.ct.archive import FULL_DISK, is_archive, unpack
from vpt_plugin.ct.dicom import FoundSeries, find_by_file, find_in_folder, read_found
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
    with find_study(path, name=name, series_uid=series_uid) as found:
        return whole_volume(found)


@contextmanager
def find_study(
    path: Path, *, name: str | None = None, series_uid: str | None = None
) -> Iterator[FoundSeries | Volume]:
    """What ``read_study`` reads, before it is whole: a DICOM series whose pixels are still to be read within
    the ``with`` block, or the volume of another format as stored.

    Raises:
        StudyError, OSError: as ``read_study``, for what happens in the block, too.
    """
    study = name or path.name
    try:
        if not path.exists():
            raise StudyNotFoundError(study, f"there is no {path}.", "Check the path.")
        if is_archive(path) and not path.is_dir():
            with TemporaryDirectory(prefix="vptct-") as folder:
                unpack(path, Path(folder), study=study)
                yield find_in_folder(Path(folder), study, series_uid)
        else:
            yield _find(path, study, series_uid)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise  # no fault of the study: what it is unpacked to has no room
        raise UnreadableStudyError(study, f"cannot be read: {error}.") from error


def whole_volume(found: FoundSeries | Volume) -> Volume:
    """What ``find_study`` found as ``read_study`` gives it.

    Raises:
        StudyError: as ``read_study``, for all that voxels and their number tell.
    """
    volume = canonical(read_found(found) if isinstance(found, FoundSeries) else found)
    if volume.slices < MIN_SLICES:
        raise TooFewSlicesError(
            volume.study,
            f"it has {volume.slices} of the at least {MIN_SLICES} slices of a volume.",
            "Give the whole study.",
        )
    require_hounsfield(volume.hu, volume.study)
    return volume


def _find(path: Path, study: str, series_uid: str | None) -> FoundSeries | Volume:
    if path.is_dir():
        return find_in_folder(path, study, series_uid)
    if file_suffix(path) in KINDS:
        return read_file(path, study)
    if file_suffix(path) == PACKED:
        return read_packed(path, study)
    return find_by_file(path, study, series_uid)
