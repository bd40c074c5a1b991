"""The studies of the server: their list, what is known of each, and each itself."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import CancelScope
from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.types import Receive, Scope, Send

from vpt_plugin.ct.dicom_headers import is_dicom

from ..additions import Additions
from ..errors import FULL_DISK, NothingThereError, WrongFormError
from ..names import checked_id, checked_uid
from ..params import json_object
from ..uploads import FILE, TEXT, described, file_of, form, text_of
from .download import Download, unreadable
from .who import Annotator, HungUp, User

router = APIRouter(prefix="/datastore", tags=["Datastore"])
_CHUNK_BYTES = 1 << 20


@router.get("/", summary="The studies of this server")
def datastore(person: User, output: Literal["stats", "train", "all"] | None = None) -> Any:
    """``output=all`` lists the studies with their labels, ``train`` the labelled ones; else their numbers."""
    store = app_instance().datastore()
    if output == "all":
        return store.json()
    return store.datalist() if output == "train" else store.status()


def additions(person: Annotator) -> Additions:
    """A FastAPI dependency: what adds studies, asked before anything of the upload is read.

    Raises:
        NotOfferedError: studies cannot be added here.
    """
    found: Additions = app_instance().additions
    found.require()
    return found


@router.put("/", summary="Add a study", openapi_extra=described(["file"], file=FILE))
def add_study(
    person: Annotator,
    into: Annotated[Additions, Depends(additions)],
    parts: Annotated[FormData, Depends(form)],
    cancelled: HungUp,
) -> dict[str, Any]:
    """``file`` is a NIfTI, NRRD or MHA file, whole, which becomes a study of the server's folder.

    The server chooses its id, ``image`` in the answer. The same file once more is the same study, ``new``
    is false then. What cannot be read as a chest CT is refused and leaves nothing.
    """
    file = file_of(parts, "file")
    if file is None:
        raise WrongFormError("there is no file in the form;", "send the study in a part called file.")
    return into.add(file, app_instance().datastore().studies, cancelled)


@router.head("/image", summary="Is this study there?", response_class=Response)
def check_image(image: str, person: User, cancelled: HungUp, check_sum: str = "") -> Response:
    """``check_sum`` is a SHA-256; 404 tells that the file here is another one, or a folder."""
    store = app_instance().datastore()
    if not check_sum:
        store.studies.require(checked_id(image, "image"))
        return Response()
    with store.opened(checked_id(image, "image"), cancelled=cancelled) as study:
        if not study.path.is_file() or _sha256(study.path) != check_sum.rpartition(":")[2].lower():
            raise NothingThereError(f"{image} is another file here.")
    return Response()


@router.get("/image", summary="Download a study", response_class=FileResponse)
def download_image(image: str, person: User, cancelled: HungUp) -> Download:
    """A file as it is; a DICOM folder as a zip of its DICOM files, and of no others."""
    with app_instance().datastore().opened(checked_id(image, "image"), cancelled=cancelled) as study:
        if study.path.is_file():
            return Download(study.path, filename=study.path.name)
        packed = _packed(study.path, image)
    # The study may leave the archive's cache from now on.
    return _PassingFile(packed, media_type="application/zip", filename=f"{image}.zip")


@router.get("/image/info", summary="What is known of a study")
def image_info(image: str, person: User) -> dict[str, Any]:
    """Its name, and what was noted about it; of an archive's study what the archive says of it, too."""
    return dict(app_instance().datastore().get_image_info(checked_id(image, "image")))


@router.put("/image/info", summary="Note something about a study", openapi_extra=described(info=TEXT))
def note_about_image(
    image: str, person: Annotator, parts: Annotated[FormData, Depends(form)]
) -> dict[str, Any]:
    """``info`` is a JSON object of up to 64 KiB; it is forgotten when the server stops."""
    notes = json_object(text_of(parts, "info", "{}"), "info")
    app_instance().datastore().update_image_info(checked_id(image, "image"), notes)
    return {}


@router.get("/series/{series_uid}", summary="Which study is this DICOM series?")
def study_of_series(
    series_uid: str, person: User, cancelled: HungUp, examination: str = ""
) -> dict[str, str]:
    """The id of the study that is read from a SeriesInstanceUID, as ``image``; 404 where there is none.

    In a folder several series may lie together; with ``examination``, the StudyInstanceUID, a study is found
    by any of them that it is read from.
    """
    asked = checked_uid(series_uid), checked_uid(examination) if examination else ""
    app = app_instance()
    with app.series_in_question.turn(cancelled):
        studies = app.datastore().studies
        return {"image": studies.study_of_series(asked[0], examination=asked[1], cancelled=cancelled)}


class _PassingFile(Download):
    """A temporary file that goes with its answer, in every outcome.

    Not by a background task: Starlette runs none after a ``Range`` that it refuses.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(os.unlink, self.path)


def _packed(folder: Path, study: str) -> Path:
    """A temporary zip of a folder's DICOM files, stored as they are, because CTs hardly shrink.

    Raises:
        StudyNotFoundError, ArchiveUnreachableError: they cannot be read any more.
    """
    handle, name = tempfile.mkstemp(prefix="vptct-download-", suffix=".zip")
    path = Path(name)
    try:
        # A zip knows no time before 1980, which some files have: they get the earliest there is.
        with (
            os.fdopen(handle, "wb") as target,
            zipfile.ZipFile(target, "w", strict_timestamps=False) as archive,
        ):
            for file in sorted(each for each in folder.rglob("*") if each.is_file()):
                # Beside DICOM a folder may hold, or lead to, what is for nobody.
                if is_dicom(file):
                    archive.write(file, file.relative_to(folder).as_posix())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno not in FULL_DISK:
            raise unreadable(study, error) from error
        raise
    return path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()
