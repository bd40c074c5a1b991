"""The table and what follows from it as plain text, for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.differences import Difference, differences_of
from vpt_plugin.study.means import mean_rows
from vpt_plugin.study.notes import Notes
from vpt_plugin.study.published import CITATION, published_table
from vpt_plugin.study.rows import TableRow, dataset_in_words, in_figures, percent_in_words
from vpt_plugin.study.sentences import how_to_read, place_in_words, sentence
from vpt_plugin.words import in_a_sentence

_WIDTH = 110
_NOT_PLANNED = "-"


def published_text() -> str:
    """The published table 1 with what looks odd in it, what follows from it, and whom to cite."""
    rows = published_table()
    return "\n".join(
        [
            _wrapped(f"Published: table 1 of {CITATION}"),
            "",
            table_text(rows),
            differences_text(differences_of(rows)),
            _wrapped(
                "The paper does not print what every network said of every study, so these gains have no "
                "intervals: they cannot be had of those of the AUROCs."
            ),
        ]
    )


def table_text(rows: Iterable[TableRow]) -> str:
    """AUROC with its 95 % interval: a block for each dataset, finding and percent, a line for each network.

    Below the networks of a kind stands their mean.

    Args:
        rows: of one source. What there is to note of them stands below their block, numbered.
    """
    blocks: dict[tuple[str, str, float], list[TableRow]] = {}
    for row in rows:
        blocks.setdefault((row.dataset, row.finding, row.percent), []).append(row)
    return "\n".join(_block(each) for each in blocks.values())


def differences_text(differences: Iterable[Difference]) -> str:
    """What follows from a table, place by place: the gains of means over networks, and the best networks.

    Args:
        differences: of one source. What is not known is left out. Where a gain is known of one network of a
            kind alone, that stands in for the mean.
    """
    given = [each for each in differences if not math.isnan(each.gain.value)]
    if not given:
        return "There are no two results yet that could be compared."
    networks = Counter(_compared(each) for each in given if not each.is_mean)
    places: dict[str, list[Difference]] = {}
    for each in given:
        if each.is_mean or networks[_compared(each)] == 1:
            places.setdefault(place_in_words(each), []).append(each)
    lines = []
    for place, found in places.items():
        notes = Notes()
        said = [_wrapped(f"{sentence(each)}{notes.mark(each.note)}", "  - ") for each in found]
        lines += [place, *said, *_below(notes), ""]
    lines += map(_wrapped, how_to_read(given))
    return "\n".join(lines)


def _compared(each: Difference) -> tuple[object, ...]:
    return each.claim, each.dataset, each.finding, each.percent, each.kind, each.arms


def _block(rows: Sequence[TableRow]) -> str:
    arms = [arm for arm in ARMS if any(row.arm == arm for row in rows)]
    networks: dict[str, dict[str, TableRow]] = {}
    # Sorting is stable: each kind keeps its order, with the mean at its end.
    for row in sorted((*rows, *mean_rows(rows)), key=lambda row: row.kind == "2d"):
        networks.setdefault(row.network, {})[row.arm] = row
    notes = Notes()
    lines = [["AUROC, pretraining:", *(ARMS[arm] for arm in arms)]]
    for of_arm in networks.values():
        title = next(iter(of_arm.values())).title
        lines.append([title, *(_figure(of_arm.get(arm), notes) for arm in arms)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join([_heading(rows[0]), *("  ".join(line).rstrip() for line in padded), *_below(notes), ""])


def _heading(row: TableRow) -> str:
    of = f", {in_a_sentence(row.finding)}" if row.finding else ""
    return f"{dataset_in_words(row.dataset)}{of}, {percent_in_words(row.percent)} of the training side"


def _figure(row: TableRow | None, notes: Notes) -> str:
    return _NOT_PLANNED if row is None else f"{in_figures(row.auroc)}{notes.mark(row.note)}"


def _below(notes: Notes) -> list[str]:
    return [_wrapped(text, f"  {number} ") for number, text in notes.numbered()]


def _wrapped(text: str, begin: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
