"""Whether the voxels of an NRRD or MHA file are whole, asked before SimpleITK reads them.

SimpleITK unpacks compressed voxels by itself, but ignores their checksum: a file with one changed byte reads
without an error, as other voxels. So the stream is unpacked here once more, block by block, and thrown away.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from vpt_plugin.errors import UnreadableStudyError

_MAX_HEADER_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS  # what SimpleITK's reader of MHA takes, too
_NRRD_HEADER = re.compile(rb".*?\r?\n\r?\n", re.DOTALL)
_NRRD_FIELD = re.compile(rb"^([a-z]+ ?[a-z]*):(?!=)[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_META_HEADER = re.compile(rb".*?^ElementDataFile *= *[^\r\n]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_META_FIELD = re.compile(rb"^([A-Za-z]+)[ \t]*[=:][ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)


def refuse_damaged_payload(path: Path, suffix: str, voxel_bytes: int, study: str) -> None:
    """Refuse a file whose voxels are cut short or fail their checksum.

    Args:
        path: the file, which ``refuse_pointer`` has let through.
        suffix: ``.nrrd``, ``.mha`` or ``.mhd``.
        voxel_bytes: how many bytes all voxels take when they are unpacked, by the header.
        study: the study's name, for messages.

    Raises:
        UnreadableStudyError: damage, or voxels stored in a way that cannot be checked.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    if suffix == ".nrrd":
        _refuse_nrrd(path, start, voxel_bytes, study)
    else:
        _refuse_meta(path, start, voxel_bytes, study)


def _refuse_nrrd(path: Path, start: bytes, voxel_bytes: int, study: str) -> None:
    header = _header(_NRRD_HEADER, start, study)
    fields = _fields(_NRRD_FIELD, header, ("encoding", "lineskip", "byteskip"), study)
    encoding = fields.get("encoding", "").lower()
    if any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip")):
        raise _refused(study, "its header says to skip the beginning of its voxels.")
    with path.open("rb") as file:
        file.seek(len(header))
        if encoding == "raw":
            _require_length(path.stat().st_size - len(header), voxel_bytes, study)
        elif encoding in ("gzip", "gz"):
            _require_gzip(file, voxel_bytes, study)
        else:
            raise _refused(study, f"its voxels are stored in the encoding {encoding or 'of no name'}.")


def _refuse_meta(path: Path, start: bytes, voxel_bytes: int, study: str) -> None:
    header = _header(_META_HEADER, start, study)
    names = ("binarydata", "compresseddata", "compresseddatasize", "headersize", "elementdatafile")
    fields = _fields(_META_FIELD, header, names, study)
    local = fields["elementdatafile"] == "LOCAL"
    stored = path if local else path.parent / fields["elementdatafile"]
    begin = len(header) if local else 0
    if not _is_true(fields.get("binarydata", "True")):
        raise _refused(study, "its voxels are stored as text.")
    compressed, skipped = _is_true(fields.get("compresseddata", "")), fields.get("headersize", "0")
    if not compressed:
        # Skipped bytes count from the start of the file; -1 stands for all before the last voxel_bytes.
        begin = int(skipped) if skipped.isdecimal() and int(skipped) > 0 else begin
        _require_length(stored.stat().st_size - begin, voxel_bytes, study)
        return
    size = fields.get("compresseddatasize", "0" if not local else "")
    if skipped != "0" or not size.isdecimal():
        raise _refused(study, "its header does not say plainly where its compressed voxels are.")
    with stored.open("rb") as file:
        file.seek(begin)
        _require_zlib(file, int(size) or stored.stat().st_size - begin, voxel_bytes, study)


def _header(pattern: re.Pattern[bytes], start: bytes, study: str) -> bytes:
    if found := pattern.match(start):
        return found[0]
    raise _refused(study, "its header has no end.")


def _fields(
    pattern: re.Pattern[bytes], header: bytes, names: tuple[str, ...], study: str
) -> Mapping[str, str]:
    """The values of the fields of these names, which are in lower case and without blanks."""
    fields: dict[str, str] = {}
    for match in pattern.finditer(header):
        name = match[1].decode("ascii").replace(" ", "").lower()
        if name in fields:  # and nobody says which of the two is read
            raise _refused(study, f"its header says {match[1].decode('ascii')} twice.")
        if name in names:
            fields[name] = match[2].decode("utf-8", errors="replace")
    return fields


def _is_true(value: str) -> bool:
    return value[:1] in ("T", "t", "1")  # SimpleITK's reader of MHA, too, looks at no more


def _require_length(found: int, expected: int, study: str) -> None:
    if found < expected:
        raise UnreadableStudyError(
            study,
            f"the file is cut short: {max(0, found)} bytes of voxels where its header says {expected}.",
            "Copy or export it again.",
        )


def _require_gzip(file: BinaryIO, expected: int, study: str) -> None:
    found = 0
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while found <= expected and (block := packed.read(_BLOCK_BYTES)):
                found += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(study, str(error)) from error
    _require_unpacked(found, expected, study)


def _require_zlib(file: BinaryIO, size: int, expected: int, study: str) -> None:
    """``size`` is how many bytes the stream may take."""
    stream, found, packed = zlib.decompressobj(_ZLIB_OR_GZIP), 0, b""
    try:
        while found <= expected and not stream.eof:
            if not packed:
                packed = file.read(min(_BLOCK_BYTES, size))
                size -= len(packed)
            block = stream.decompress(packed, _BLOCK_BYTES)
            found += len(block)
            if not packed and not block:
                break
            packed = stream.unconsumed_tail
    except zlib.error as error:
        raise _damaged(study, str(error)) from error
    if not stream.eof and found <= expected:
        raise _damaged(study, "its compressed voxels end before their checksum")
    _require_unpacked(found, expected, study)


def _require_unpacked(found: int, expected: int, study: str) -> None:
    if found != expected:
        unpacked = f"more than {expected}" if found > expected else str(found)
        raise _damaged(study, f"its voxels unpack to {unpacked} bytes where its header says {expected}")


def _damaged(study: str, what: str) -> UnreadableStudyError:
    return UnreadableStudyError(
        study, f"the file is cut short or damaged ({what}).", "Copy or export it again."
    )


def _refused(study: str, what: str) -> UnreadableStudyError:
    return UnreadableStudyError(
        study, f"{what} Whether it is whole cannot be checked.", "Save it as .nii.gz, or as .nrrd with gzip."
    )
