"""The report of an experiment as one HTML page, in the order in which a reader asks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.figures_canvas import StudyFigure
from vpt_plugin.study.published import CITATION
from vpt_plugin.study.report_facts import StudyFacts
from vpt_plugin.study.report_provenance import failures_table, provenance_tables, rates_table
from vpt_plugin.study.report_tables import (
    data_table,
    differences_table,
    findings_table,
    notes_of,
    plan_table,
    table_1,
)
from vpt_plugin.study.report_words import answers, methods, verdict, warnings_of
from vpt_plugin.study.rows import TableRow
from vpt_plugin.study.sentences import how_to_read, place_in_words, sentence
from vpt_plugin.training.report.document import document
from vpt_plugin.training.report.markup import Markup, joined, tag

_MORE_CSS = """
body { max-width: 66rem; }
.scroll { overflow-x: auto; }
th, td { overflow-wrap: break-word; }
.scroll:focus-visible { outline: 2px solid #0b4f8a; }
.published { color: #555; font-size: .92em; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { max-width: 60rem; }
.answers dt { font-weight: 600; margin-top: .5rem; }
.answers dd { margin: 0; }
.notes { list-style: none; padding-left: 0; }
@media (max-width: 40rem) { .numbers td { white-space: nowrap; } }
@media print { .scroll { overflow: visible; } figure .scroll > div { max-width: 100%; }
  table { font-size: 7.5pt; } .numbers { break-inside: auto; } th, td { padding-right: .5rem; }
  .numbers td { white-space: normal; } }
"""
# A third larger than on paper, which is held nearer to the eye; all figures alike.
_SCREEN_PX_PER_INCH = 128
_NO_VIDEO = (
    "This plan cannot say: no network of it began from video or images. What it says of CT pretraining:"
)
_HOW_TO_READ = (
    "AUROC: how often a study with the finding gets a higher probability than one without; 0.5 is chance. "
    "Its 95 % interval says how much another draw of test patients may change it."
)
_PAIRED = (
    "A difference is paired: both networks are asked about the same resampled patients, so its interval is "
    "narrower than the two intervals suggest."
)
_NOT_KNOWN = "n/a: there is no such figure, or it is undefined."
_RESEARCH_ONLY = "For research only; not a medical device."


def study_page(facts: StudyFacts, figures: Sequence[StudyFigure], published: Sequence[TableRow]) -> str:
    """The whole page of an experiment of ours.

    Args:
        facts: of it.
        figures: drawn from them.
        published: rows that ours are set beside.
    """
    title = facts.plan.title if facts.plan else "An experiment on pretraining"
    return document(
        title,
        tag("h1", title),
        tag("p", _RESEARCH_ONLY, class_="small"),
        _warnings(warnings_of(facts)),
        _answer(facts.differences, "Does video pretraining help here?"),
        tag("h2", "What was run"),
        plan_table(facts),
        data_table(facts.datasets),
        *_table_section(facts.rows, published),
        *([tag("h3", "Single findings"), findings_table(facts.finding_rows)] if facts.finding_rows else []),
        *_figures(figures),
        *_differences(facts.differences, differences_of(_of_our_cells(facts.rows, published))),
        tag("h2", "Learning rates"),
        rates_table(facts.results.cells),
        tag("h2", "What failed"),
        failures_table(facts.results.failures),
        tag("h2", "How this came about"),
        provenance_tables(facts),
        tag("h2", "Methods, to be copied"),
        tag("p", methods(facts) or "n/a: no training is done."),
        tag("h2", "To cite"),
        tag("p", "The experiment that was repeated, and the published figures:"),
        tag("p", CITATION),
        more_css=_MORE_CSS,
        drawings=True,
    )


def published_page(rows: Sequence[TableRow], figures: Sequence[StudyFigure]) -> str:
    """The whole page of the published table."""
    title = "Video pretraining for chest CT: the published figures"
    differences = differences_of(rows)
    return document(
        title,
        tag("h1", title),
        tag("p", f"Table 1 of {CITATION}. Whoever uses these figures cites it.", class_="small"),
        tag("p", _RESEARCH_ONLY, class_="small"),
        tag(
            "p",
            "Drawn by VPTCT from the 180 figures of table 1 as printed. The paper has no paired intervals of "
            "single networks, and they cannot be had from the table; gains stand here without.",
        ),
        _answer(differences, "What the paper found"),
        *_table_section(rows, ()),
        *_figures(figures),
        *_differences(differences, ()),
        more_css=_MORE_CSS,
        drawings=True,
    )


def _of_our_cells(rows: Sequence[TableRow], published: Sequence[TableRow]) -> list[TableRow]:
    """The published rows of what has a result here, so that means are of the same networks."""
    ours = {row.cell for row in rows if not math.isnan(row.auroc.value)}
    return [row for row in published if row.cell in ours]


def _warnings(said: Sequence[str]) -> Markup:
    if not said:
        return Markup()
    title = tag("b", "Warning" if len(said) == 1 else f"{len(said)} warnings")
    return tag("div", title, tag("ul", *(tag("li", each) for each in said)), class_="warnings")


def _answer(differences: Sequence[Difference], question: str) -> Markup:
    """The verdict of every part of the experiment, and its figures in a sentence."""
    found = answers(differences)
    if not found:
        return joined(tag("h2", question), tag("p", "n/a: nothing that could answer it has a result."))
    other = tag("p", _NO_VIDEO) if found[0].claim != "video_gain" else Markup()
    # The question is about the 3D networks; the 2D ones are there to compare.
    parts = [other, *(_answers_of_kind(found, kind) for kind in ("3d", "2d"))]
    return joined(tag("h2", question), tag("div", *parts, class_="verdict"))


def _answers_of_kind(found: Sequence[Difference], kind: str) -> Markup:
    said = [
        part
        for each in found
        if each.kind == kind
        for part in (tag("dt", f"{place_in_words(each)}: {verdict(each)}."), *_said_of(each))
    ]
    if not said:
        return Markup()
    return joined(tag("h3", f"{kind.upper()} networks"), tag("dl", *said, class_="answers"))


def _said_of(each: Difference) -> list[Markup]:
    """Its figures, and what a reader must know of them at once, such as who collapsed."""
    note = f"Note: {each.note.rstrip('.')}."
    return [tag("dd", sentence(each)), *([tag("dd", note, class_="small")] if each.note else [])]


def _table_section(rows: Sequence[TableRow], published: Sequence[TableRow]) -> list[Markup]:
    datasets = dict.fromkeys(row.dataset for row in rows)
    paired = [_PAIRED] if any(row.resampled for row in rows) else []
    how = (_HOW_TO_READ, *paired, _NOT_KNOWN)
    return [
        tag("h2", "Table 1"),
        tag("p", " ".join(how), class_="small"),
        *(table_1(dataset, rows, published) for dataset in datasets),
        notes_of(rows),
    ]


def _figures(figures: Sequence[StudyFigure]) -> list[Markup]:
    return [tag("h2", "Figures"), *map(_figure, figures)]


def _figure(figure: StudyFigure) -> Markup:
    caption = tag(
        "figcaption", tag("b", f"{figure.label}. {figure.title}"), f". {figure.caption or figure.missing}"
    )
    if not figure.svg:
        return tag("figure", caption)
    # Without what only a file of its own needs: the XML declaration and the document type.
    drawing = Markup(figure.svg[figure.svg.index("<svg") :])
    sized = tag("div", drawing, style=f"width: {_SCREEN_PX_PER_INCH * figure.width_inches:.0f}px")
    return tag("figure", tag("div", sized, class_="scroll", tabindex="0"), caption)


def _differences(differences: Sequence[Difference], published: Sequence[Difference]) -> list[Markup]:
    return [
        tag("h2", "Differences"),
        tag("p", " ".join(how_to_read(differences)), class_="small"),
        differences_table(differences, published, means=True),
        tag("h3", "Of single networks"),
        differences_table(differences, published, means=False),
    ]
