"""The report as one HTML page."""

from __future__ import annotations

import html
from collections.abc import Mapping

from vpt_plugin.training.report.facts import ReportFacts


def page(facts: ReportFacts, figures: Mapping[str, bytes]) -> str:
    """The whole page; ``figures`` are PNG files by name."""
    return f"<!DOCTYPE html>\n<title>{html.escape(facts.card.model)}</title>\n<p>{html.escape(facts.decision)}</p>\n"
