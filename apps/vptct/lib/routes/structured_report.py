"""An answer as a DICOM structured report: as a file, or stored in the archive that its study is from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from monailabel.interfaces.utils.app import app_instance

from vpt_plugin.dicom_report import ReportSource, read_source, report_of, send_report
from vpt_plugin.dicom_report.report import file_bytes
from vpt_plugin.inference import Prediction
from vpt_plugin.inference.conformal import with_decisions
from vpt_plugin.store.archive import DicomArchive

from ..answers.desk import Question
from ..answers.key import content_of
from ..answers.waiting import answer_of
from ..answers.wish import Wish
from ..errors import NotOfferedError
from ..evidence_conf import ARCHIVE, OFF
from ..infer_task import ClassifyTask
from ..names import checked_id
from .infer import trained
from .who import HungUp, User

router = APIRouter(prefix="/report", tags=["Infer"])
_DICOM = "application/dicom"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A DICOM file; where it was sent, what became of it as JSON.",
        "content": {_DICOM: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Image = Annotated[str, Query(description="The id of a study that is DICOM.")]
Send = Annotated[bool, Query(description="Store it in the archive; takes the role annotator.")]


@router.post("/{model}", summary="An answer as a DICOM structured report", responses=_FILE)
async def structured_report(
    request: Request,
    person: User,
    task: Annotated[ClassifyTask, Depends(trained)],
    cancelled: HungUp,
    image: Image,
    send: Send = False,
) -> Response:
    """What the served version says of a study, by template TID 1500.

    The answer is computed if it was not kept. The same answer of the same version is the same instance, which
    an archive keeps once. Nothing is sent while the study is in the hands of a second reader, who would find
    the answer beside it.
    """
    app = app_instance()
    if send:
        person.check("annotator")
    archive = _archive_to_send_to() if send else None
    if app.served.evidence.report == OFF:
        raise NotOfferedError("answers are not told as DICOM here;", "leave out --conf report off.")
    asked = partial(_asked, task, checked_id(image, "image"), cancelled, sends=send)
    question, source, notes = await to_thread.run_sync(asked, limiter=task.workplace.threads)
    prediction = await answer_of(question, task.workplace.answers, request.is_disconnected)

    def told() -> Response:
        decided = with_decisions(prediction, app.served.evidence.error_rate).for_question(0.0, notes)
        if archive is None:
            return _file(decided, source, task)
        return _sent(decided, source, task, archive, cancelled)

    return await to_thread.run_sync(told, limiter=task.workplace.threads)


def _archive_to_send_to() -> DicomArchive:
    """The archive that the studies are from, where reports are sent to it.

    Raises:
        NotOfferedError: they are from a folder, or reports are not sent.
    """
    app = app_instance()
    studies = app.datastore().studies
    if not isinstance(studies, DicomArchive):
        raise NotOfferedError(
            "the studies are in a folder, so there is no archive to send a report to;",
            "without send=true the answer is the report as a file.",
        )
    if app.served.evidence.report != ARCHIVE:
        raise NotOfferedError(
            "reports are not sent to the archive;", "whoever runs the server can: --conf report archive."
        )
    return studies


def _asked(
    task: ClassifyTask, image: str, gone: Callable[[], bool], *, sends: bool
) -> tuple[Question, ReportSource, tuple[str, ...]]:
    """The question for the answer, what its report refers to, and what the reader must know of the study."""
    if sends:
        # Before anything is computed; it is looked at again before it is sent.
        _require_not_read_blind(image, task)
    with app_instance().datastore().opened(image, cancelled=gone) as study:
        # First: what cannot be referred to need not be computed.
        source = read_source(study.path, name=image)
        content = content_of(study.path, image)
        question = task.ask(study.path, study=image, content=content, wish=Wish(), gone=gone)
        return question, source, study.notes


def _require_not_read_blind(image: str, task: ClassifyTask) -> None:
    app_instance().worklists.hands.require_not_read_blind(image, task.task.name)


def _file(prediction: Prediction, source: ReportSource, task: ClassifyTask) -> Response:
    report = report_of(prediction, source, task.task)
    headers = {"Content-Disposition": f'attachment; filename="{report.SOPInstanceUID}.dcm"'}
    return Response(file_bytes(report), media_type=_DICOM, headers=headers)


def _sent(
    prediction: Prediction,
    source: ReportSource,
    task: ClassifyTask,
    archive: DicomArchive,
    gone: Callable[[], bool],
) -> Response:
    report = report_of(prediction, source, task.task)
    _require_not_read_blind(source.study, task)
    with archive.conversation(gone) as client:
        sent = send_report(report, client)
    return JSONResponse(
        {
            "image": source.study,
            "model": task.name,
            "version": prediction.card.version,
            "sop_instance_uid": sent.uid,
            "already_there": sent.already_there,
        }
    )
