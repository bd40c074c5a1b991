"""The entries of a tar that may come from anyone, read once from its beginning to its end.

tarfile has no limit on what it keeps in memory of a tar (long names, remarks, each entry), and takes one that
was cut off between two files for whole. So only single headers are read by it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

# What a tar says of its files besides their plain headers, such as long names: one of them, and all together.
_MAX_REMARK_BYTES = 1 << 20
_MAX_REMARKS_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_BLOCK = tarfile.BLOCKSIZE


class Tape:
    """The plain bytes of a tar.

    Args:
        file: where they come from.
        count: is told of the bytes that came, each time; what it raises ends the reading.
    """

    def __init__(self, file: io.BufferedIOBase, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count
        self._remarks_left = _MAX_REMARKS_BYTES

    def read(self, size: int) -> bytes:
        """Exactly so many bytes.

        Raises:
            EOFError: there are fewer.
        """
        data = self._file.read(size)
        self._count(len(data))
        if len(data) < size:
            raise EOFError("it ends too early")
        return data

    def copy(self, size: int, out: BinaryIO) -> None:
        """Copy a file's content; its last block is filled up."""
        for start in range(0, size, _CHUNK_BYTES):
            out.write(self.read(min(size - start, _CHUNK_BYTES)))
        self.read(-size % _BLOCK)

    def remark(self, size: int) -> bytes:
        """What the tar says of its next file besides the plain header.

        Raises:
            tarfile.ReadError: no packer says so much.
        """
        self._remarks_left -= _BLOCK + size
        if size > _MAX_REMARK_BYTES or self._remarks_left < 0:
            raise tarfile.ReadError("a header is too large")
        data = self.read(size)
        self.read(-size % _BLOCK)
        return data

    def finish(self) -> None:
        """Read what follows the last entry, to the end, where gzip has its checksum."""
        while data := self._file.read(_CHUNK_BYTES):
            self._count(len(data))


def tar_entries(tape: Tape) -> Iterator[tarfile.TarInfo]:
    """The entries one after the other, with their long names; at each the tape stands at its content.

    Who asks for the next one has read the content. Sparse files have the type ``tarfile.GNUTYPE_SPARSE``,
    however they are stored.

    Raises:
        tarfile.TarError, EOFError, ValueError: no tar, damaged, or cut short.
    """
    said: dict[str, str] = {}
    while (block := tape.read(_BLOCK)).count(0) < _BLOCK:
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        if entry.size < 0:
            raise tarfile.ReadError("a size below 0")
        if entry.type == tarfile.GNUTYPE_LONGNAME:
            name, _, _ = tape.remark(entry.size).partition(b"\0")
            said["path"] = name.decode("utf-8", "replace")
        elif entry.type == tarfile.XHDTYPE:
            said |= _pax(tape.remark(entry.size))
        elif entry.type == tarfile.XGLTYPE:
            tape.remark(entry.size)  # For all files, so neither a name nor a size.
        else:
            yield _as_said(entry, said)
            said = {}


def _as_said(entry: tarfile.TarInfo, said: dict[str, str]) -> tarfile.TarInfo:
    entry.name = said.get("path", entry.name)
    entry.size = int(said.get("size", entry.size))
    if entry.size < 0:
        raise tarfile.ReadError("a size below 0")
    if "GNU.sparse" in said:
        entry.type = tarfile.GNUTYPE_SPARSE
    return entry


def _pax(remark: bytes) -> dict[str, str]:
    """What matters of a header of POSIX.1-2001, whose records are ``length key=value``, each in a line."""
    said, at = {}, 0
    while at < len(remark):
        space = remark.index(b" ", at, at + 9)
        end = at + int(remark[at:space])
        key, equals, value = remark[space + 1 : end - 1].partition(b"=")
        if end <= space or not equals or remark[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a wrong header")
        if key in (b"path", b"size"):
            said[key.decode()] = value.decode("utf-8", "replace")
        elif key.startswith(b"GNU.sparse"):
            said["GNU.sparse"] = ""
        at = end
    return said
