"""The HTML report of a version, as an answer that loads and runs nothing."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.version_folder import VersionFolder

from ..errors import NothingThereError
from ..versions import REPORT

# Its figures are inside of it. ``sandbox`` keeps even a script that came through from running.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # It names studies.
    "Cache-Control": "no-store",
}


def report_page(store: ModelStore, task: str, model: str, version: int) -> HTMLResponse:
    """The report of a version.

    Raises:
        NothingThereError: there is none.
    """
    path = VersionFolder(store.root, task, model).place(version) / REPORT
    try:
        page = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NothingThereError(
            f"{task}_{model} version {version} has no report:",
            "it was trained without, came from elsewhere, or was removed.",
        ) from error
    return HTMLResponse(page, headers=_HEADERS)
