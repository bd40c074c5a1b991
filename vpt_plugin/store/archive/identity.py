"""UIDs that may become file names, and whether a DICOM file is the one that was asked for."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pydicom

from vpt_plugin.errors import ArchiveError

# Digits by the standard (PS3.5, 9.1); anonymised files have letters, too. No way out of a folder in either.
_UID = re.compile(r"[0-9A-Za-z]+(\.[0-9A-Za-z]+)*")
_MAX_UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Whether the text is a UID that can safely be a file's name."""
    return len(text) <= _MAX_UID_LENGTH and _UID.fullmatch(text) is not None


def check_identity(data: bytes, series_uid: str, instance_uid: str) -> None:
    """Make sure that a DICOM file is the instance that was asked for.

    Raises:
        ArchiveError: it is another one, or no DICOM file.
    """
    tags = ["SOPInstanceUID", "SeriesInstanceUID"]
    try:
        header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=tags)
        came = [_stored_text(header, tag) for tag in tags]
    except Exception as error:  # a damaged file breaks pydicom anywhere, with any exception
        raise ArchiveError("what came is no DICOM file.") from error
    if came != [instance_uid, series_uid]:
        raise ArchiveError(f"the archive sent another instance: {came[0][:_MAX_UID_LENGTH]!r}.")


def _stored_text(header: Any, tag: str) -> str:
    # As stored: pydicom warns of a UID with letters in it.
    value = header.get_item(tag).value
    text: str = value.decode("ascii") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")
