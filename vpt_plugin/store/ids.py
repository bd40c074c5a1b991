"""Study ids: stable, readable and safe names, derived from where a study lies below its folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

MAX_LENGTH = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_LENGTH - 1}}}(?<!\.)")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_JOINT = "--"
# Where one stem comes in several formats (a/, a.nii.gz, a.nrrd), the first of these is called just "a".
_FORMATS = ("", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def is_study_id(text: str) -> bool:
    """Whether the text has the form of a study id: letters, digits, ``.``, ``_`` and ``-``, no path in it."""
    return _ID.fullmatch(text) is not None


def study_ids(relative_paths: Iterable[PurePath]) -> Mapping[str, PurePath]:
    """An id for every study, by id in sorted order.

    The id is the path without its extension, folders joined by ``--``: ``p01/ct.nii.gz`` is ``p01--ct``. It
    depends on nothing but the study's own path, so that it stays when other studies come and go; only where
    one stem comes in several formats, all but the first of them keep their extension: ``ct.nrrd``. A path
    that does not fit into an id gets the beginning of its SHA-256 at the end.

    Args:
        relative_paths: of studies, files or folders, below one common folder; each once.
    """
    claimed: dict[str, PurePath] = {}
    for path in sorted(relative_paths, key=lambda path: (_rank(path), path.as_posix())):
        stem, extension = split_extension(path.as_posix())
        choices = (_id(stem), _id(stem + extension), _hashed(path.as_posix(), digits=32))
        claimed[next(choice for choice in choices if choice not in claimed)] = path
    return dict(sorted(claimed.items()))


def split_extension(name: str) -> tuple[str, str]:
    """A name without the extension of a study file, and that extension (``.nii.gz`` is one)."""
    extension = next((each for each in _FORMATS[1:] if name.lower().endswith(each)), "")
    return (name[: -len(extension)], name[-len(extension) :]) if extension else (name, "")


def _rank(path: PurePath) -> int:
    return _FORMATS.index(split_extension(path.name)[1].lower())


def _id(relative: str) -> str:
    """The path as an id; with a hash where letters are replaced, lest two paths become one id."""
    parts = relative.split("/")
    plain = _JOINT.join(parts)
    fits = is_study_id(plain) and not any(_JOINT in part for part in parts)
    return plain if fits else _hashed(relative, digits=8)


def _hashed(relative: str, *, digits: int) -> str:
    digest = hashlib.sha256(relative.encode("utf-8", "surrogateescape")).hexdigest()[:digits]
    readable = _UNSAFE.sub("-", relative.replace("/", _JOINT)).strip(".-_")[: MAX_LENGTH - 1 - digits]
    return f"{readable}-{digest}" if readable else digest
