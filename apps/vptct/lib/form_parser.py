"""A form whose files lie one after the other in one temporary file, however many they are.

Starlette opens a file for each part above a megabyte, and keeps smaller ones in memory: a series of 1,000
slices takes half a gigabyte of it, or more open files than a process usually may have.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser


async def parse_form(
    headers: Headers,
    stream: AsyncGenerator[bytes, None],
    into: SpooledTemporaryFile[bytes],
    **limits: int,
) -> FormData:
    """The parts of a form of the type ``multipart/form-data``.

    Args:
        headers: of the request.
        stream: its body.
        into: an empty file that gets what is in the form's files. They can be read until it is closed.
        limits: those of Starlette's parser.

    Raises:
        HTTPException: 400, the form is broken or beyond the limits.
    """
    try:
        return await _Parser(headers, stream, into, **limits).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error


class _Parser(MultiPartParser):
    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        into: SpooledTemporaryFile[bytes],
        **limits: int,
    ) -> None:
        super().__init__(headers, stream, **limits)
        self._into = into

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        upload = self._current_part.file
        if upload is not None:
            upload.file.close()
            upload.file = _Stretch(self._into)


class _Stretch(io.RawIOBase):
    """One of the files that lie in a larger one. It can grow while it is the last of them.

    Args:
        whole: the larger file.
    """

    def __init__(self, whole: SpooledTemporaryFile[bytes]) -> None:
        self._whole = whole
        # None until its first byte: those before it may still grow.
        self._begin: int | None = None
        self._size = 0
        self._position = 0

    def write(self, data: Any) -> int:
        end = self._whole.seek(0, io.SEEK_END)
        self._begin = end if self._begin is None else self._begin
        self._whole.write(data)
        self._size += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._position
        if left <= 0 or self._begin is None:
            return b""
        self._whole.seek(self._begin + self._position)
        piece = self._whole.read(left if size < 0 else min(size, left))
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position
