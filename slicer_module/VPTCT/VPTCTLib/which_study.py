"""Which study is on screen: one that the server has is named to it, any other is uploaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .client import Client
from .contract.info import StudiesState
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
    """

    server: str = ""
    study: str = ""
    series_uid: str = ""


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
    origin: Origin, client: Client, studies: StudiesState, cancel: Cancel | None = None
) -> OnServer | ToUpload:
    """Whether the server has the study of a volume. Asks the server, so not for the GUI's thread.

    Args:
        origin: of the volume.
        client: to the server.
        studies: of ``GET /info/``.
        cancel: ends it.

    Raises:
        VptctError: the server cannot be asked. It is never guessed: patients' data would leave the computer.
    """
    if origin.server == client.address and origin.study:
        if client.studies.has(origin.study, cancel):
            return OnServer(origin.study)
        return ToUpload("The study came from this server, which does not have it any more.")
    if not is_uid(origin.series_uid):
        return ToUpload("The volume is not known to come from this server, nor from a DICOM series.")
    if studies.kind != ARCHIVE:
        return ToUpload("This server reads a folder, whose studies are not found by their series.")
    if client.studies.has(origin.series_uid, cancel):
        return OnServer(origin.series_uid)
    return ToUpload("The server's archive does not have this series.")


def is_uid(text: str) -> bool:
    """Whether a text has the form of a DICOM UID."""
    return len(text) <= _MAX_UID_CHARACTERS and _UID.fullmatch(text) is not None
