"""Sessions: a study is uploaded once and then named by its session's id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from monailabel.interfaces.utils.app import app_instance
from starlette.datastructures import FormData

from ..errors import NotOfferedError, WrongFormError
from ..sessions import Session, Sessions
from ..uploads import FILES, described, files_of, form
from .who import User

router = APIRouter(prefix="/session", tags=["Session"])


@router.put(
    "/", summary="Upload a study for several requests", openapi_extra=described(["files"], files=FILES)
)
def create_session(
    person: User,
    parts: Annotated[FormData, Depends(form)],
    uncompress: bool = False,
    expiry: int = 0,
) -> dict[str, Any]:
    """One part ``files``: a NIfTI, NRRD or MHA file, or a zip or tar of DICOM; or one for every DICOM file.

    ``uncompress`` unpacks an archive once, instead of each time it is read. ``expiry`` is in seconds after
    the last use; the server has an upper limit.
    """
    files = files_of(parts, "files")
    if not files:
        raise WrongFormError("there is no file in the form;", "send the study in parts called files.")
    session = open_sessions().create(files, uncompress=uncompress, expiry=expiry)
    return {"session_id": session.name, "session_info": _told(session)}


@router.get("/{session_id}", summary="Is the session still there?")
def get_session(
    session_id: str, person: User, update_ts: bool = False, image: bool = False
) -> dict[str, Any]:
    """Its name and how long it lasts; ``update_ts`` counts as a use."""
    if image:
        raise NotOfferedError(
            "an uploaded study is not handed out again;", "you have it.", allowed=("DELETE", "GET")
        )
    return _told(open_sessions().find(session_id, used=update_ts))


@router.delete("/{session_id}", summary="Remove the session and its study")
def remove_session(session_id: str, person: User) -> dict[str, Any]:
    """The study is removed from the server."""
    return _told(open_sessions().remove(session_id))


def open_sessions() -> Sessions:
    """The server's sessions.

    Raises:
        NotOfferedError: they are switched off (MONAI_LABEL_SESSIONS=false).
    """
    sessions: Sessions | None = app_instance().sessions()
    if sessions is None:
        raise NotOfferedError("sessions are switched off on this server;", "upload with each request.")
    return sessions


def _told(session: Session) -> dict[str, Any]:
    """What a client gets to know of a session: no path."""
    return {"name": session.name, "expiry": session.expiry_seconds}
