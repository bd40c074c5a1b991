"""Our rows beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vpt_plugin.study.rows import TableRow


@dataclass(frozen=True)
class SideBySide:
    """A row of ours and the published one of the same network, arm, dataset and percent.

    Attributes:
        ours: our row.
        published: theirs.
    """

    ours: TableRow
    published: TableRow

    @property
    def difference(self) -> float:
        """Our AUROC less the published one.

        It has no interval: the test studies are others, even those of the same data set.
        """
        return self.ours.auroc.value - self.published.auroc.value

    @property
    def intervals_meet(self) -> bool | None:
        """Whether the two 95 % intervals have a value in common; None where one of them is none.

        Where they do not, the chance of the test studies alone hardly explains the difference; where they do,
        nothing follows.
        """
        (low, high), (other_low, other_high) = self.ours.auroc.ci95, self.published.auroc.ci95
        if not (low <= high and other_low <= other_high):
            return None
        return max(low, other_low) <= min(high, other_high)


def side_by_side(ours: Iterable[TableRow], published: Iterable[TableRow]) -> tuple[SideBySide, ...]:
    """The rows of every cell that has an AUROC in both tables, in our order."""
    theirs = {row.cell: row for row in published if not math.isnan(row.auroc.value)}
    return tuple(
        SideBySide(row, theirs[row.cell])
        for row in ours
        if row.cell in theirs and not math.isnan(row.auroc.value)
    )
