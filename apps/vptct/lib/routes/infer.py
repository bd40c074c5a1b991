"""Classifying a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from monailabel.interfaces.utils.app import app_instance
from starlette.datastructures import FormData, UploadFile

from vpt_plugin.store.source import OpenedStudy

from ..errors import BadRequestError
from ..infer_task import ClassifyTask
from ..names import checked_id
from ..params import check_params
from ..uploads import FILE, TEXT, described, file_of, form, text_of, uploaded
from .session import open_sessions
from .who import HungUp, User

router = APIRouter(tags=["Infer"])
# What MONAI Label's clients ask for; a classification has nothing but JSON.
Output = Literal["image", "json", "all", "dicom_seg"]
_JSON = (None, "json", "all")
_HOW_TO_NAME = "give image=ID, session_id=ID or upload a file."


def trained(model: str, person: User) -> ClassifyTask:
    """A FastAPI dependency: the model that is asked, before anything of the upload is read.

    Raises:
        UnknownModelError, NotTrainedError.
    """
    task: ClassifyTask = app_instance().classify_task(model)
    task.check_trained()
    return task


@router.post(
    "/infer/{model}", summary="Classify a study", openapi_extra=described(params=TEXT, file=FILE)
)  # fmt: skip
def infer(
    person: User,
    task: Annotated[ClassifyTask, Depends(trained)],
    parts: Annotated[FormData, Depends(form)],
    cancelled: HungUp,
    image: str = "",
    session_id: str = "",
    output: Output | None = None,
) -> JSONResponse:
    """The result contract ``vptct.result/1`` for a study of the datastore, of a session, or in ``file``.

    ``file`` is a NIfTI, NRRD or MHA file, or a zip or tar of DICOM. Inference waits for its turn; a client
    that hangs up gives its turn away.
    """
    check_params(text_of(parts, "params", "{}"))
    if output not in _JSON:
        raise BadRequestError(f"output {output} is not offered;", "a classification answers in JSON.")
    if "label" in parts:
        raise BadRequestError("a classification takes no label.")
    with _named(file_of(parts, "file"), image, session_id, cancelled) as (study, name):
        prediction = task.classify(study.path, study=name, notes=study.notes, cancelled=cancelled)
    return JSONResponse(prediction.to_json())


@contextmanager
def _named(
    file: UploadFile | None, image: str, session_id: str, cancelled: Callable[[], bool]
) -> Iterator[tuple[OpenedStudy, str]]:
    """The one study that the request names, on this computer, and what messages call it.

    MONAI Label's clients say an ``image`` beside every session and every file, too: there it is only what the
    reader calls the study, and leads nowhere.
    """
    if session_id and file is not None:
        raise BadRequestError("session_id and file name two studies.", _HOW_TO_NAME)
    if not (session_id or file is not None or image):
        raise BadRequestError("no study is named;", _HOW_TO_NAME)
    if session_id:
        with open_sessions().opened(session_id) as session:
            yield OpenedStudy(session.study), session.title
    elif file is not None:
        with uploaded(file) as (path, name):
            yield OpenedStudy(path), name
    else:
        with app_instance().datastore().opened(checked_id(image, "image"), cancelled=cancelled) as study:
            yield study, image
