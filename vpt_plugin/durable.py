"""Writing a file so that it is there whole or not at all, stays after a power cut, and replaces nothing."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_new(path: Path, data: bytes) -> None:
    """Write a new file that is on the disk when this returns; readers see all of it or nothing.

    The data goes into a temporary file of the same folder first, which then gets its name by a hard link:
    unlike a renaming, that fails when the name is taken.

    Raises:
        FileExistsError: the name is taken; what is there stays as it is.
        OSError: the disk is full, the folder is not writable.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; they are on the disk when this returns."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk. Windows does that by itself and offers no call for it."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network shares): take the name with an empty file, then replace our
        # own. A reader in between sees a file that is no label yet and passes over it.
        with path.open("xb"):
            pass
        temporary.replace(path)
