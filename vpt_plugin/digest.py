"""The SHA-256 of a file, whatever its size, and of a text, and UIDs made from a text's."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits; it is read block by block.

    ``hashlib.file_digest`` does this from Python 3.11 on; 3.10 is served, too.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def uid_of(text: str) -> str:
    """A DICOM UID from a text, under the root for UUIDs (PS3.5 B.2); the same text gives the same UID."""
    return f"2.25.{int(text_sha256(text)[:32], 16)}"
