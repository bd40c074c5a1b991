"""An HTML page that needs nothing else: no script, no address outside of it; the style of all our reports."""

from __future__ import annotations

import base64
import hashlib

from vpt_plugin.training.report.markup import Markup, tag

CSS = """
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


def document(title: str, *body: Markup, more_css: str = "", drawings: bool = False) -> str:
    """A whole page.

    Args:
        title: in the browser's tab.
        body: what stands on the page.
        more_css: beside that of all reports; nothing of a user's.
        drawings: whether SVG stands in the page, whose elements carry styles of their own.
    """
    css = CSS + more_css
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(css, drawings=drawings)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(css)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', *body), lang='en')}\n"


def _policy(css: str, *, drawings: bool) -> str:
    """Nothing may be loaded or run; the style is this one, by its hash; pictures are in the page."""
    style_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode("ascii")
    allowed = [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{style_hash}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*allowed, *(["style-src-attr 'unsafe-inline'"] if drawings else [])])
