"""Our rows beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vpt_plugin.study.rows import TableRow


@dataclass(frozen=True)
class SideBySide:
    """One row of ours and the published one of the same network, arm, dataset and percent.

    Attributes:
        ours: our row; None where the cell is not in our plan.
        published: theirs; None where the paper has no such cell.
    """

    ours: TableRow | None
    published: TableRow | None

    @property
    def difference(self) -> float:
        """Our AUROC less the published one; nan where one of them is not known.

        It has no interval: the test studies are others, even those of the same data set.
        """
        if self.ours is None or self.published is None:
            return math.nan
        return self.ours.auroc.value - self.published.auroc.value

    @property
    def intervals_meet(self) -> bool | None:
        """Whether the two 95 % intervals have a value in common; None where one of them is not known.

        Where they do not, the chance of the test studies alone hardly explains the difference; where they do,
        nothing follows.
        """
        if self.ours is None or self.published is None:
            return None
        (low, high), (other_low, other_high) = self.ours.auroc.ci95, self.published.auroc.ci95
        if not (low <= high and other_low <= other_high):
            return None
        return max(low, other_low) <= min(high, other_high)


def side_by_side(
    ours: Iterable[TableRow], published: Iterable[TableRow], *, only_in_both: bool = True
) -> tuple[SideBySide, ...]:
    """The rows of both tables, joined.

    Args:
        ours: our rows; those of single findings are left out, for the paper has none.
        published: theirs.
        only_in_both: leave out what only one of the tables has. Otherwise our rows come first, in their
            order, and then the published ones that we have not.
    """
    of_ours = {row.cell: row for row in ours if not row.finding}
    theirs = {row.cell: row for row in published}
    joined = [SideBySide(row, theirs.get(cell)) for cell, row in of_ours.items()]
    if only_in_both:
        return tuple(each for each in joined if each.published is not None)
    return (*joined, *(SideBySide(None, row) for cell, row in theirs.items() if cell not in of_ours))
