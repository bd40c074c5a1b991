"""What a client uploads: read from the request only when it is known who asks, and never left behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from anyio import CancelScope
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from vpt_plugin.ct.archive import is_archive, unpack
from vpt_plugin.errors import UnreadableStudyError

from .errors import BadRequestError, TooLargeError, WrongFormError
from .form_parser import parse_form
from .incoming import Spool
from .limits import Limits
from .names import safe_name

_CHUNK_BYTES = 1 << 20
_MAX_FIELDS = 100
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"
_HOW_TO_SEND = "Send fields and files as multipart/form-data (curl -F)."


async def form(request: Request) -> AsyncIterator[FormData]:
    """A FastAPI dependency: the request's form, whose files are closed and gone after the answer.

    FastAPI would read a form that a route declares before it asks who is there, and stop at 1,000 parts: a
    long series has more slices.
    """
    limits = {"max_fields": _MAX_FIELDS, "max_part_size": Limits.label_bytes}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _MULTIPART:
        await _check_small(request, kind)
        async with request.form(**limits) as parts:
            yield parts
        return
    into = Spool(request.app.state.incoming)
    try:
        async with aclosing(request.stream()) as stream:
            parts = await parse_form(request.headers, stream, into, max_files=Limits.files, **limits)
        yield parts
    finally:
        # Removing gigabytes takes a disk a while, and other requests must not wait for it.
        with CancelScope(shield=True):
            await run_in_threadpool(into.close)


async def _check_small(request: Request, kind: str) -> None:
    """Keep a body that brings no files, for ``request.form``; none at all is fine.

    Raises:
        TooLargeError: it would fill the memory.
        BadRequestError: it is no form, so nobody would ever look at it.
    """
    body = bytearray()
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            body += chunk
            if len(body) > Limits.small_bytes:
                raise TooLargeError("the request has a large body that is no form with files.", _HOW_TO_SEND)
    if body and kind != _URLENCODED:
        raise BadRequestError(f"the request's body is no form but {kind[:100] or 'untold'!r};", _HOW_TO_SEND)
    # Where Starlette keeps a body that was read, and looks for it.
    request._body = bytes(body)


def described(required: Sequence[str] = (), **fields: dict[str, Any]) -> dict[str, Any]:
    """What /openapi.json says of a route's form, as ``openapi_extra``.

    Args:
        required: the names of the fields that must be there.
        fields: the JSON schema of each field, by its name.
    """
    schema = {"type": "object", "properties": fields, "required": list(required)}
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"content": content, "required": bool(required)}}


TEXT = {"type": "string", "default": "{}"}
FILE = {"type": "string", "format": "binary"}
FILES = {"type": "array", "items": FILE}


def text_of(parts: FormData, name: str, default: str = "") -> str:
    """The text of that name in the form.

    Raises:
        WrongFormError: it is a file.
    """
    value = parts.get(name, default)
    if not isinstance(value, str):
        raise WrongFormError(f"{name} is a file in the form;", "send it as text.")
    return value


def files_of(parts: FormData, name: str) -> list[UploadFile]:
    """The files of that name in the form.

    Raises:
        WrongFormError: one of them is text.
    """
    files = []
    for value in parts.getlist(name):
        if isinstance(value, str):
            raise WrongFormError(f"{name} is text in the form;", "send it as a file, with a file name.")
        files.append(value)
    return files


def file_of(parts: FormData, name: str) -> UploadFile | None:
    """The one file of that name in the form; None where there is none.

    Raises:
        WrongFormError: it is text, or there are several.
    """
    files = files_of(parts, name)
    if len(files) > 1:
        raise WrongFormError(f"there are {len(files)} files {name} in the form;", "send one.")
    return files[0] if files else None


@contextmanager
def uploaded(file: UploadFile) -> Iterator[tuple[Path, str]]:
    """An uploaded study in a temporary folder of its own, which is removed in every outcome.

    Yields:
        its path and its name, which is what the client called it as far as that is safe.
    """
    with tempfile.TemporaryDirectory(prefix="vptct-upload-", ignore_cleanup_errors=True) as folder:
        path = store([file], Path(folder))
        yield path, path.name


def store(files: Sequence[UploadFile], folder: Path) -> Path:
    """Write uploads into an empty folder; the study is this folder, or the file where there is but one."""
    path = folder
    for number, file in enumerate(files):
        path = folder / safe_name(file.filename)
        if path.exists():
            # Slices of several folders may share their names.
            path = folder / f"{number:05d}_{path.name}"
        with path.open("xb") as target:
            shutil.copyfileobj(file.file, target, _CHUNK_BYTES)
    return path if len(files) == 1 else folder


def unpacked(archive: Path, *, max_bytes: int) -> Path:
    """Unpack an uploaded archive into a folder beside it, and remove the archive.

    Args:
        archive: the upload.
        max_bytes: refuse what unpacks to more.

    Raises:
        BadRequestError: the upload is no archive, or a folder of several files.
        StudyError: the archive is damaged, hostile or too large.
    """
    if not (archive.is_file() and is_archive(archive)):
        raise BadRequestError(
            "there is nothing to unpack.", "uncompress=true is for one .zip, .tar, .tar.gz or .tgz file."
        )
    folder = archive.with_name("unpacked")
    folder.mkdir()
    unpack(archive, folder, max_bytes=max_bytes)
    if not any(each.is_file() for each in folder.rglob("*")):
        raise UnreadableStudyError(archive.name, "the archive is empty.", "Pack the folder of the study.")
    archive.unlink()
    return folder
