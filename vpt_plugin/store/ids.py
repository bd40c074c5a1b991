"""Study ids: stable, readable and safe names, derived from where a study lies below its folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

MAX_LENGTH = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_LENGTH - 1}}}(?<!\.)")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
JOINT = "--"
_HASH_DIGITS = 12


def is_study_id(text: str) -> bool:
    """Whether the text has the form of a study id: letters, digits, ``.``, ``_`` and ``-``, no path in it."""
    return _ID.fullmatch(text) is not None


def study_ids(relative_paths: Iterable[PurePath]) -> Mapping[str, PurePath]:
    """An id for every study, by id in sorted order.

    The id is the path, folders joined by ``--``: ``p01/ct.nii.gz`` is ``p01--ct.nii.gz``. It depends on
    nothing but the study's own path, so that no study that comes or goes can take over another's labels. A
    path that does not fit into an id gets the beginning of its SHA-256 at the end.

    Args:
        relative_paths: of studies, files or folders, below one common folder; each once.
    """
    return dict(sorted((study_id(path.as_posix()), path) for path in relative_paths))


def study_id(relative: str, *, examination: str = "") -> str:
    """The id of the study at one path, ``/`` between its folders; see ``study_ids``.

    A path that does not fit gets a hash, lest two paths become one id.

    Args:
        relative: the path below the studies folder.
        examination: StudyInstanceUID, for a study whose plain id has the labels of another examination that
            lay there before: it gets an id with a hash of both.
    """
    if examination:
        return _hashed(relative, f"{relative}\0{examination}")
    parts = relative.split("/")
    plain = JOINT.join(parts)
    fits = is_study_id(plain) and not any(JOINT in part for part in parts)
    return plain if fits else _hashed(relative, relative)


def _hashed(relative: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    readable = _UNSAFE.sub("-", relative.replace("/", JOINT)).strip(".-_")[: MAX_LENGTH - 1 - _HASH_DIGITS]
    return f"{readable}-{digest}" if readable else digest
