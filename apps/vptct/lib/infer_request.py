"""From the fields of ``POST /infer/{model}`` to the study that is meant."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile
from monailabel.utils.sessions import SessionInfo, Sessions

from vpt_plugin.errors import StudyNotFoundError

from .errors import BadRequestError

# What MONAI Label's own clients send along with every request; it changes nothing here.
_HARMLESS_PARAMS = ("client_id", "result_compress", "result_dtype", "result_extension")
_SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_params(params: str) -> None:
    """Refuse parameters that this server does not know: the device, a path or a model are not a client's.

    Raises:
        BadRequestError: not a JSON object, or an unknown key in it.
    """
    try:
        values = json.loads(params or "{}")
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"params is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise BadRequestError("params must be a JSON object.")
    if unknown := sorted(set(values) - set(_HARMLESS_PARAMS)):
        raise BadRequestError(
            f"params has an unknown key {unknown[0][:100]!r};",
            f"known are {', '.join(_HARMLESS_PARAMS)}. The study is named by image, session_id or file.",
        )


@contextmanager
def uploaded(file: UploadFile) -> Iterator[tuple[Path, str]]:
    """An uploaded study in a temporary folder of its own, which is removed in every outcome.

    Yields:
        its path and its name, which is what the client called it as far as that is safe.
    """
    name = safe_name(file.filename)
    with tempfile.TemporaryDirectory(prefix="vptct-upload-") as folder:
        path = Path(folder) / name
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, 1 << 20)
        yield path, name


def session_study(sessions: Sessions | None, session_id: str) -> tuple[Path, str]:
    """The study that was uploaded in a session: its path, and a name for messages.

    Raises:
        StudyNotFoundError: no such session, or it has expired.
    """
    session = open_session(sessions, session_id, used=True)
    path = Path(session.image)
    return path, path.name if path.is_file() else "the uploaded study"


def open_session(sessions: Sessions | None, session_id: str, *, used: bool) -> SessionInfo:
    """The session of that id.

    Args:
        sessions: MONAI Label's; None where they are switched off.
        session_id: what the client says.
        used: its time starts anew.

    Raises:
        StudyNotFoundError: no such session, or it has expired.
    """
    session = None
    # MONAI Label joins the text to a path: what is no UUID never gets there.
    if sessions is not None and _SESSION_ID.fullmatch(session_id):
        session = sessions.get_session(session_id, update_ts=used)
    if session is None:
        raise StudyNotFoundError(
            f"session {session_id[:100]!r}", "there is no such session.", "Upload the study again."
        )
    return session


def safe_name(filename: str | None) -> str:
    """The client's name for its file with nothing in it that leads anywhere: ``../a ct.nii`` is ``a_ct.nii``.

    Its end is kept, for the extension there says what the file is.
    """
    last = re.split(r"[/\\]", filename or "")[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last)[-100:].lstrip(".") or "upload"
