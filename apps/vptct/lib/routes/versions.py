"""The versions of a model: which there are, which is served, and choosing another one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from monailabel.interfaces.utils.app import app_instance

from vpt_plugin.training.answering import check_task
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts

from ..infer_task import ClassifyTask
from ..names import plain_text
from ..versions import served_now, versions_info
from .report import report_page
from .who import Reviewer, User

router = APIRouter(prefix="/versions", tags=["Versions"])
Version = Annotated[int, Query(ge=1, le=10**9)]
Why = Annotated[str, Query(max_length=1000)]


@router.get("/{model}", summary="The versions of a model")
def versions(model: str, person: User) -> dict[str, Any]:
    """Each with what its card says, which one is served, and what was served before."""
    app = app_instance()
    return versions_info(app.model_store, app.classify_task(model), app.without_folders)


@router.get("/{model}/report", summary="The report of a version", response_class=HTMLResponse)
def report(model: str, version: Version, person: User) -> HTMLResponse:
    """One page of HTML with the figures of its training, which loads nothing and runs nothing."""
    app = app_instance()
    task = app.classify_task(model)
    return report_page(app.model_store, task.task.name, task.spec.name, version)


@router.post("/{model}/promote", summary="Serve a version from now on")
def promote(model: str, version: Version, person: Reviewer, why: Why = "") -> dict[str, Any]:
    """The next answer is this version's. ``why`` goes to the record of what was served."""
    app = app_instance()
    task = app.classify_task(model)
    _require_same_task(app.model_store, task, version)
    card = app.model_store.promote(
        task.task.name, task.spec.name, version, why=plain_text(why, "why"), by=person.name
    )
    return served_now(card)


@router.post("/{model}/rollback", summary="Serve again what was served before")
def rollback(model: str, person: Reviewer, why: Why = "") -> dict[str, Any]:
    """The next answer is that version's. Rolling back twice goes back two versions."""
    app = app_instance()
    task = app.classify_task(model)
    before = app.model_store.served(task.task.name, task.spec.name).before
    if before is not None:
        _require_same_task(app.model_store, task, before)
    card = app.model_store.rollback(
        task.task.name, task.spec.name, why=plain_text(why, "why"), by=person.name
    )
    return served_now(card)


def _require_same_task(store: ModelStore, task: ClassifyTask, version: int) -> None:
    """Refuse a version for another file of a site's own task, which the store does not know."""
    card = store.card(task.task.name, task.spec.name, version)
    check_task(card, task.task, reading_facts(task.task, task.spec))
