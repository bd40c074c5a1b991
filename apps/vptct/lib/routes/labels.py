"""What readers said about studies: saved as new versions, never changed or removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from starlette.datastructures import FormData

from vpt_plugin.store.labels import DamagedLabel, SavedLabel, SetAsideLabel

from ..access.person import annotator_of
from ..datastore import FINAL, id_of_label
from ..errors import TooLargeError, WrongFormError
from ..limits import Limits
from ..names import checked_id
from ..params import check_params
from ..uploads import FILE, TEXT, described, file_of, form, text_of
from .download import Download
from .who import Annotator, User

router = APIRouter(prefix="/datastore/label", tags=["Labels"])
Version = Annotated[int | None, Query(ge=0, le=10**9)]


@router.put(
    "", summary="Save what a reader said about a study",
    openapi_extra=described(["label"], label=FILE, params=TEXT),
)  # fmt: skip
def save_label(
    image: str,
    person: Annotator,
    parts: Annotated[FormData, Depends(form)],
    tag: str = FINAL,
    if_version: Version = None,
) -> dict[str, Any]:
    """Save a label of the contract ``vptct.label/1``; it is on the disk when this answers.

    With ``if_version`` it is saved only if that is the newest version (0: there is none). Else the answer is
    409 with both labels, and this one is set aside.
    """
    check_params(text_of(parts, "params", "{}"))
    store = app_instance().datastore()
    label = store.check.label(_contract(parts))
    label = replace(label, annotator=annotator_of(person, label.annotator))
    saved = store.save(checked_id(image, "image"), label, tag=tag, if_version=if_version)
    app_instance().on_save_label(saved.study, id_of_label(saved))
    app_instance().worklists.notes.labelled(saved, person.name)
    app_instance().retraining.label_saved()
    earlier = [each for each in store.history(saved.study, saved.task) if each.version < saved.version]
    return {
        "image": saved.study,
        "label": id_of_label(saved),
        "version": saved.version,
        "sha256": saved.sha256,
        "saved": saved.saved,
        "previous_version": earlier[-1].version if earlier else None,
        "previous_annotator": earlier[-1].label.annotator if earlier else None,
    }


@router.get("", summary="A label, byte for byte", response_class=FileResponse)
def get_label(label: str, person: User, tag: str = FINAL) -> Download:
    """The file of one version; its id is in ``/datastore/?output=all`` and in the answer to saving it."""
    saved = app_instance().datastore().saved(checked_id(label, "label"), tag)
    return Download(saved.path, media_type="application/json", filename=saved.path.name)


@router.get("/info", summary="Who saved a label, and when")
def label_info(label: str, person: User, tag: str = FINAL) -> dict[str, Any]:
    """Study, task, version, annotator and time."""
    return dict(app_instance().datastore().get_label_info(checked_id(label, "label"), tag))


@router.get("/history", summary="All versions of a study's label")
def history(image: str, task: str, person: User) -> dict[str, Any]:
    """Oldest first; with the labels that were set aside in a conflict, and files that cannot be read.

    ``newest_version`` is what ``if_version`` is compared with.
    """
    store = app_instance().datastore()
    image, task = checked_id(image, "image"), checked_id(task, "task")
    versions = store.history(image, task)
    if not versions:
        # What has a label is told even when its study or its task is no longer there.
        store.check.task(task)
        image = store.studies.require(image)
        versions = store.history(image, task)
    aside = [each for each in store.labels.conflicts(image) if each.task == task]
    damaged = [each for each in store.labels.damaged(image) if each.task == task]
    return {
        "image": image,
        "task": task,
        "newest_version": store.labels.newest_version(image, task),
        "versions": [_version(each) for each in versions],
        "set_aside": [_set_aside(each) for each in aside],
        "damaged": [_damaged(each) for each in damaged],
    }


def _contract(parts: FormData) -> bytes:
    """The label that was sent: a file in the form, as MONAI Label's clients send it.

    Raises:
        WrongFormError: there is none.
        TooLargeError: it is larger than any label.
    """
    file = file_of(parts, "label")
    if file is None:
        raise WrongFormError("there is no label in the form;", "send it as a file called label.")
    contract = file.file.read(Limits.label_bytes + 1)
    if len(contract) > Limits.label_bytes:
        raise TooLargeError("the label is larger than 1 MiB.", "A label has some hundred bytes.")
    return contract


def _version(saved: SavedLabel) -> dict[str, Any]:
    return {
        "version": saved.version,
        "annotator": saved.label.annotator,
        "created": saved.label.created,
        "saved": saved.saved,
        "sha256": saved.sha256,
        "label": saved.label.to_json(),
    }


def _set_aside(aside: SetAsideLabel) -> dict[str, Any]:
    return {
        "number": aside.number,
        "annotator": aside.label.annotator,
        "saved": aside.saved,
        "expected_version": aside.expected_version,
        "newest_version": aside.newest_version,
        "settled": aside.settled,
        "label": aside.label.to_json(),
    }


def _damaged(damaged: DamagedLabel) -> dict[str, Any]:
    return {"version": damaged.version, "problem": damaged.problem}
