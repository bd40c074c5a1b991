"""Studies that readers add: what only a reader's computer has, and what is to be labelled here."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from vpt_plugin.ct.files import file_suffix
from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.store.adding import (
    ADDED_KINDS,
    AddedStudy,
    PatientInHeaderError,
    add_study,
    sweep_unfinished,
)
from vpt_plugin.store.source import StudySource

from .device_queue import FairQueue
from .errors import BadRequestError, NotOfferedError
from .names import safe_name

_logger = logging.getLogger(__name__)
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
_BY_HAND = "copy the study into the server's studies folder."
_READ_ONLY = ("the server may only read its studies;", f"whoever runs it can let it write, or {_BY_HAND}")


class Additions:
    """Adds studies to a folder, one after the other: each is read once before it counts.

    Args:
        folder: of the studies; None where they come from an archive.
        switched_on: what ``--conf add_studies`` says.
    """

    def __init__(self, folder: Path | None, *, switched_on: bool) -> None:
        self._folder = folder
        self._switched_on = switched_on
        self._turns = FairQueue(1, what="studies that are added")

    @property
    def offered(self) -> bool:
        """Whether a study can be added, as far as that can be told before."""
        return self._switched_on and self._folder is not None and os.access(self._folder, os.W_OK)

    def require(self) -> Path:
        """The folder, where studies can be added to it.

        Raises:
            NotOfferedError: they cannot, and why.
        """
        if self._folder is None:
            raise NotOfferedError(
                "the studies are in a DICOM archive;", "send the study there.", allowed=("GET",)
            )
        if not self._switched_on:
            raise NotOfferedError("studies are not added over HTTP;", _BY_HAND, allowed=("GET",))
        return self._folder

    def sweep(self) -> None:
        """Remove what a killed server left of a study that was being added."""
        for path in sweep_unfinished(self._folder) if self._folder and self._switched_on else ():
            _logger.info("%s was left over by a server that was killed; it is removed", path)

    def add(self, file: UploadFile, source: StudySource, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Add a study; its id, and whether it is new.

        Args:
            file: only the ending of its name is looked at.
            source: finds what was added.
            cancelled: asked while others are added before.

        Raises:
            NotOfferedError: see ``require``; or the folder cannot be written.
            BadRequestError: it is no file of one study, or its header tells who the patient is.
            StudyError: it cannot be read as a chest CT; nothing of it stays.
            ArchiveUnreachableError: the folder is away.
        """
        folder = self.require()
        suffix = file_suffix(Path(safe_name(file.filename)))
        if suffix not in ADDED_KINDS:
            raise BadRequestError(
                f"a study is added as one file, {', '.join(ADDED_KINDS)};",
                f"save the volume as one of these. DICOM holds patients' names: {_BY_HAND}",
            )
        with self._turns.turn(cancelled):
            # A server that runs for months is never started again to do it.
            self.sweep()
            _refuse_where_studies_would_go(source)
            added = _added(folder, file, suffix)
            source.refresh()
        return {"image": source.require(added.path.name), "sha256": added.sha256, "new": added.new}


def _refuse_where_studies_would_go(source: StudySource) -> None:
    """Loose DICOM files directly in the folder are a study only for as long as there is no other.

    Raises:
        NotOfferedError: they are.
        ArchiveUnreachableError: the folder is away.
    """
    ids = source.ids()
    if not source.state().reachable:
        raise ArchiveUnreachableError(f"{source.state().problem}.", "Add the study when it is back.")
    if len(ids) == 1 and source.facts(ids[0])["place"] == ".":
        raise NotOfferedError(
            "the server's studies folder is itself its one study;",
            "whoever runs it can move the DICOM files into a folder in it.",
            allowed=("GET",),
        )


def _added(folder: Path, file: UploadFile, suffix: str) -> AddedStudy:
    try:
        return add_study(folder, file.file, suffix, day=datetime.now(timezone.utc).date())
    except PatientInHeaderError as error:
        raise BadRequestError(error.message, error.hint) from error
    except FileNotFoundError as error:
        raise ArchiveUnreachableError(
            "the studies folder cannot be read.", "Add the study when it is back."
        ) from error
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise NotOfferedError(*_READ_ONLY, allowed=("GET",)) from error
        raise
