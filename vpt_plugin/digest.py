"""The SHA-256 of a file, whatever its size."""

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
