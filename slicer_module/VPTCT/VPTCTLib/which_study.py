"""Which study is on screen: one that the server has is named to it, any other is uploaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .client import Client
from .contract.info import StudiesState
from .errors import NotOfferedError
from .i18n import tr as _
from .transport.cancel import Cancel

ARCHIVE = "archive"
# DICOM PS3.5, 9.1: digits and dots, at most 64.
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_MAX_UID_CHARACTERS = 64


@dataclass(frozen=True)
class Origin:
    """Where a volume came from. Only for a volume as it came: one that was cropped or resampled has none.

    Attributes:
        server: the address of the server that it was downloaded from; "" for none.
        study: its id there; "" for none.
        series_uid: SeriesInstanceUID of the DICOM series that it was loaded from; "" where it is not known.
        examination: StudyInstanceUID of the same; "" where it is not known.
        server_id: of the server that it was downloaded from, as ``ServerInfo`` has it; "" where it told none.
    """

    server: str = ""
    study: str = ""
    series_uid: str = ""
    examination: str = ""
    server_id: str = ""

    def is_from(self, address: str, server_id: str) -> bool:
        """Whether it came from this server: one may have two addresses, one address two servers."""
        if self.server_id and server_id:
            return self.server_id == server_id
        return self.server == address


@dataclass(frozen=True)
class OnServer:
    """The server has the study: it is named by its id, and can be labelled."""

    study: str


@dataclass(frozen=True)
class ToUpload:
    """The server does not have the study.

    Attributes:
        why: for the reader, before they agree to an upload.
    """

    why: str


def which_study(
    origin: Origin,
    client: Client,
    studies: StudiesState,
    cancel: Cancel | None = None,
    *,
    server_id: str = "",
) -> OnServer | ToUpload:
    """Whether the server has the study of a volume. Asks the server, so not for the GUI's thread.

    Args:
        origin: of the volume.
        client: to the server.
        studies: of ``GET /info/``.
        cancel: ends it.
        server_id: of ``GET /info/``; "" where the server tells none.

    Raises:
        VptctError: the server cannot be asked. It is never guessed: patients' data would leave the computer.
    """
    if origin.study and origin.is_from(client.address, server_id):
        if client.studies.has(origin.study, cancel):
            return OnServer(origin.study)
        return ToUpload(_("The study came from this server, which does not have it any more."))
    if not is_uid(origin.series_uid):
        return ToUpload(_("The volume is not known to come from this server, nor from a DICOM series."))
    found = _by_series(origin, client, studies, cancel)
    return OnServer(found) if found else ToUpload(_("The server has no study that is this series."))


def _by_series(origin: Origin, client: Client, studies: StudiesState, cancel: Cancel | None) -> str | None:
    examination = origin.examination if is_uid(origin.examination) else ""
    try:
        return client.studies.of_series(origin.series_uid, examination=examination, cancel=cancel)
    except NotOfferedError:
        # An older server: of an archive the id of a study is its series UID, of a folder nobody knows.
        if studies.kind == ARCHIVE and client.studies.has(origin.series_uid, cancel):
            return origin.series_uid
        return None


def is_uid(text: str) -> bool:
    """Whether a text has the form of a DICOM UID."""
    return len(text) <= _MAX_UID_CHARACTERS and _UID.fullmatch(text) is not None
