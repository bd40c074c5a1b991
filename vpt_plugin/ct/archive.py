"""Unpacking a zipped study that may come from anyone."""

from __future__ import annotations

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from vpt_plugin.errors import UnreadableStudyError

# Deflate shrinks a real CT to a half or a tenth; only made-up files shrink to a two-hundredth.
_MAX_RATIO = 200
_RATIO_MATTERS_BYTES = 64 << 20
# What zipfile and the decompressors raise for an archive that is damaged, or packed in a way unknown to them.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    UnicodeDecodeError,  # of a file's name
)  # fmt: skip


def unpack(
    archive: Path,
    into: Path,
    *,
    study: str | None = None,
    max_files: int = 20_000,
    max_bytes: int = 8 << 30,
) -> None:
    """Unpack a zip archive into a folder.

    All entries are checked before the first is written.

    Args:
        archive: the zip file.
        into: an existing folder; files appear nowhere else.
        study: the study's name in messages; the archive's own name by default.
        max_files: refuse archives with more entries.
        max_bytes: refuse archives that unpack to more.

    Raises:
        UnreadableStudyError: not a zip file, damaged, encrypted, too large, or with entries that lead
            outside the folder or are links.
    """
    study = study or archive.name
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            _refuse_bomb(entries, study, archive.stat().st_size, max_files=max_files, max_bytes=max_bytes)
            for entry in entries:
                _refuse_entry(entry, study)
            for entry in entries:
                _write(packed, entry, into)
    except _DAMAGE as error:
        raise UnreadableStudyError(
            study, f"the archive is cut short or damaged ({error}).", "Pack or copy it again, as .zip."
        ) from error
    except OSError as error:
        raise UnreadableStudyError(study, f"the archive cannot be unpacked: {error}.") from error


def _refuse_bomb(
    entries: list[zipfile.ZipInfo], study: str, packed_bytes: int, *, max_files: int, max_bytes: int
) -> None:
    # zipfile never writes more than file_size says, so these sums hold while unpacking too.
    total = sum(entry.file_size for entry in entries)
    if len(entries) > max_files:
        cause = f"the archive holds {len(entries)} files; {max_files} are allowed."
    elif total > max_bytes:
        cause = f"the archive unpacks to {total >> 20} MiB; {max_bytes >> 20} MiB are allowed."
    elif total > _RATIO_MATTERS_BYTES and total > _MAX_RATIO * packed_bytes:
        cause = f"the archive unpacks to {total >> 20} MiB, more than {_MAX_RATIO} times its size."
    else:
        return
    raise UnreadableStudyError(study, cause, "Pack the folder of one study only.")


def _refuse_entry(entry: zipfile.ZipInfo, study: str) -> None:
    windows, posix = PureWindowsPath(entry.filename), PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if windows.drive or windows.root or posix.is_absolute() or ".." in windows.parts:
        cause = f"the archive holds a file that leads outside of it ({entry.filename!r})."
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        cause = f"the archive holds a link or a device ({entry.filename!r})."
    elif entry.flag_bits & 1:
        cause = "the archive is encrypted."
    else:
        return
    raise UnreadableStudyError(study, cause, "Pack the plain files of the study again.")


def _write(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path) -> None:
    # Windows' separator in a name becomes a folder, as the packer meant it.
    target = into.joinpath(*PureWindowsPath(entry.filename).parts)
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(entry) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
