"""Sessions: a study is uploaded once and then named by ``session_id``. Our twins of MONAI Label's routes.

MONAI Label's own unpack any archive to wherever it says, leave the upload behind when that fails, and tell
where on the server things lie.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.sessions import SessionInfo, Sessions

from .errors import BadRequestError, NotOfferedError
from .infer_request import open_session, safe_name

_MAY_USE = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))

router = APIRouter(prefix="/session", tags=["Session"])


@router.put("/", summary="Upload a study for several requests")
def create_session(
    files: Annotated[list[UploadFile], File()],
    uncompress: bool = False,
    expiry: int = 0,
    user: User = _MAY_USE,
) -> dict[str, Any]:
    """A NIfTI, NRRD or MHA file or a zip of DICOM; or one part ``files`` for every DICOM file of a series.

    ``expiry`` is in seconds after the last use; the server has an upper limit.
    """
    if uncompress:
        raise BadRequestError("archives are not unpacked here;", "a zip of DICOM is read as it is.")
    sessions = _sessions()
    # MONAI Label would take a version 1 UUID: the next one can be guessed from it.
    session_id = str(uuid.uuid4())
    with tempfile.TemporaryDirectory(prefix="vptct-session-") as folder:
        study = _store(files, Path(folder) / "study")
        try:
            _, session = sessions.add_session(str(study), expiry, False, session_id)
        except BaseException:
            # A session without its study would stop MONAI Label's cleaning up of old ones.
            sessions.remove_session(session_id)
            raise
    return {"session_id": session_id, "session_info": _told(session)}


@router.get("/{session_id}", summary="Is the session still there?")
def get_session(
    session_id: str, update_ts: bool = False, image: bool = False, user: User = _MAY_USE
) -> dict[str, Any]:
    """Its name and how long it lasts; ``update_ts`` counts as a use."""
    if image:
        raise NotOfferedError("an uploaded study is not handed out again;", "you have it.")
    return _told(open_session(_sessions(), session_id, used=update_ts))


@router.delete("/{session_id}", summary="Remove the session and its study")
def remove_session(session_id: str, user: User = _MAY_USE) -> dict[str, Any]:
    """The study is removed from the server."""
    sessions = _sessions()
    session = open_session(sessions, session_id, used=False)
    sessions.remove_session(session_id)
    return _told(session)


def _sessions() -> Sessions:
    sessions: Sessions | None = app_instance().sessions()
    if sessions is None:
        raise NotOfferedError("sessions are switched off on this server;", "upload with each request.")
    return sessions


def _told(session: SessionInfo) -> dict[str, Any]:
    """What a client gets to know of a session: no path."""
    return {"name": session.name, "expiry": session.expiry}


def _store(files: list[UploadFile], folder: Path) -> Path:
    """Write the uploads into a new folder; the study is this folder, or the file where there is but one."""
    folder.mkdir()
    for number, file in enumerate(files):
        path = folder / safe_name(file.filename)
        if path.exists():
            # Slices of several folders may share their names.
            path = folder / f"{number:05d}_{path.name}"
        with path.open("xb") as target:
            shutil.copyfileobj(file.file, target, 1 << 20)
    return path if len(files) == 1 else folder
