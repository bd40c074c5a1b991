"""Files and folders that are there whole or not at all, and stay after a power cut.

Everything is written beside its place under a hidden name first; a reader never sees half of it. What a
killed process leaves behind has a name of ``LEFTOVERS`` and is swept at the next start.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

LEFTOVERS = (".*.tmp", ".unfinished-*", ".writing-*", ".damaged-*")
_NO_SUCH_CALL = (errno.EBADF, errno.EINVAL, errno.ENOTSUP)
# Windows replaces no file while another program reads it: "access denied", "sharing violation".
_OPEN_ELSEWHERE = (5, 32)
_WAITS_FOR_READERS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.3)
_logger = logging.getLogger(__name__)


def write_new(path: Path, data: bytes) -> None:
    """Write a new file that is on the disk when this returns; what is there already is never replaced.

    The data goes into a temporary file of the same folder first, which then gets its name by a hard link:
    unlike a renaming, that fails when the name is taken.

    Raises:
        FileExistsError: the name is taken; what is there stays as it is.
        OSError: the disk is full, the folder is not writable.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, data, durable=True)
        _give_new_name(temporary, path)
    finally:
        _remove(temporary)
    sync_folder(path.parent)


def write_over(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file, in place of the one that is there; readers see all of the old one or all of the new one.

    Args:
        durable: it is on the disk when this returns. A cache that can be made again need not be.

    Raises:
        OSError: the disk is full, the folder is not writable; what was there stays as it is.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, data, durable=durable)
        _replace(temporary, path)
    finally:
        _remove(temporary)
    if durable:
        sync_folder(path.parent)


def append(path: Path, data: bytes) -> None:
    """Add lines to a file; they are on the disk when this returns. One writer at a time: hold a lock.

    What a killed process left unfinished at the end becomes a line of its own first.

    Args:
        path: the file; a new one is made.
        data: whole lines, each with its end.

    Raises:
        OSError: the disk is full, the folder is not writable; then the file is as it was.
    """
    new = not path.exists()
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            data = data if file.read(1) == b"\n" else b"\n" + data
        try:
            while data:
                data = data[file.write(data) :]
            _flush(file.fileno())
        except OSError:
            file.truncate(size)
            raise
    if new:
        sync_folder(path.parent)


def publish_file(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, in place of the one that has it; on the disk when this returns.

    Args:
        unfinished: a closed file on the same disk.

    Raises:
        OSError: the disk is full, the folder is not writable; what was there stays as it is.
    """
    _sync_file(unfinished)
    _replace(unfinished, path)
    sync_folder(path.parent)


def publish_new_file(unfinished: Path, path: Path) -> None:
    """Give a finished file a name that nothing has; on the disk when this returns. The old name may stay.

    Args:
        unfinished: a closed file on the same disk.

    Raises:
        FileExistsError: the name is taken; what is there stays as it is.
        OSError: the disk is full, the folder is not writable.
    """
    _sync_file(unfinished)
    _give_new_name(unfinished, path)
    sync_folder(path.parent)


def publish_folder(unfinished: Path, place: Path, *, durable: bool = True) -> None:
    """Give a finished folder its place; a folder with something in it is never replaced.

    Args:
        unfinished: the folder, on the same disk.
        durable: all of it is on the disk when this returns. A cache that can be made again need not be.

    Raises:
        FileExistsError: the place is taken; what is there stays as it is.
        OSError: the disk is full, the folder is not writable.
    """
    if durable:
        _sync_tree(unfinished)
    try:
        # A folder that is there and not empty cannot be replaced by renaming, on any system.
        unfinished.rename(place)
    except OSError as error:
        if not place.exists():
            raise
        raise FileExistsError(error.errno, "the place is taken", str(place)) from error
    if durable:
        sync_folder(place.parent)


def _sync_tree(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _sync_tree(entry)
        else:
            _sync_file(entry)
    sync_folder(folder)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; they are on the disk when this returns."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk.

    Windows and some network shares offer no call for it: what they do by themselves has to do.
    """
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _flush(descriptor)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    finally:
        os.close(descriptor)


def find_leftovers(folder: Path, *, older_than_seconds: float = 3600) -> list[Path]:
    """What killed processes left in a folder and all folders below it.

    Args:
        folder: need not be there. Only for folders that VPTCT alone writes to.
        older_than_seconds: what is younger may still be in the making.
    """
    return [path for path in _hidden(folder) if _age_seconds(path) > older_than_seconds]


def sweep_leftovers(folder: Path, *, older_than_seconds: float = 3600) -> list[Path]:
    """Remove what killed processes left, see ``find_leftovers``.

    Returns:
        What was removed. What cannot be removed is logged and stays.
    """
    removed = []
    for path in find_leftovers(folder, older_than_seconds=older_than_seconds):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue  # another server sweeps, too
        except OSError as error:
            _logger.warning("%s is left over and cannot be removed: %s", path, error)
        else:
            removed.append(path)
    return removed


def _hidden(folder: Path) -> Iterator[Path]:
    # os.walk passes over what cannot be listed, and does not follow links.
    for above, folders, files in os.walk(folder):
        left = [name for name in (*folders, *files) if any(fnmatch(name, each) for each in LEFTOVERS)]
        yield from (Path(above) / name for name in sorted(left))
        folders[:] = [name for name in folders if name not in left]


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0  # whoever made it has just finished


def _replace(new: Path, path: Path) -> None:
    """Give a file the name of another; on Windows those who read that one are waited for, for a second."""
    for seconds in _WAITS_FOR_READERS_SECONDS:
        try:
            new.replace(path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _OPEN_ELSEWHERE:
                raise
        time.sleep(seconds)
    new.replace(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def _remove(temporary: Path) -> None:
    # What was written is there: this must not be told as a failure. The next sweep tries again.
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        _logger.warning("%s is left over and cannot be removed: %s", temporary, error)


def _write(path: Path, data: bytes, *, durable: bool) -> None:
    with path.open("xb") as file:
        file.write(data)
        if durable:
            file.flush()
            _flush(file.fileno())


def _flush(descriptor: int) -> None:
    if sys.platform == "darwin":
        # There fsync(2) leaves the data in the memory of the disk itself, which a power cut empties.
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in (*_NO_SUCH_CALL, errno.ENOTTY):
                raise
        else:
            return
    os.fsync(descriptor)


def _sync_file(path: Path) -> None:
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _give_new_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if _is_ours(temporary, path):
            return
        if isinstance(error, FileExistsError):
            raise
        _take_name_without_links(temporary, path)


def _is_ours(temporary: Path, path: Path) -> bool:
    """Whether the link was made although an error came back.

    NFS sends a call again when the answer is lost, and the second call then finds the link of the first. Two
    names of one file are looked for, not only a link count of 2: that a backup made by links raises, too.
    """
    try:
        return temporary.stat().st_nlink > 1 and temporary.samefile(path)
    except FileNotFoundError:
        return False


def _take_name_without_links(temporary: Path, path: Path) -> None:
    """For disks without hard links (FAT, some network shares): take the name with an empty file, replace it.

    A reader in between, or after a crash in between, finds an empty file.
    """
    with path.open("xb"):
        pass
    try:
        temporary.replace(path)
    except OSError:
        # On a network share the answer may get lost, and the call sent again finds nothing to rename.
        if path.stat().st_size == 0:
            path.unlink()
            raise
