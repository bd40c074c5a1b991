"""The report of a training: figures and one HTML page that needs nothing else (``write_report``)."""

from vpt_plugin.training.report.facts import LearningCurve, ReportFacts, ReportStudy
from vpt_plugin.training.report.writing import write_report

__all__ = ["LearningCurve", "ReportFacts", "ReportStudy", "write_report"]
