"""Whether the header of an NRRD or MHA file has keys that tell who the patient is, as some exports do."""

from __future__ import annotations

import re
from pathlib import Path

# As much as the reader looks at: a header that goes on behind it is refused there.
_MAX_HEADER_BYTES = 1 << 16
_NRRD_END = re.compile(rb"\r?\n\r?\n")
_META_END = re.compile(rb"^ElementDataFile\b", re.MULTILINE)
_KEY = re.compile(rb"^([^#=:\r\n][^=:\r\n]*)[=:]", re.MULTILINE)
# DICOM's group 0010 is the patient: as tags of ITK and dcm2niix, and by keyword.
_OF_PATIENT = re.compile(
    r"(?<![0-9a-f])0010[|_,][0-9a-f]{4}(?![0-9a-f])|dicom_0010_"
    r"|patient(?:'?s)?[ _.-]*(?:name|id(?![a-z])|birth[ _.-]*date)",
    re.IGNORECASE,
)
_SHOWN_CHARACTERS = 60


def patient_key(path: Path, suffix: str) -> str:
    """The first key of the header that tells of the patient; "" where there is none, and for a NIfTI.

    Args:
        path: the file.
        suffix: its kind, as ``ct.files.file_suffix`` has it.

    Raises:
        OSError: the file cannot be read.
    """
    if suffix not in (".nrrd", ".mha"):
        return ""
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    header = (_NRRD_END if suffix == ".nrrd" else _META_END).split(start, maxsplit=1)[0]
    keys = (found[1].decode("utf-8", errors="replace").strip() for found in _KEY.finditer(header))
    return next((key[:_SHOWN_CHARACTERS] for key in keys if _OF_PATIENT.search(key)), "")
