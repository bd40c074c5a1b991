"""write_report: the figures as PNG files and one HTML file that holds them all."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.gallery import gallery
from vpt_plugin.training.report.page import page

REPORT, FIGURES_FOLDER = "report.html", "figures"


def write_report(facts: ReportFacts, folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into a folder that is there.

    The page needs none of the other files: it can be mailed or printed by itself.

    Args:
        facts: of the training.
        folder: for example a version that is about to be published.

    Returns:
        The HTML file.

    Raises:
        OSError: it cannot be written.
    """
    pictures = gallery(facts)
    (folder / FIGURES_FOLDER).mkdir(exist_ok=True)
    for picture in pictures.pictures():
        (folder / FIGURES_FOLDER / f"{picture.name}.png").write_bytes(picture.data)
    report = folder / REPORT
    report.write_text(page(facts, pictures), encoding="utf-8")
    return report
