"""A ranked worklist as a CSV table, a row per study, that survives a spreadsheet."""

from __future__ import annotations

import csv
import io
import math

from vpt_plugin.active.offers import Offer, Proposal
from vpt_plugin.store.label_table import ENCODING, text_cell

__all__ = ["ENCODING", "worklist_table"]

_COLUMNS = (
    "rank", "study", "study_date", "strategy", "score", "nearest_labelled", "distance", "group",
    "group_studies", "group_labelled",
)  # fmt: skip


def worklist_table(offer: Offer) -> str:
    """The proposals as a table, best first; encode it as ``ENCODING``.

    What is not known is an empty cell. The probability of each finding has a column of its own, and ``why``
    is the last one.
    """
    findings = list(offer.state.labels)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((*_COLUMNS, *(f"probability {each}" for each in findings), "why"))
    for rank, proposal in enumerate(offer.proposals, 1):
        said = proposal.probabilities or {}
        probabilities = [_number(said.get(each, math.nan)) for each in findings]
        writer.writerow((rank, *_cells(proposal), *probabilities, text_cell(proposal.why)))
    return out.getvalue()


def _cells(proposal: Proposal) -> tuple[str, ...]:
    near, group = proposal.nearest_labelled, proposal.cluster
    return (
        text_cell(proposal.study),
        proposal.study_date,
        proposal.strategy,
        _number(proposal.score),
        text_cell(near.study) if near else "",
        _number(near.distance) if near else "",
        str(group.number) if group else "",
        str(group.studies) if group else "",
        str(group.labelled) if group else "",
    )


def _number(value: float) -> str:
    """Four digits, which is more than any of these figures is worth; nothing for what is undefined."""
    return f"{value:.4g}" if math.isfinite(value) else ""
