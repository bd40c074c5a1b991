"""The table and the differences as CSV files, for a spreadsheet or a statistics program.

AUROCs and their differences run from 0 to 1, without a unit. What is undefined is an empty field.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vpt_plugin.durable import write_over
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.rows import TableRow
from vpt_plugin.study.sentences import sentence
from vpt_plugin.study.side_by_side import SideBySide

TABLE_COLUMNS = (
    "source", "dataset", "percent_of_training_side", "network", "title", "kind", "arm", "arm_title",
    "finding", "auroc", "auroc_ci95_low", "auroc_ci95_high", "test_studies", "test_patients", "seeds",
    "auroc_of_seeds", "failed_seeds", "collapsed_seeds", "validation_auroc", "note",
)  # fmt: skip
DIFFERENCE_COLUMNS = (
    "source", "claim", "dataset", "percent_of_training_side", "finding", "kind", "networks", "arm",
    "over_arm", "auroc", "over_auroc", "gain", "gain_ci95_low", "gain_ci95_high",
    "share_of_resamples_above_0", "test_studies", "test_patients", "seeds", "sentence", "note",
)  # fmt: skip
BESIDE_COLUMNS = (
    "dataset", "percent_of_training_side", "network", "kind", "arm", "auroc", "auroc_ci95_low",
    "auroc_ci95_high", "published_auroc", "published_auroc_ci95_low", "published_auroc_ci95_high",
    "ours_less_published", "intervals_overlap", "note", "published_note",
)  # fmt: skip


def write_table(path: Path, rows: Iterable[TableRow]) -> None:
    """Write ``table1.csv``: a row of each network, arm, dataset, percent and finding ("" for their mean)."""
    write_over(path, _csv(TABLE_COLUMNS, map(_table_row, rows)))


def write_differences(path: Path, differences: Iterable[Difference]) -> None:
    """Write ``differences.csv``: how far ``auroc`` is above ``over_auroc``, a row of each difference."""
    write_over(path, _csv(DIFFERENCE_COLUMNS, map(_difference_row, differences)))


def write_side_by_side(path: Path, joined: Sequence[SideBySide]) -> None:
    """Write ``beside_published.csv``: our rows with the published ones; no file where there is none."""
    if joined:
        write_over(path, _csv(BESIDE_COLUMNS, map(_beside_row, joined)))
    else:
        path.unlink(missing_ok=True)


def _table_row(row: TableRow) -> dict[str, Any]:
    return {
        "source": row.source, "dataset": row.dataset, "percent_of_training_side": f"{row.percent:g}",
        "network": row.network, "title": row.title, "kind": row.kind,
        "arm": row.arm, "arm_title": ARMS[row.arm], "finding": row.finding,
        **_estimate("auroc", row.auroc),
        "test_studies": row.auroc.n,
        "test_patients": row.resampled.patients if row.resampled else "",
        "seeds": row.seeds, "auroc_of_seeds": " ".join(map(_number, row.of_seeds)),
        "failed_seeds": row.failed, "collapsed_seeds": row.collapsed,
        "validation_auroc": _number(row.validation), "note": row.note,
    }  # fmt: skip


def _difference_row(each: Difference) -> dict[str, Any]:
    arm, over_arm = each.arms
    return {
        "source": each.source, "claim": each.claim, "dataset": each.dataset,
        "percent_of_training_side": f"{each.percent:g}", "finding": each.finding, "kind": each.kind,
        "networks": " ".join(each.networks), "arm": arm, "over_arm": over_arm,
        "auroc": _number(each.better.value), "over_auroc": _number(each.worse.value),
        **_estimate("gain", each.gain),
        "share_of_resamples_above_0": _number(each.share),
        "test_studies": each.gain.n, "test_patients": each.patients or "", "seeds": each.seeds,
        "sentence": sentence(each), "note": each.note,
    }  # fmt: skip


def _beside_row(each: SideBySide) -> dict[str, Any]:
    ours, meet = each.ours, each.intervals_meet
    return {
        "dataset": ours.dataset, "percent_of_training_side": f"{ours.percent:g}",
        "network": ours.network, "kind": ours.kind, "arm": ours.arm,
        **_estimate("auroc", ours.auroc), **_estimate("published_auroc", each.published.auroc),
        "ours_less_published": _number(each.difference),
        "intervals_overlap": "" if meet is None else "yes" if meet else "no",
        "note": ours.note, "published_note": each.published.note,
    }  # fmt: skip


def _estimate(name: str, estimate: Estimate) -> dict[str, str]:
    low, high = estimate.ci95
    return {
        name: _number(estimate.value),
        f"{name}_ci95_low": _number(low),
        f"{name}_ci95_high": _number(high),
    }


def _number(value: float) -> str:
    """Six digits after the point: more than any such figure has to say, and the same on every computer."""
    return "" if value != value else f"{value:.6f}".rstrip("0").rstrip(".")


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
