"""The report of an experiment: one HTML file that needs nothing else, figures and tables as files."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.study.differences import differences_of
from vpt_plugin.study.figures import study_figures, write_figures
from vpt_plugin.study.published import published_table
from vpt_plugin.study.report_facts import StudyFacts
from vpt_plugin.study.report_page import published_page, study_page
from vpt_plugin.study.side_by_side import side_by_side
from vpt_plugin.study.table_files import write_differences, write_side_by_side, write_table

FOLDER, PAGE = "report", "report.html"


def write_report(out: Path, facts: StudyFacts | None = None) -> Path:
    """Write ``report/``: the page, ``table1.csv``, ``differences.csv`` and the figures as SVG and PNG.

    Where cells of it are published, ``beside_published.csv`` has both. Cells that are not done yet, or
    failed, are n/a in it; names of studies and patients are nowhere in it.

    Args:
        out: the study's folder.
        facts: that were read of it, where they have been; its table takes a while.

    Returns:
        The HTML file.

    Raises:
        ConfigurationError: a file of the study is damaged, or of another VPTCT.
        OSError: the disk is full, the folder is not writable.
    """
    facts = facts or StudyFacts.read(out)
    published = published_table()
    folder = out / FOLDER
    make_folder(folder)
    figures = study_figures(facts.rows, facts.differences, trained_on=facts.trained_on, published=published)
    write_figures(figures, folder)
    write_table(folder / "table1.csv", (*facts.rows, *facts.finding_rows))
    write_differences(folder / "differences.csv", facts.differences)
    write_side_by_side(folder / "beside_published.csv", side_by_side(facts.rows, published))
    write_over(folder / PAGE, study_page(facts, figures, published).encode())
    return folder / PAGE


def published_report(to: Path) -> Path:
    """Write the same report of the published table alone.

    Args:
        to: a folder; it is made where it is not there.

    Returns:
        The HTML file.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    rows = published_table()
    make_folder(to)
    differences = differences_of(rows)
    figures = study_figures(rows, differences)
    write_figures(figures, to)
    write_table(to / "table1.csv", rows)
    write_differences(to / "differences.csv", differences)
    write_over(to / PAGE, published_page(rows, figures).encode())
    return to / PAGE
