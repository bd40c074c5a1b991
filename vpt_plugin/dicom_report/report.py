"""report_of: the answer for one study as a DICOM structured report."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom

from vpt_plugin.dicom_report.source import ReportSource
from vpt_plugin.inference.prediction import Prediction
from vpt_plugin.tasks import ReadingTask

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def report_of(
    prediction: Prediction, source: ReportSource, task: ReadingTask, *, created: datetime | None = None
) -> Dataset:
    """The answer for one study as a Comprehensive SR by template TID 1500 (DICOM PS3.16).

    Its UIDs are made from what it says, so that the same answer of the same version for the same slices is
    the same instance, whoever makes it and however often.

    Args:
        prediction: the answer.
        source: the study, as ``read_source`` gives it.
        task: says what the findings are called by terminologies.
        created: when the report was made; by default now. It moves no UID. Without a time zone it is the
            computer's own.
    """
    from vpt_plugin.dicom_report.document import document_of

    return document_of(prediction, source, task, created or datetime.now())


def file_bytes(report: Dataset) -> bytes:
    """The report as a DICOM file (PS3.10)."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, report, write_like_original=False)
    return buffer.getvalue()
