"""Unpacking a packed study, .zip, .tar, .tar.gz or .tgz, that may come from anyone."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from vpt_plugin.errors import StudyTooLargeError, UnreadableStudyError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_FILES = 20_000
MAX_BYTES = 8 << 30
# Deflate shrinks a real CT to a half or a tenth; only made-up files shrink to a two-hundredth.
_MAX_RATIO = 200
_RATIO_MATTERS_BYTES = 64 << 20
# What may stand between two files of a tar, and what is read of an archive in one piece: its table of
# contents. 20,000 files with long names need some megabytes.
_MAX_HEADER_BYTES = 1 << 20
_MAX_READ_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
# What the packers' modules raise for an archive that is damaged, or packed in a way unknown to them.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, OverflowError, IndexError,
    ValueError,  # UnicodeDecodeError, of a file's name, among them
)  # fmt: skip
# Names that Windows keeps for devices, and characters it takes in no name.
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile(r'[<>:"|?*\x00-\x1f\x7f]|[. ]+$')
_PACK_AGAIN = "Pack the folder of one study only."


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

    Names keep what all systems can hold in a name; files whose names are then the same, also when only
    small and capital letters differ, are all kept, under numbers.

    Args:
        archive: the file; its name says what it is.
        into: an existing, empty folder; files appear nowhere else, and it is empty again where the archive
            is refused.
        study: the study's name in messages; the archive's own name by default.
        max_files: refuse archives with more entries.
        max_bytes: refuse archives that unpack to more.

    Raises:
        UnreadableStudyError: no archive, damaged, encrypted, or with entries that lead outside the folder
            or are links or devices.
        StudyTooLargeError: too many files, too many bytes, or a bomb: many more bytes than it has itself.
    """
    study = study or archive.name
    target = _Target(into, study, archive.stat().st_size, max_files=max_files, max_bytes=max_bytes)
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, target)
        else:
            _unpack_tar(archive, target)
    except _DAMAGE as error:
        _empty(into)
        raise UnreadableStudyError(
            study, f"the archive is cut short or damaged ({error}).", "Pack or copy it again, as .zip."
        ) from error
    except OSError as error:
        _empty(into)
        # Not the error's own text, which has the path in it.
        cause = f"the archive cannot be unpacked: {error.strerror or 'the disk does not answer'}."
        raise UnreadableStudyError(study, cause, "Pack the plain files of the study again.") from error
    except BaseException:
        _empty(into)
        raise


class _Target:
    """The folder that is unpacked into, and how much has come out so far."""

    def __init__(self, into: Path, study: str, packed_bytes: int, *, max_files: int, max_bytes: int) -> None:
        self.study = study
        self._into = into
        self._packed_bytes = packed_bytes
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._files = 0
        self._bytes = 0
        self._names: set[str] = set()

    def expect(self, files: int, size_bytes: int) -> None:
        """Refuse what would be too many files or bytes, with those that came already."""
        files, total = self._files + files, self._bytes + size_bytes
        if files > self._max_files:
            cause = f"the archive holds {files} files; {self._max_files} are allowed."
        elif total > self._max_bytes:
            cause = f"the archive unpacks to {total >> 20} MiB; {self._max_bytes >> 20} MiB are allowed."
        elif total > _RATIO_MATTERS_BYTES and total > _MAX_RATIO * self._packed_bytes:
            cause = f"the archive unpacks to {total >> 20} MiB, more than {_MAX_RATIO} times its size."
        else:
            return
        raise StudyTooLargeError(self.study, cause, _PACK_AGAIN)

    def came(self, size_bytes: int) -> None:
        """Count bytes that were unpacked."""
        self.expect(0, size_bytes)
        self._bytes += size_bytes

    def refuse(self, cause: str) -> UnreadableStudyError:
        """The error for an archive that no honest packer makes."""
        return UnreadableStudyError(self.study, cause, "Pack the plain files of the study again.")

    def check_name(self, name: str) -> None:
        """Refuse a name that leads outside, in the way of Unix or of Windows."""
        windows, posix = PureWindowsPath(name), PurePosixPath(name)
        if windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts or "\0" in name:
            raise self.refuse(f"the archive holds a file that leads outside of it ({name[:100]!r}).")

    def folder(self, name: str) -> None:
        """Make a folder."""
        self.expect(1, 0)
        self._files += 1
        self._into.joinpath(*_parts(name)).mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        """Where to write the file of that name; its folder is there."""
        self.expect(1, 0)
        self._files += 1
        *folders, last = _parts(name) or ["file"]
        path = self._into.joinpath(*folders)
        path.mkdir(parents=True, exist_ok=True)
        if (path / last).as_posix().casefold() in self._names:
            last = f"{self._files:05d}_{last}"
        self._names.add((path / last).as_posix().casefold())
        return path / last


def _parts(name: str) -> list[str]:
    """A path in an archive as names that every system takes; Windows' separator becomes a folder."""
    plain = (_NOT_IN_A_NAME.sub("_", part) for part in PureWindowsPath(name).parts)
    return [f"_{part}" if _WINDOWS_DEVICE.fullmatch(part) else part for part in plain]


def _unpack_zip(archive: Path, target: _Target) -> None:
    """All entries are checked before the first is written."""
    with archive.open("rb") as file, zipfile.ZipFile(_InPieces(file, target)) as packed:
        entries = packed.infolist()
        target.expect(len(entries), sum(entry.file_size for entry in entries))
        for entry in entries:
            _check_zip_entry(entry, target)
        for entry in entries:
            if entry.is_dir():
                target.folder(entry.filename)
                continue
            with packed.open(entry) as source, target.file(entry.filename).open("xb") as out:
                _copy(source, out, target)


def _check_zip_entry(entry: zipfile.ZipInfo, target: _Target) -> None:
    target.check_name(entry.filename)
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise target.refuse(f"the archive holds a link or a device ({entry.filename[:100]!r}).")
    if entry.flag_bits & 1:
        raise target.refuse("the archive is encrypted.")


def _unpack_tar(archive: Path, target: _Target) -> None:
    """A tar has no table of contents: entries are checked and written one after the other."""
    with _plain_tar(archive) as file:
        source = _Forward(file, target)
        with tarfile.TarFile(fileobj=source, mode="r") as packed:
            while (entry := _next_tar_entry(packed, source)) is not None:
                target.check_name(entry.name)
                if entry.isdir():
                    target.folder(entry.name)
                elif entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
                    raise target.refuse(f"the archive holds a link or a device ({entry.name[:100]!r}).")
                else:
                    _write_tar_entry(packed, entry, target)
        source.finish()


def _write_tar_entry(packed: tarfile.TarFile, entry: tarfile.TarInfo, target: _Target) -> None:
    target.expect(1, entry.size)
    content = packed.extractfile(entry)
    if content is None:
        raise target.refuse(f"the archive holds a link or a device ({entry.name[:100]!r}).")
    with content, target.file(entry.name).open("xb") as out:
        _copy(content, out, target)


def _next_tar_entry(packed: tarfile.TarFile, source: _Forward) -> tarfile.TarInfo | None:
    # tarfile keeps every entry for later; here none is asked for again.
    packed.members.clear()
    with source.header():
        return packed.next()


@contextmanager
def _plain_tar(archive: Path) -> Iterator[IO[bytes]]:
    with archive.open("rb") as file:
        if archive.name.lower().endswith(".tar"):
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as inflated:
                yield inflated  # type: ignore[misc]


def _copy(source: IO[bytes], out: IO[bytes], target: _Target) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        target.came(len(chunk))
        out.write(chunk)


class _InPieces(io.RawIOBase):
    """A file of which nobody reads a large piece at once: a made-up size must not fill the memory."""

    def __init__(self, file: IO[bytes], target: _Target) -> None:
        self._file = file
        self._target = target

    def read(self, size: int = -1) -> bytes:
        # zipfile asks for all the rest, which is -1, where it looks for the end of the table of contents.
        piece = self._file.read(_MAX_READ_BYTES + 1 if size < 0 else min(size, _MAX_READ_BYTES + 1))
        if len(piece) > _MAX_READ_BYTES:
            raise StudyTooLargeError(
                self._target.study, "the archive's table of contents is too large.", _PACK_AGAIN
            )
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class _Forward(io.RawIOBase):
    """A plain tar, read from its beginning to its end. Skipping reads, so that a bomb is stopped there, too.

    Between two files, where tarfile reads as much as the archive says, only so much is read.
    """

    def __init__(self, file: IO[bytes], target: _Target) -> None:
        self._file = file
        self._target = target
        self._position = 0
        self._last = b""
        # tarfile reads the first header when it opens the file.
        self._header_left: int | None = _MAX_HEADER_BYTES

    @contextmanager
    def header(self) -> Iterator[None]:
        """What is read meanwhile lies between two files."""
        self._header_left = _MAX_HEADER_BYTES
        yield
        self._header_left = None

    def finish(self) -> None:
        """Make sure that the archive ends as it should, and was not cut off between two files."""
        if self._last.count(0) != tarfile.BLOCKSIZE:
            raise tarfile.ReadError("unexpected end of data")
        with self.header():
            while self.read(_CHUNK_BYTES // 4):
                pass  # To the end, where gzip compares its checksum.

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ_BYTES:
            raise tarfile.ReadError("a header is too large")
        self._last = self._file.read(size)
        self._position += len(self._last)
        if self._header_left is not None:
            self._target.came(len(self._last))
            self._header_left -= len(self._last)
            if self._header_left < 0:
                raise tarfile.ReadError("a header is too large")
        return self._last

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise tarfile.ReadError("a header leads backwards")
        while self._position < offset and self.read(min(offset - self._position, _CHUNK_BYTES)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
