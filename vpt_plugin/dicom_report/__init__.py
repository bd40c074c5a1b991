"""An answer as DICOM: a structured report (TID 1500) that a hospital's archive keeps beside the study.

highdicom, which takes nearly a second to load, is loaded by the first report that is made.
"""

from vpt_plugin.dicom_report.report import report_of
from vpt_plugin.dicom_report.sending import Sent, send_report
from vpt_plugin.dicom_report.source import ReportSource, SourceSlice, read_source

__all__ = ["ReportSource", "Sent", "SourceSlice", "read_source", "report_of", "send_report"]
