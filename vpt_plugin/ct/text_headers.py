"""The text before the voxels of an NRRD or MHA file, which may name any file of this computer for them.

The libraries that read these headers are lenient: they pass over lines that they do not understand, and look
for the end of the header without a limit. So what is let through here is only what has one meaning: whole
lines, one statement of where the voxels lie, and an end close to the start.
"""

from __future__ import annotations

import re
from pathlib import Path

from vpt_plugin.errors import StudyError, UnreadableStudyError

_MAX_HEADER_BYTES = 1 << 16
_NRRD_END = re.compile(rb"\r?\n\r?\n")
_NRRD_POINTER = re.compile(rb"^(?!#).*data\s*file", re.IGNORECASE | re.MULTILINE)
# An empty value would take in the next line, and a line without a value would be taken into the next.
_META_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9_ ()-]*[=:][ \t]*[^\s\0][^\r\n\0]*\r?")
_META_ANY_POINTER = re.compile(rb"elementdatafile", re.IGNORECASE)
_META_POINTER = re.compile(rb"^ElementDataFile *= *(\S(?:.*\S)?)[ \t]*\r?(?:\n|\Z)", re.MULTILINE)


def refuse_pointer(path: Path, suffix: str, study: str) -> None:
    """Refuse a file whose voxels lie in another one; an ``.mhd`` may name a file beside it.

    Args:
        path: the file.
        suffix: ``.nrrd``, ``.mha`` or ``.mhd``.
        study: the study's name, for messages.

    Raises:
        UnreadableStudyError: a pointer, or a header that does not say plainly that there is none.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    if suffix == ".nrrd":
        _refuse_nrrd_pointer(start, study)
    else:
        _refuse_meta_pointer(start, path, suffix, study)


def _refuse_nrrd_pointer(start: bytes, study: str) -> None:
    header, *rest = _NRRD_END.split(start, maxsplit=1)
    if _NRRD_POINTER.search(header):
        raise _elsewhere(study)
    # A carriage return alone ends a line for some readers and not for others.
    if not rest or b"\r" in header.replace(b"\r\n", b"\n") or b"\0" in header:
        raise _unclear(study)


def _refuse_meta_pointer(start: bytes, path: Path, suffix: str, study: str) -> None:
    pointer = _META_POINTER.search(start)
    if pointer is None or len(_META_ANY_POINTER.findall(start)) != 1:
        raise _unclear(study)
    if not all(_META_LINE.fullmatch(line) for line in start[: pointer.start()].split(b"\n")[:-1]):
        raise _unclear(study)
    if pointer[1] == b"LOCAL":
        return
    beside = path.parent / pointer[1].decode("utf-8", errors="replace")
    if not (suffix == ".mhd" and beside.parent == path.parent and beside.is_file()):
        raise _elsewhere(study)


def _elsewhere(study: str) -> StudyError:
    return UnreadableStudyError(
        study, "its voxels lie in another file.", "Save the study as one file (.nrrd, .mha or .nii.gz)."
    )


def _unclear(study: str) -> StudyError:
    return UnreadableStudyError(
        study,
        "the file is cut short or damaged: its header does not say plainly where its voxels are.",
        "Copy or export it again, as one file (.nrrd, .mha or .nii.gz).",
    )
