"""Form: files on their way to the server, read piece by piece, with progress, and cancelled at any piece."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, Protocol, Union

from ..errors import LocalFileError
from .cancel import Cancel

# Bytes so far, and in all.
OnProgress = Callable[[int, int], None]
_PIECE_BYTES = 1 << 20
# The longest first: what follows the first dot of a name may be a patient's.
_ENDINGS = (".nii.gz", ".tar.gz", ".nii", ".nrrd", ".mha", ".tgz", ".tar", ".zip", ".dcm", ".vptct")


def no_progress(sent_bytes: int, all_bytes: int) -> None:
    """Tells nobody."""


class Streamed(Protocol):
    """A file that is made while it is sent, and lies nowhere."""

    @property
    def ending(self) -> str:
        """Of its name."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of all its pieces."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the beginning at each call."""
        ...


StudyFile = Union[Path, Streamed]


@dataclass(frozen=True)
class FilePart:
    """A file of a form, or a text.

    Attributes:
        field: its name in the form.
        filename: what the server is told; never the file's own name, which may be a patient's; "" for a text.
        content: where it lies, what makes it, or the few bytes themselves.
    """

    field: str
    filename: str
    content: Path | Streamed | bytes


class Form:
    """A body of ``multipart/form-data`` that requests reads as a file, so that none of it is held in memory.

    Args:
        parts: its files.
        progress: called after each piece.
        cancel: looked at before each piece.

    Attributes:
        sending_seconds: how long whoever reads it took with what it was given, which is the time for sending.
            What it takes to make or to read the pieces is not in it, nor is the wait for an answer.

    Raises:
        LocalFileError: a file is not there. Reading raises it, too.
    """

    def __init__(self, parts: Sequence[FilePart], progress: OnProgress, cancel: Cancel) -> None:
        self._boundary = f"vptct-{secrets.token_hex(16)}"
        self._progress = progress
        self._cancel = cancel
        self._parts = [(self._head(part), part, _size(part.content)) for part in parts]
        self._tail = f"--{self._boundary}--\r\n".encode()
        self._size = sum(len(head) + size + 2 for head, _, size in self._parts) + len(self._tail)
        self._sent = 0
        self._pieces = self._all()
        self._left = memoryview(b"")
        self.sending_seconds = 0.0
        self._given_at: float | None = None

    @property
    def content_type(self) -> str:
        """For the header of that name."""
        return f"multipart/form-data; boundary={self._boundary}"

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        # requests takes what can be iterated for a stream, and then reads it.
        while piece := self.read(_PIECE_BYTES):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """At most so many of the next bytes; none at the end.

        Raises:
            CancelledError: it was cancelled.
            LocalFileError: a file cannot be read.
        """
        if self._given_at is not None:
            self.sending_seconds += time.perf_counter() - self._given_at
        self._cancel.check()
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        # What is left is not copied each time: requests takes a piece of a file in many small ones.
        piece, self._left = (
            (self._left, memoryview(b"")) if size < 0 else (self._left[:size], self._left[size:])
        )
        self._sent += len(piece)
        if piece:
            self._progress(self._sent, self._size)
        given = bytes(piece)
        self._given_at = time.perf_counter() if given else None
        return given

    def close(self) -> None:
        """Close the file that is being read."""
        self._pieces.close()

    def _all(self) -> Generator[bytes, None, None]:
        for head, part, size in self._parts:
            yield head
            yield from _pieces_of(part.content, size)
            yield b"\r\n"
        yield self._tail

    def _head(self, part: FilePart) -> bytes:
        begin = f'--{self._boundary}\r\nContent-Disposition: form-data; name="{part.field}"'
        if not part.filename:
            return f"{begin}\r\n\r\n".encode()
        return (
            f'{begin}; filename="{part.filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        ).encode()


class Forms:
    """A form for each attempt to send some files.

    Args:
        parts: of the form.
        progress: called after each piece.
        cancel: looked at before each piece.

    Attributes:
        latest: the one that was made last; None before the first.
    """

    def __init__(self, parts: Sequence[FilePart], progress: OnProgress, cancel: Cancel) -> None:
        self._parts, self._progress, self._cancel = parts, progress, cancel
        self.latest: Form | None = None

    def new(self) -> Form:
        """One that has sent nothing yet."""
        self.latest = Form(self._parts, self._progress, self._cancel)
        return self.latest


def study_parts(files: Sequence[StudyFile], field: str) -> list[FilePart]:
    """The files of a study under names that tell nothing: ``study.nii.gz``, or ``00001.dcm`` and so on."""
    if len(files) == 1:
        ending = ending_of(files[0]) if isinstance(files[0], Path) else files[0].ending
        return [FilePart(field, f"study{ending}", files[0])]
    return [FilePart(field, f"{number:05d}.dcm", file) for number, file in enumerate(files, 1)]


def ending_of(file: Path) -> str:
    """What tells the server the format of a file, or "" where its name has none that it knows."""
    name = file.name.lower()
    return next((ending for ending in _ENDINGS if name.endswith(ending)), "")


def _pieces_of(content: Path | Streamed | bytes, size: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        return iter([content])
    return _read(content, size) if isinstance(content, Path) else content.pieces()


def _size(content: Path | Streamed | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    if not isinstance(content, Path):
        return content.size_bytes
    try:
        return content.stat().st_size
    except OSError as error:
        raise _unreadable(content, error) from error


def _read(path: Path, size: int) -> Iterator[bytes]:
    """The file's bytes, exactly so many: their number was promised."""
    left = size
    try:
        with path.open("rb") as file:
            while left:
                piece = _piece(file, left)
                if not piece:
                    raise LocalFileError(f"{path.name} became shorter while it was uploaded.", "Try again.")
                left -= len(piece)
                yield piece
    except OSError as error:
        raise _unreadable(path, error) from error


def _piece(file: BinaryIO, left: int) -> bytes:
    return file.read(min(left, _PIECE_BYTES))


def _unreadable(path: Path, error: OSError) -> LocalFileError:
    why = os.strerror(error.errno) if error.errno else str(error)
    return LocalFileError(f"{path.name} cannot be read: {why}.", "Look at the file, then try again.")
