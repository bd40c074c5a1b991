"""send_report: a report to a DICOM archive by STOW-RS, once and no more."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom

from vpt_plugin.dicom_report.report import file_bytes
from vpt_plugin.dicom_report.uids import content_text
from vpt_plugin.errors import ArchiveError
from vpt_plugin.store.archive.client import ArchiveClient

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Sent:
    """A report that lies in the archive.

    Attributes:
        uid: its SOPInstanceUID.
        already_there: it lay there before and nothing was sent.
        report: the one in the archive; of an earlier day where it lay there before.
    """

    uid: str
    already_there: bool
    report: Dataset


def send_report(report: Dataset, archive: ArchiveClient) -> Sent:
    """Store a report in the archive, unless it lies there, and read back that it does.

    An answer that was sent before has the same SOPInstanceUID, so that it stays one instance however often
    and by however many at once it is sent.

    Args:
        report: as ``report_of`` makes it.
        archive: a conversation with the archive.

    Raises:
        ArchiveError: the archive refuses it, or holds something else under its UID.
        ArchiveUnreachableError: the archive cannot be asked.
        CancelledError: whoever began the conversation said so.
    """
    uid = str(report.SOPInstanceUID)
    if (held := _held(report, archive)) is not None:
        return Sent(uid, already_there=True, report=held)
    try:
        archive.store(file_bytes(report), str(report.StudyInstanceUID))
    except ArchiveError:
        # An archive that refuses what it has says so, too, where another one sent it meanwhile, or where the
        # answer to the first try was lost and the second found the report stored.
        if (held := _held(report, archive)) is None:
            raise
        return Sent(uid, already_there=False, report=held)
    if (held := _held(report, archive)) is None:
        raise ArchiveError(
            f"the DICOM archive {archive.address.host} took the report {uid} and does not hand it out.",
            "Its own log may have the cause; then send the report again, it stays one.",
        )
    return Sent(uid, already_there=False, report=held)


def _held(report: Dataset, archive: ArchiveClient) -> Dataset | None:
    """The report as the archive holds it, with the same content; None where it does not.

    Raises:
        ArchiveError: there is something else under its UID.
    """
    data = archive.instance_or_none(
        str(report.StudyInstanceUID), str(report.SeriesInstanceUID), str(report.SOPInstanceUID)
    )
    if data is None:
        return None
    held = pydicom.dcmread(BytesIO(data))
    if "ContentSequence" not in held or content_text(held) != content_text(report):
        raise ArchiveError(
            f"the DICOM archive {archive.address.host} has something else than this report under its "
            f"UID, {report.SOPInstanceUID}.",
            "Somebody changed it there: remove it from the archive, then send the report again.",
        )
    return held
