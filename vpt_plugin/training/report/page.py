"""The report as one HTML page: no script, no address outside of it, every text escaped."""

from __future__ import annotations

from vpt_plugin.training.report.certainty import decisions_section, familiar_section
from vpt_plugin.training.report.document import document
from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.gallery import Gallery, Picture
from vpt_plugin.training.report.markup import Markup, image, joined, tag
from vpt_plugin.training.report.tables import (
    comparison_table,
    data_tables,
    figures_table,
    how_to_read,
    repeat_section,
    settings_section,
)
from vpt_plugin.training.report.words import finding_in_words, number_in_words

# A report is written before its version appears, and is read years later: it says what was decided then.
_PUBLISHED = {True: "Published to be served.", False: "Published as a candidate, not to be served."}


def page(facts: ReportFacts, pictures: Gallery) -> str:
    """The whole page, in the order in which a reader asks: served or not, beware of what, how good, why.

    Args:
        facts: of the training.
        pictures: drawn from them.
    """
    return document(
        _title(facts),
        _opening(facts),
        _warnings(facts),
        _findings(facts, pictures),
        how_to_read(facts),
        tag("h2", "Which studies are like those that it knows"),
        familiar_section(facts),
        tag("h2", "How it learned"),
        _figure(pictures.learning),
        _worst(facts, pictures),
        tag("h2", "Data"),
        data_tables(facts),
        tag("h2", "Settings"),
        settings_section(facts),
        tag("h2", "How this can be repeated"),
        repeat_section(facts),
    )


def _title(facts: ReportFacts) -> str:
    card = facts.card
    # Its number is not known before it is published, and it is published together with its report.
    return f"{facts.task.title}: {card.model}" + (f", version {card.version}" if card.version else "")


def _opening(facts: ReportFacts) -> Markup:
    card = facts.card
    said = facts.comparison.sentence() if facts.comparison else ""
    return joined(
        tag("h1", _title(facts)),
        tag(
            "p",
            f"Trained {card.created or 'at an unknown time'} with VPTCT {card.code_version}.",
            class_="small",
        ),
        tag(
            "div",
            tag("p", tag("b", _PUBLISHED[facts.served])),
            tag("p", facts.decision),
            tag("p", said) if said and said not in facts.decision else Markup(),
            comparison_table(facts.comparison) if facts.comparison else Markup(),
            tag("p", "What is served by now: vpt versions list.", class_="small"),
            class_="verdict" if facts.served else "verdict candidate",
        ),
    )


def _warnings(facts: ReportFacts) -> Markup:
    told = list(facts.warnings)
    if facts.card.synthetic:
        told.insert(
            0, "It was trained on phantoms. Never use it on patients: its answers mean nothing there."
        )
    if not told:
        return tag("p", "There are no warnings.")
    title = tag("b", "Warning" if len(told) == 1 else f"{len(told)} warnings")
    return tag("div", title, tag("ul", *(tag("li", each) for each in told)), class_="warnings")


def _findings(facts: ReportFacts, pictures: Gallery) -> Markup:
    parts = []
    for finding, curves in zip(facts.card.findings, pictures.curves, strict=True):
        parts += [
            tag("h2", f"How good it is: {finding_in_words(finding)}"),
            figures_table(facts, finding),
            tag("div", *(_figure(each) for each in curves), class_="pair"),
            tag("h2", f"Present, absent, or unsure: {finding_in_words(finding)}"),
            decisions_section(facts, finding),
        ]
    return joined(*parts)


def _worst(facts: ReportFacts, pictures: Gallery) -> Markup:
    parts = []
    for finding, worst in zip(facts.card.findings, pictures.worst, strict=True):
        parts.append(tag("h2", f"Studies to look at: {finding_in_words(finding)}"))
        if not worst:
            parts.append(tag("p", "n/a: no validation study has a known state."))
        threshold = number_in_words(facts.card.threshold(finding))
        for each, picture in worst:
            said = f"{each.state}, probability {each.probability:.3f}, threshold {threshold}"
            caption = tag("figcaption", tag("b", each.kind.capitalize()), f": {picture.title}; {said}")
            parts.append(tag("figure", caption, image(picture.data, picture.alt)))
    return joined(*parts)


def _figure(picture: Picture) -> Markup:
    shown = image(picture.data, picture.alt) if picture.data else tag("p", picture.missing)
    return tag("figure", tag("figcaption", tag("b", picture.title)), shown)
