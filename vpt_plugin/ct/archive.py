"""Unpacking a packed study, .zip, .tar, .tar.gz or .tgz, that may come from anyone."""

from __future__ import annotations

import errno
import gzip
import io
import itertools
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from vpt_plugin.ct.tape import Tape, tar_entries
from vpt_plugin.errors import StudyTooLargeError, UnreadableStudyError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_FILES = 20_000
MAX_BYTES = 8 << 30
# Deflate shrinks a real CT to a half or a tenth; only made-up files shrink to a two-hundredth.
MAX_RATIO = 200
RATIO_MATTERS_BYTES = 64 << 20
# A zip's table of contents, which zipfile keeps in memory: 400 bytes for each of 20,000 files.
_MAX_TABLE_BYTES = 8 << 20
_MAX_DEPTH = 64
_CHUNK_BYTES = 1 << 20
# What the modules of Python raise for an archive that is damaged.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError,
    OverflowError, ValueError,  # UnicodeDecodeError, of a file's name, among them
)  # fmt: skip
# No fault of the archive: whoever runs the server, or owns the disk, must make room.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# Names that Windows keeps for devices, and characters it takes in no name.
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile(r'[<>:"|?*\x00-\x1f\x7f]|[. ]+$')


def is_archive(path: Path) -> bool:
    """Whether the file's name is that of an archive which ``unpack`` knows."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(
    archive: Path,
    into: Path,
    *,
    study: str | None = None,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack an archive into a folder.

    Names keep what all systems can hold in a name. All files are kept: one whose place is taken, by a file
    of the same name or of one that is the same to this disk, goes to a numbered folder.

    Args:
        archive: the file; its name says whether it is a zip or a tar.
        into: an existing, empty folder; files appear nowhere else, and it is empty again where the archive
            is refused.
        study: the study's name in messages; the archive's own name by default.
        max_files: refuse archives with more files and folders.
        max_bytes: refuse archives that unpack to more.

    Raises:
        UnreadableStudyError: no archive, damaged, encrypted, or with entries that lead outside the folder
            or are links or devices.
        StudyTooLargeError: too many files, too many bytes, or a bomb: many more bytes than it has itself.
        OSError: the disk that is unpacked to is full.
    """
    study = study or archive.name
    try:
        target = _Target(into, study, archive.stat().st_size, max_files=max_files, max_bytes=max_bytes)
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, target)
        else:
            _unpack_tar(archive, target)
    except BaseException as error:
        _empty(into)
        if isinstance(error, _DAMAGE):
            cause = f"the archive is cut short or damaged ({str(error)[:200]})."
            raise UnreadableStudyError(study, cause, "Pack or copy it again.") from error
        if isinstance(error, OSError) and error.errno not in FULL_DISK:
            # Not the error's own text, which has a path of this computer in it.
            cause = f"the archive cannot be unpacked: {error.strerror or 'the disk does not answer'}."
            raise UnreadableStudyError(study, cause, "Pack the plain files of the study again.") from error
        raise


class _Target:
    """The folder that is unpacked into, and how much has come out so far."""

    def __init__(self, into: Path, study: str, packed_bytes: int, *, max_files: int, max_bytes: int) -> None:
        self._into, self._study, self._packed_bytes = into, study, packed_bytes
        self._max_files, self._max_bytes = max_files, max_bytes
        self._files = self._bytes = 0
        self._folders = {into}
        self._numbers = itertools.count(1)

    def count_files(self, count: int) -> None:
        """Count entries, and refuse too many."""
        self._files += count
        if self._files > self._max_files:
            raise self.too_large(f"holds more than {self._max_files} files and folders")

    def count_bytes(self, size: int) -> None:
        """Count unpacked bytes, and refuse too many."""
        self._bytes += size
        self.expect(0)
        if self._bytes > max(RATIO_MATTERS_BYTES, MAX_RATIO * self._packed_bytes):
            raise self.too_large(f"unpacks to more than {MAX_RATIO} times its size")

    def expect(self, size: int) -> None:
        """Refuse what says of itself that it is too large."""
        if self._bytes + size > self._max_bytes:
            raise self.too_large(f"unpacks to more than {self._max_bytes / (1 << 20):.6g} MiB")

    def too_large(self, what: str) -> StudyTooLargeError:
        return StudyTooLargeError(self._study, f"the archive {what}.", "Pack the folder of one study only.")

    def refusal(self, cause: str) -> UnreadableStudyError:
        hint = "Pack the plain files of the study again, as an ordinary .zip or .tar.gz without a password."
        return UnreadableStudyError(self._study, f"the archive {cause}.", hint)

    def check_name(self, name: str) -> None:
        """Refuse a name that leads outside, in the way of Unix or of Windows."""
        path = PureWindowsPath(name)
        if path.anchor or ".." in path.parts:
            raise self.refusal(f"holds a file that leads outside of it ({name[:100]!r})")
        if len(path.parts) > _MAX_DEPTH:
            raise self.refusal(f"holds a file in more than {_MAX_DEPTH} folders ({name[:100]!r})")

    def folder(self, name: str) -> None:
        """Make a folder, unless a file has its name."""
        try:
            self._make(self._into.joinpath(*_parts(name)))
        except FileExistsError:
            return

    def file(self, name: str) -> BinaryIO:
        """A new file of that name."""
        folder, parts = self._into, _parts(name) or ["file"]
        while True:
            path = folder.joinpath(*parts)
            try:
                self._make(path.parent)
                return path.open("xb")
            except FileExistsError:
                # Numbers are never tried twice: a million of the same name must not take for ever.
                folder = self._into / f"{next(self._numbers):05d}"

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            self._make(folder.parent)
            self.count_files(1)
            folder.mkdir(exist_ok=True)
            self._folders.add(folder)


def _parts(name: str) -> list[str]:
    """A path in an archive as names that every system takes; Windows' separator becomes a folder."""
    return [plain_name(part) for part in PureWindowsPath(name).parts]


def plain_name(name: str) -> str:
    """A file's or folder's name as one that every system takes: Windows has devices called ``nul.nii``."""
    plain = _NOT_IN_A_NAME.sub("_", name)
    return f"_{plain}" if _WINDOWS_DEVICE.fullmatch(plain) else plain


def _unpack_zip(archive: Path, target: _Target) -> None:
    """All entries are checked before the first is written."""
    with _ZipFile(archive, target) as file, zipfile.ZipFile(file) as packed:
        entries = packed.infolist()
        target.count_files(len(entries))
        # zipfile never gives more of an entry than this size, so the sum holds while unpacking, too.
        target.count_bytes(sum(entry.file_size for entry in entries))
        for entry in entries:
            _check_zip_entry(entry, target)
        for entry in entries:
            if entry.is_dir():
                target.folder(entry.filename)
            else:
                with packed.open(entry) as source, target.file(entry.filename) as out:
                    shutil.copyfileobj(source, out, _CHUNK_BYTES)


def _check_zip_entry(entry: zipfile.ZipInfo, target: _Target) -> None:
    target.check_name(entry.filename)
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise target.refusal(f"holds a link or a device ({entry.filename[:100]!r})")
    if entry.flag_bits & 1:
        raise target.refusal("is encrypted")
    # Python inflates bzip2 and LZMA in pieces of any size: a few bytes fill the memory.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise target.refusal(f"is compressed in a rare way (method {entry.compress_type} of .zip)")


class _ZipFile(io.FileIO):
    """A zip of which no large piece is read at once, whatever it says of its table of contents."""

    def __init__(self, path: Path, target: _Target) -> None:
        super().__init__(path)
        self._target = target

    def read(self, size: int | None = -1, /) -> bytes:
        # zipfile asks for all the rest, which is -1, where it looks for the end of the table of contents.
        most = _MAX_TABLE_BYTES + 1
        data = super().read(most if size is None or size < 0 else min(size, most)) or b""
        if len(data) == most:
            raise self._target.too_large("has too large a table of contents")
        return data


def _unpack_tar(archive: Path, target: _Target) -> None:
    """A tar has no table of contents: entries are checked and written one after the other."""
    with archive.open("rb") as file:
        # Browsers inflate some .tar.gz on the way, and keep the name.
        inflated = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file
        tape = Tape(inflated, target.count_bytes)
        for entry in tar_entries(tape):
            target.count_files(1)
            target.check_name(entry.name)
            if entry.isdir():
                target.folder(entry.name)
            elif entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                target.expect(entry.size)
                with target.file(entry.name) as out:
                    tape.copy(entry.size, out)
            else:
                raise target.refusal(f"holds a link or a device ({entry.name[:100]!r})")
        tape.finish()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
