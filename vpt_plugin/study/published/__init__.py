"""Table 1 of Ke et al., PMLR 227:758-774 (MIDL 2023), as printed; see the README beside this file."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from types import MappingProxyType
from typing import cast

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.rows import Kind, TableRow, arm_of_kind, percent_in_words

CITATION = (
    "A. Ke, S.-C. Huang, C. O'Connell, M. Klimont, S. Yeung, P. Rajpurkar: Video pretraining advances 3D "
    "deep learning on chest CT tasks. Medical Imaging with Deep Learning (MIDL) 2023, Proceedings of Machine "
    "Learning Research 227:758-774, https://proceedings.mlr.press/v227/ke24a.html"
)
TEST_STUDIES: Mapping[str, int] = MappingProxyType({"rsna": 1092, "lidc": 152})


def published_table() -> tuple[TableRow, ...]:
    """The 180 rows of the published table 1; dataset after dataset, the largest share first.

    Everything is as printed; a row that looks odd says why in ``note``. One interval cannot be: its low end
    is above its high end.
    """
    text = files(__package__).joinpath("table1.csv").read_text(encoding="utf-8")
    return _with_shared_figures(tuple(map(_row, csv.DictReader(text.splitlines()))))


def _row(printed: Mapping[str, str]) -> TableRow:
    value, low, high = (float(printed[name]) for name in ("auroc", "ci95_low", "ci95_high"))
    note = ""
    if not low <= value <= high:
        note = f"the paper prints the interval [{low:.3f}, {high:.3f}], which cannot be"
    elif low == high:
        note = "an AUROC without any spread: the network seems to give all studies one answer"
    return TableRow(
        network=printed["network"],
        title=printed["title"],
        kind=cast(Kind, printed["kind"]),
        arm=printed["arm"],
        dataset=printed["dataset"],
        percent=float(printed["percent"]),
        auroc=Estimate(value, (low, high), TEST_STUDIES[printed["dataset"]]),
        seeds=1,
        source="published",
        collapsed=int(low == high),
        note=note,
    )


def _with_shared_figures(rows: Sequence[TableRow]) -> tuple[TableRow, ...]:
    """The rows, with a note where two of one dataset have the same AUROC and the same interval."""
    alike: dict[tuple[str, float, tuple[float, float]], list[TableRow]] = defaultdict(list)
    for row in rows:
        alike[row.dataset, row.auroc.value, row.auroc.ci95].append(row)
    found = []
    for row in rows:
        others = [
            f"{each.title} with {arm_of_kind(each.arm, each.kind)} at {percent_in_words(each.percent)}"
            for each in alike[row.dataset, row.auroc.value, row.auroc.ci95]
            if each is not row and not row.collapsed
        ]
        told = f"the same figures as {' and '.join(others)}" if others else row.note
        found.append(replace(row, note=told))
    return tuple(found)
