"""ArchiveReport: an answer that was stored in the archive of its study, as a DICOM structured report."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Fields


@dataclass(frozen=True)
class ArchiveReport:
    """A report in an archive.

    Attributes:
        study: whose answer it is.
        version: that answered.
        sop_instance_uid: by which the archive knows it.
        already_there: whether it was sent before.
    """

    study: str
    version: int
    sop_instance_uid: str
    already_there: bool


def read_archive_report(data: object) -> ArchiveReport:
    """The answer of ``POST /report/`` with ``send``.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields(data, "the report")
    return ArchiveReport(
        fields.text("image"), fields.whole("version"), fields.text("sop_instance_uid"),
        fields.flag("already_there"),
    )  # fmt: skip
