"""What is sent to an archive to be stored (STOW-RS, DICOM PS3.18, 10.5), and what its answer says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from vpt_plugin.errors import ArchiveError

_FAILED, _REASON = "00081198", "00081197"


def stored_as(data: bytes) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request that stores one DICOM file."""
    # Made from the file, so that it can hardly occur in it.
    boundary = hashlib.sha256(data).hexdigest()
    body = b"\r\n".join(
        [
            f"--{boundary}".encode(),
            b"Content-Type: application/dicom",
            b"",
            data,
            f"--{boundary}--".encode(),
            b"",
        ]
    )
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    return headers, body


def require_stored(answer: Any, host: str) -> None:
    """Refuse an answer that says that the file was not stored.

    Args:
        answer: the JSON of the archive's answer; None where it sent none.
        host: the archive, as messages name it.

    Raises:
        ArchiveError: with the number by which the archive says why (PS3.7, C), or what it says instead.
    """
    failed = answer.get(_FAILED) if isinstance(answer, Mapping) else None
    rows = failed.get("Value") if isinstance(failed, Mapping) else None
    if not rows:
        return
    raise ArchiveError(
        f"the DICOM archive {host} does not store the file ({_reason(rows)}).",
        "Its own log has the cause.",
    )


def _reason(rows: Any) -> str:
    row = rows[0] if isinstance(rows, list) else rows
    attribute = row.get(_REASON) if isinstance(row, Mapping) else None
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    if not values or not isinstance(values, list):
        return "it does not say why"
    return f"reason {values[0]:#06x}" if isinstance(values[0], int) else f"reason {str(values[0])[:64]}"
