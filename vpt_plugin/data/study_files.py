"""The files that a study is read from, and what tells without reading them that they are still the same."""

from __future__ import annotations

import re
from pathlib import Path

from vpt_plugin.ct.archive import is_archive
from vpt_plugin.ct.reader import is_study_file

_MHD_VOXELS = re.compile(rb"^ElementDataFile *= *(\S.*?)\s*$", re.MULTILINE)
_MHD_HEADER_BYTES = 1 << 16


def file_places(path: Path) -> list[str | int]:
    """Place, size and time of change of all the study's files; their bytes are not read.

    A link stands for what it leads to.
    """
    path = path.resolve()
    # One DICOM file stands for its series: two of one folder may be of two.
    places: list[str | int] = [] if path.is_dir() else [str(path)]
    for file in _files(path):
        status = file.stat()
        own = file.resolve() if file.is_symlink() else file
        places += [str(own), status.st_size, status.st_mtime_ns]
    return places


def file_names(path: Path) -> list[str | int]:
    """Name and size of all the study's files."""
    return [fact for file in _files(path) for fact in (file.name, file.stat().st_size)]


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
