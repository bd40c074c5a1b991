"""About the server itself: what it can do, what is running, its log, looking anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance

from ..errors import NothingThereError
from .who import Admin, User

_MAX_LOG_BYTES = 1 << 20
router = APIRouter(tags=["Server"])
logs = APIRouter(tags=["Server"])
reload = APIRouter(tags=["Server"])


@router.get("/info/", summary="What this server can do")
def info(person: User) -> dict[str, Any]:
    """Tasks, models, their versions and how they were validated: the block ``vptct``."""
    return dict(app_instance().info())


# What MONAI Label's clients ask now and then: 404 tells them that nothing of the kind is running.
@router.get("/scoring/", include_in_schema=False)
def scoring(person: User) -> None:
    """No."""
    raise NothingThereError(
        "No scoring method is running on this server.", "GET /activelearning/ tells how scoring goes."
    )


@logs.get("/logs/", summary="The end of the server's log", response_class=PlainTextResponse)
def show_log(person: Admin, lines: Annotated[int, Query(ge=1, le=10_000)] = 300) -> str:
    """As text; the paths of the server's folders are left out."""
    path = Path(settings.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
    if not path.is_file():
        raise NothingThereError("this server keeps no log file.")
    end = _end_of(path).decode(errors="replace").splitlines(keepends=True)
    return str(app_instance().without_folders("".join(end[-lines:])))


def _end_of(path: Path) -> bytes:
    """The last whole lines of a file that may be of any length."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - _MAX_LOG_BYTES))
        end = file.read(_MAX_LOG_BYTES)
    return end if size_bytes <= _MAX_LOG_BYTES else end.partition(b"\n")[2]


@reload.post("/reload", summary="Look for studies, labels and models anew")
def look_anew(person: Admin) -> dict[str, Any]:
    """The server does that by itself; this is for who does not want to wait some seconds."""
    return dict(app_instance().look_anew())
