"""Which studies are in readers' hands, as a table: ``vpt worklist --held``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpt_plugin.store.leases import Lease

# Whoever knows a lease's holder may end it: that of a reader without a name is nobody's to read.
COLUMNS = ("study", "task", "reader", "reading", "strategy", "since", "until")


def held_rows(
    leases: Iterable[Lease], reader: str, *, everybody: bool, task: str = ""
) -> list[dict[str, str]]:
    """What one reader has, or all of them, by reader and study.

    Args:
        leases: those that live.
        reader: whose; of one without a name the holder of their leases.
        everybody: all readers'.
        task: of this one only; "" for all.
    """
    wanted = [
        lease
        for lease in leases
        if (everybody or lease.holder == reader) and (not task or lease.task == task)
    ]
    wanted.sort(key=lambda lease: (lease.reader, lease.study))
    return [{name: getattr(lease, name) for name in COLUMNS} for lease in wanted]


def held_table(rows: Iterable[dict[str, str]]) -> str:
    """The rows as CSV; encode it as ``store.label_table.ENCODING``."""
    from vpt_plugin.store.label_table import text_cell

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([text_cell(row[name]) for name in COLUMNS] for row in rows)
    return out.getvalue()
