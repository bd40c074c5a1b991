"""Means over networks: of the 3D and of the 2D ones, of every pretraining and part of the experiment.

A mean of ours is taken within each resample of the test patients, the same patients for all networks, so that
its interval holds what they have in common. Of published rows there are no resamples: value only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vpt_plugin.study.rows import TableRow
from vpt_plugin.training.metrics.bootstrap import Resampled, mean_of

_NO_RESAMPLES = np.empty(0)


def mean_rows(rows: Iterable[TableRow]) -> tuple[TableRow, ...]:
    """A row for each mean over two networks or more whose AUROC is known; its note says who is not in it."""
    found = []
    for there in _alike(rows):
        known = _known(there)
        if len(known) > 1:
            found.append(_mean_row(known, [row for row in there if row not in known]))
    return tuple(found)


def means_beside(rows: Iterable[TableRow], published: Iterable[TableRow]) -> tuple[TableRow, ...]:
    """The published means over the very networks of ours; none where one of these was not published."""
    theirs = {row.cell: row for row in _known(published)}
    found = []
    for there in _alike(rows):
        known = _known(there)
        same = [theirs[row.cell] for row in known if row.cell in theirs]
        if len(same) == len(known) > 1:
            found.append(_mean_row(same, []))
    return tuple(found)


def resampled_mean(rows: Sequence[TableRow], *, paired: bool) -> Resampled:
    """The mean of some rows within each resample.

    Args:
        rows: of one part of the experiment.
        paired: False leaves out the resamples, and with them the interval, as what it is compared with has
            none.
    """
    parts = [
        row.resampled
        if paired and row.resampled
        else Resampled(row.auroc.value, _NO_RESAMPLES, row.auroc.n, 0)
        for row in rows
    ]
    return mean_of(parts, rows[0].auroc.n)


def note_of_mean(rows: Sequence[TableRow], without: Sequence[TableRow]) -> str:
    """What must be known of a mean: who is not in it, and how many of it collapsed; "" for nothing."""
    notes = []
    if without:
        notes.append(f"without {' and '.join(row.title for row in without)}, of which a result is missing")
    if collapsed := sum(row.collapsed > 0 for row in rows):
        of = f"{collapsed} of the {len(rows)} results {'is' if collapsed == 1 else 'are'}"
        notes.append(f"{of} of a network that gives all studies one answer")
    return "; ".join(notes)


def _mean_row(known: Sequence[TableRow], without: Sequence[TableRow]) -> TableRow:
    kind = known[0].kind
    resampled = resampled_mean(known, paired=all(row.resampled for row in known))
    return replace(
        known[0],
        network=f"mean-{kind}",
        title=f"mean of the {kind.upper()} networks",
        auroc=resampled.estimate(),
        seeds=min(row.seeds for row in known),
        of_seeds=(),
        failed=0,
        collapsed=0,
        validation=math.nan,
        note=note_of_mean(known, without),
        resampled=resampled if len(resampled.resamples) else None,
    )


def _known(rows: Iterable[TableRow]) -> list[TableRow]:
    return [row for row in rows if not math.isnan(row.auroc.value)]


def _alike(rows: Iterable[TableRow]) -> list[list[TableRow]]:
    """Rows that differ in their network alone."""
    found: dict[tuple[object, ...], list[TableRow]] = {}
    for row in rows:
        found.setdefault((row.source, row.dataset, row.finding, row.percent, row.kind, row.arm), []).append(
            row
        )
    return list(found.values())
