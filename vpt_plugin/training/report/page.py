"""The report as one HTML page: no script, no address outside of it, every text escaped."""

from __future__ import annotations

import base64
import hashlib

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

_CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; color: #222;
  max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; }
.small { color: #555; font-size: .87rem; }
.verdict { border: 1px solid #888; border-left: .5rem solid #0b4f8a; padding: .6rem .9rem; margin: 1rem 0; }
.candidate { border-left-color: #f0a33a; }
.warnings { border: 1px solid #888; border-left: .5rem double #222; padding: .6rem .9rem; margin: 1rem 0; }
.warnings ul { margin: .2rem 0; padding-left: 1.2rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; }
tbody th { font-weight: normal; }
.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem 1rem; }
figure { margin: .4rem 0 .9rem; break-inside: avoid; }
figcaption { font-size: .9rem; }
figcaption b { font-weight: 600; }
img { max-width: 100%; height: auto; display: block; }
code, pre { font: .87rem/1.5 ui-monospace, "Liberation Mono", Consolas, monospace; }
pre { background: #f4f4f4; padding: .6rem; white-space: pre-wrap; }
@page { margin: 14mm; }
@media print { body { font-size: 10pt; margin: 0; padding: 0; max-width: none; }
  h2, h3, caption { break-after: avoid; } tr, .numbers { break-inside: avoid; } }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } .numbers td { white-space: normal; } }
"""
# A report is written before its version appears, and is read years later: it says what was decided then.
_PUBLISHED = {True: "Published to be served.", False: "Published as a candidate, not to be served."}
# Nothing may be loaded or run; the style is the one above, by its hash, and pictures are those in the page.
_STYLE_HASH = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode("ascii")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{_STYLE_HASH}'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


def page(facts: ReportFacts, pictures: Gallery) -> str:
    """The whole page, in the order in which a reader asks: served or not, beware of what, how good, why.

    Args:
        facts: of the training.
        pictures: drawn from them.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", _title(facts)),
        tag("style", Markup(_CSS)),
    )
    body = tag(
        "body",
        _opening(facts),
        _warnings(facts),
        _findings(facts, pictures),
        how_to_read(facts),
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
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


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
