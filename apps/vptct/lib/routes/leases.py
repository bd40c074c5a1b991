"""Who has which study: keeping it, giving it back, skipping it.

Who asks (``client_id`` or ``holder``) and for which ``task`` may stand in the query or in a JSON body alike.
What is wrong is told in one order: what cannot be understood, no such study, a wrong or missing field, nobody
said to have it, somebody else has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from monailabel.interfaces.utils.app import app_instance

from ..errors import BadRequestError
from ..names import checked_id
from ..params import HARMLESS, check_known, json_object
from ..worklist.wishes import holder_of, reader_of, text_of
from .activelearning import BODY, ClientId, body
from .who import Annotator, Reviewer, User

router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"])
# Of who has no name: what the lease said at the offer.
Holder = Annotated[str, Query(max_length=100)]
Sent = Annotated[bytes, Depends(body)]
_WHO = ("client_id", "holder")
# Not in the query: a comment may be on a patient, and servers keep addresses in their logs.
_SKIP = ("reason", "task", "comment", *_WHO)


@router.put("/leases/{study}", summary="Keep a study for another while", openapi_extra=BODY)
def extend(
    study: str, person: User, sent: Sent, client_id: ClientId = "", holder: Holder = ""
) -> dict[str, Any]:
    """To be asked now and then while the reader has the study open.

    Raises:
        BadRequestError: what is said cannot be understood, or nobody is said to have the study.
        StudyNotFoundError: there is no such study.
        LeaseError: it is not in this reader's hands, or no longer.
    """
    said = _said(sent, _WHO, {"client_id": client_id, "holder": holder})
    whose = holder_of(person, said["client_id"], said["holder"])
    return dict(app_instance().worklists.hands.extend(checked_id(study, "study"), holder=whose))


@router.delete("/leases/{study}", summary="Give a study back", openapi_extra=BODY)
def give_back(
    study: str, person: User, sent: Sent, client_id: ClientId = "", holder: Holder = ""
) -> dict[str, Any]:
    """It may be offered to anybody at once.

    Raises:
        BadRequestError, StudyNotFoundError: as ``extend``.
        LeaseError: it is in somebody else's hands.
    """
    said = _said(sent, _WHO, {"client_id": client_id, "holder": holder})
    whose = holder_of(person, said["client_id"], said["holder"])
    app_instance().worklists.hands.give_back(checked_id(study, "study"), holder=whose)
    return {}


@router.post("/skips/{study}", summary="Give a study back with a reason", openapi_extra=BODY)
def skip(
    study: str, person: Annotator, sent: Sent, task: str = "", client_id: ClientId = "", holder: Holder = ""
) -> dict[str, Any]:
    """The body has the ``reason``, and may have a ``comment``.

    It is not offered to this reader again; to nobody when two readers skipped it, or when it is unreadable.
    So it takes who may label it, and reviewers see who skipped what.

    Raises:
        BadRequestError, ConfigurationError, UnknownTaskError: what is said of it cannot be.
        StudyNotFoundError: there is no such study.
        LeaseError: somebody else has the study.
    """
    said = _said(sent, _SKIP, {"task": task, "client_id": client_id, "holder": holder})
    whose = holder_of(person, said["client_id"], said["holder"])
    app_instance().worklists.hands.skip(checked_id(study, "study"), said, holder=whose)
    return {}


@router.delete("/skips/{study}", summary="Offer a skipped study again", openapi_extra=BODY)
def unskip(
    study: str, person: Reviewer, sent: Sent, task: str = "", client_id: ClientId = "", holder: Holder = ""
) -> dict[str, Any]:
    """To everybody, those who skipped it among them; for all tasks where none is named.

    Raises:
        BadRequestError, UnknownTaskError: what is said of it cannot be.
        StudyNotFoundError: there is no such study.
        LeaseError: nobody skipped it.
    """
    said = _said(sent, ("task", *_WHO), {"task": task, "client_id": client_id, "holder": holder})
    by = reader_of(person, said["client_id"])
    app_instance().worklists.hands.unskip(checked_id(study, "study"), said["task"], by=by)
    return {}


def _said(sent: bytes, names: tuple[str, ...], query: Mapping[str, str]) -> dict[str, str]:
    """Every field that a route takes, from the body and the query; "" where it is in neither.

    Raises:
        BadRequestError: no JSON object, an unknown key, no text, or both are there and differ.
    """
    values = json_object(sent, "the body")
    check_known(values, (*names, *HARMLESS), "the body")
    said = {name: text_of(values, name) for name in names}
    for name, text in query.items():
        if text and said[name] and text != said[name]:
            raise BadRequestError(
                f"{name} is one thing in the query and another in the body;", "send it in one of them."
            )
        said[name] = said[name] or text
    return said
