"""Trainings: ordered, watched and stopped; each is done by a process of its own, one after the other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse
from monailabel.interfaces.utils.app import app_instance

from ..errors import NothingThereError
from ..params import HARMLESS, json_object
from .activelearning import BODY, body
from .report import report_page
from .who import Reviewer, User

router = APIRouter(prefix="/train", tags=["Train"])
Number = Annotated[int, Path(ge=1, le=10**9)]


@router.get("/", summary="The trainings of this server")
def trainings(
    person: User, check_if_running: bool = False, every: Annotated[bool, Query(alias="all")] = False
) -> dict[str, Any]:
    """What runs, what waits, how the last ones ended; with ``all`` every one that is kept.

    Beside that the keys of the one that runs, or else ran last: MONAI Label's clients look there. With
    ``check_if_running`` the answer is 404 where none runs or waits.
    """
    app = app_instance()
    told = app.desk.info(app.without_folders, all_of_them=every)
    now = [each for each in (told["running"], *told["queue"]) if each]
    if check_if_running and not now:
        raise NothingThereError("No training is running on this server.", "POST /train/{model} orders one.")
    return {**next(iter((*now, *told["last"])), {}), **told}


@router.post("/{model}", summary="Order a training", openapi_extra=BODY)
def order(model: str, person: Reviewer, sent: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
    """The body holds settings (``GET /info/`` has them under ``trainers``), all of them optional.

    What cannot be done is refused at once. The answer has the training's ``id``; it starts when those that
    were ordered before have ended.
    """
    settings = {name: value for name, value in json_object(sent, "the body").items() if name not in HARMLESS}
    app = app_instance()
    return dict(app.desk.order(model, settings, by=person.name, plain=app.without_folders))


@router.get("/{job}", summary="One training")
def training(job: Number, person: User) -> dict[str, Any]:
    """Its state, progress, and how it ended."""
    app = app_instance()
    return dict(app.desk.one(job, app.without_folders))


@router.get("/{job}/report", summary="The report of a training", response_class=HTMLResponse)
def report(job: Number, person: User) -> HTMLResponse:
    """One page of HTML with the figures, which loads nothing and runs nothing."""
    app = app_instance()
    record = app.desk.trainings.get(job)
    if not record.outcome:
        raise NothingThereError(f"training {job} has no report: it is {record.state}.")
    return report_page(app.model_store, record.job.task, record.job.model, record.outcome["version"])


@router.delete("/", summary="Stop all trainings")
def stop_all(person: Reviewer) -> dict[str, Any]:
    """The one that runs, and those that wait. Their processes are gone when this answers."""
    app = app_instance()
    return {"stopped": app.desk.stop_all(by=person.name, plain=app.without_folders)}


@router.delete("/{job}", summary="Stop a training")
def stop(job: Number, person: Reviewer) -> dict[str, Any]:
    """Its process is gone when this answers. The same training ordered again goes on where it was."""
    app = app_instance()
    return dict(app.desk.stop(job, by=person.name, plain=app.without_folders))
