"""Classifying a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from monailabel.interfaces.utils.app import app_instance
from starlette.datastructures import FormData, UploadFile

from vpt_plugin.inference.conformal import with_decisions
from vpt_plugin.store.source import OpenedStudy

from ..answers.desk import Question
from ..answers.key import content_of, content_of_upload
from ..answers.parts import check_output, response_of
from ..answers.waiting import answer_of
from ..answers.wish import Wish, read_wish
from ..errors import BadRequestError
from ..infer_task import ClassifyTask
from ..names import checked_id
from ..uploads import FILE, TEXT, described, file_of, form, text_of, uploaded
from .session import open_sessions
from .who import HungUp, User

router = APIRouter(tags=["Infer"])
# What MONAI Label's clients ask for.
Output = Literal["image", "json", "all", "dicom_seg"]
_PARTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON; with heat maps, parts of which one is JSON; of an image, that file.",
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"params": TEXT, "file": FILE}}
            },
            "application/gzip": {"schema": FILE},
        },
    }
}
_HOW_TO_NAME = "give image=ID, session_id=ID or upload a file."


def trained(model: str, person: User) -> ClassifyTask:
    """A FastAPI dependency: the model that is asked, before anything of the upload is read.

    Raises:
        UnknownModelError, NotTrainedError.
    """
    return trained_task(model)


def trained_task(model: str) -> ClassifyTask:
    """The infer task of that name, if it can answer.

    Raises:
        UnknownModelError, NotTrainedError.
    """
    task: ClassifyTask = app_instance().classify_task(model)
    task.check_trained()
    return task


@router.post(
    "/infer/{model}",
    summary="Classify a study",
    response_class=JSONResponse,
    responses=_PARTS,
    openapi_extra=described(params=TEXT, file=FILE),
)
async def infer(
    request: Request,
    person: User,
    task: Annotated[ClassifyTask, Depends(trained)],
    parts: Annotated[FormData, Depends(form)],
    cancelled: HungUp,
    image: str = "",
    session_id: str = "",
    output: Output | None = None,
) -> Response:
    """The result contract ``vptct.result/1`` for a study of the datastore, of a session, or in ``file``.

    ``file`` is a NIfTI, NRRD or MHA file, or a zip or tar of DICOM. Inference waits for its turn; a client
    that hangs up gives its turn away. Who asks for what is being computed gets the same answer, and what was
    answered before is answered at once, with ``kept``.

    ``params`` is a JSON object: ``explain`` (true, a finding, or a list of them) has the answer come in
    several parts, ``params`` with the JSON and a NIfTI file per heat map; ``error_rate`` is that of the
    decisions; ``versions`` says how many other versions are asked, too; ``anyway`` answers a study that is
    unfit.
    """
    began = perf_counter()
    wish = read_wish(text_of(parts, "params", "{}"), task.task.findings)
    check_output(output, explains=bool(wish.explain))
    if "label" in parts:
        raise BadRequestError("a classification takes no label.")
    named = partial(_named, file_of(parts, "file"), image, session_id, cancelled)
    asked = partial(_asked, task, named, wish, cancelled)
    question, notes = await to_thread.run_sync(asked, limiter=task.workplace.threads)
    prediction = await answer_of(question, task.workplace.answers, request.is_disconnected)
    error_rate = wish.error_rate or app_instance().served.evidence.error_rate

    def told() -> Response:
        decided = with_decisions(prediction, error_rate)
        return response_of(decided.for_question(perf_counter() - began, notes), output)

    # The files in it are copied, megabytes of them: nobody else waits for that.
    return await to_thread.run_sync(told, limiter=task.workplace.threads)


def _asked(
    task: ClassifyTask,
    named: Callable[[], AbstractContextManager[_Named]],
    wish: Wish,
    gone: Callable[[], bool],
) -> tuple[Question, tuple[str, ...]]:
    """The question for an answer, which is there or comes, and what the reader of it must know of the study.

    In a thread that may wait; the study is open only as long as it is needed here.
    """
    with named() as study:
        path, content = study.opened.path, study.content()
        question = task.ask(path, study=study.name, content=content, wish=wish, gone=gone)
        return question, study.opened.notes


@dataclass(frozen=True)
class _Named:
    """The one study that a request names, on this computer.

    Attributes:
        opened: the study.
        name: what messages call it.
        uploaded: it came with this request, so that its place says nothing about it.
    """

    opened: OpenedStudy
    name: str
    uploaded: bool = False

    def content(self) -> str:
        """What tells its content from others."""
        path = self.opened.path
        return content_of_upload(path) if self.uploaded else content_of(path, self.name)


@contextmanager
def _named(
    file: UploadFile | None, image: str, session_id: str, cancelled: Callable[[], bool]
) -> Iterator[_Named]:
    """The study, open for as long as the block lasts.

    MONAI Label's clients say an ``image`` beside every session and every file, too: there it is only what the
    reader calls the study, and leads nowhere.
    """
    if session_id and file is not None:
        raise BadRequestError("session_id and file name two studies.", _HOW_TO_NAME)
    if not (session_id or file is not None or image):
        raise BadRequestError("no study is named;", _HOW_TO_NAME)
    if session_id:
        with open_sessions().opened(session_id) as session:
            yield _Named(OpenedStudy(session.study), session.title)
    elif file is not None:
        with uploaded(file) as (path, name):
            yield _Named(OpenedStudy(path), name, uploaded=True)
    else:
        with app_instance().datastore().opened(checked_id(image, "image"), cancelled=cancelled) as study:
            yield _Named(study, image)
