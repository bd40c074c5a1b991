"""Who has which study: keeping it, giving it back, skipping it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from monailabel.interfaces.utils.app import app_instance

from ..names import checked_id
from ..params import json_object
from ..worklist.wishes import holder_of
from .activelearning import BODY, ClientId, body
from .who import Annotator, Reviewer, User

router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"])
# Of who has no name: what the lease said at the offer.
Holder = Annotated[str, Query(max_length=100)]


@router.put("/leases/{study}", summary="Keep a study for another while")
def extend(study: str, person: User, client_id: ClientId = "", holder: Holder = "") -> dict[str, Any]:
    """To be asked now and then while the reader has the study open.

    Raises:
        StudyNotFoundError: there is no such study.
        LeaseError: it is not in this reader's hands, or no longer.
    """
    whose = holder_of(person, client_id, holder)
    return dict(app_instance().worklists.hands.extend(checked_id(study, "study"), holder=whose))


@router.delete("/leases/{study}", summary="Give a study back")
def give_back(study: str, person: User, client_id: ClientId = "", holder: Holder = "") -> dict[str, Any]:
    """It may be offered to anybody at once.

    Raises:
        StudyNotFoundError: there is no such study.
        LeaseError: it is in somebody else's hands.
    """
    whose = holder_of(person, client_id, holder)
    app_instance().worklists.hands.give_back(checked_id(study, "study"), holder=whose)
    return {}


@router.post("/skips/{study}", summary="Give a study back with a reason", openapi_extra=BODY)
def skip(study: str, person: Annotator, sent: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
    """The body has the ``reason``, and may have ``task``, ``comment`` and ``holder``.

    It is not offered to this reader again; to nobody when two readers skipped it, or when it is unreadable.
    So it takes who may label it, and reviewers see who skipped what.

    Raises:
        LeaseError: somebody else has the study.
    """
    said = json_object(sent, "the body")
    whose = holder_of(person, said.get("client_id"), said.get("holder"))
    app_instance().worklists.hands.skip(checked_id(study, "study"), said, holder=whose)
    return {}


@router.delete("/skips/{study}", summary="Offer a skipped study again")
def unskip(study: str, person: Reviewer, task: str = "") -> dict[str, Any]:
    """To everybody, those who skipped it among them."""
    app_instance().worklists.hands.unskip(checked_id(study, "study"), task, by=person.name)
    return {}
