"""A table as spreadsheets and scripts write it: CSV with commas, semicolons or tabs, in whichever encoding.

Excel separates by what the computer's region has: by semicolons where the comma is in the numbers. It may put
``sep=;`` in front, and writes UTF-8 with a mark, cp1252 or, as "Unicode text", UTF-16 with tabs.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.errors import ConfigurationError, ManifestError

_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
# A zip (.xlsx, .ods) and what Excel wrote before 2007 (.xls).
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class TableRow:
    """A row that is not empty.

    Attributes:
        line: where it ends in the file, from 1.
        cells: by column, without spaces around them.
    """

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table with a line of names above it.

    Attributes:
        path: the file.
        columns: their names.
        rows: in their order.
        encoding: ``utf-8``, ``utf-16`` or ``cp1252``.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    encoding: str = "utf-8"

    def cells(self, column: str) -> Iterator[str]:
        """Those of a column, in the order of the rows."""
        return (row.cells[column] for row in self.rows)

    def place(self, row: TableRow, column: str) -> str:
        """Where a cell is, for messages."""
        return f"{self.path}, line {row.line}, column {column}"


def read_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        ConfigurationError: it is a workbook.
        ManifestError: it cannot be read, has no rows, or a row that is longer than the first line.
    """
    text, encoding = _text(path)
    delimiter = ""
    skipped = 0
    if said := _SEPARATOR_LINE.match(text):
        delimiter, text, skipped = said[1], text[said.end() :], 1
    delimiter = delimiter or _delimiter(text)
    try:
        lines = list(_lines(text, delimiter))
    except csv.Error as error:
        raise ManifestError(f"{path}: is no CSV: {error}.") from error
    if len(lines) < 2:
        raise ManifestError(f"{path}: there is no row in it.", "The first line names the columns.")
    columns = _columns(path, lines[0][1])
    rows = (
        TableRow(line + skipped, _cells(path, line + skipped, columns, cells)) for line, cells in lines[1:]
    )
    return Table(path, columns, tuple(rows), encoding)


def _text(path: Path) -> tuple[str, str]:
    """What is in the file, and its encoding."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error}.") from error
    if data.startswith(_WORKBOOKS):
        raise ConfigurationError(
            f"{path}: this is a workbook, not a CSV.", "Open it in your spreadsheet program and save as CSV."
        )
    if data.startswith(_UTF_16):
        return data.decode("utf-16", errors="replace"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        # What western Excel writes; five of its bytes mean nothing.
        return data.decode("cp1252", errors="replace"), "cp1252"


def _delimiter(text: str) -> str:
    """The one that makes the most columns of the first line."""
    return max(_DELIMITERS, key=lambda each: len(next(_lines(text, each, strict=False), (0, []))[1]))


def _lines(text: str, delimiter: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line that has any, with the number of the line on which they end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num, cells


def _columns(path: Path, cells: list[str]) -> tuple[str, ...]:
    # Spreadsheets keep columns that were emptied at the right end.
    while cells and not cells[-1]:
        cells.pop()
    twice = [name for name, count in Counter(cells).items() if count > 1]
    if twice:
        raise ManifestError(
            f"{path}, line 1: column {twice[0]!r} is there twice.", "Name each column differently."
        )
    return tuple(cells)


def _cells(path: Path, line: int, columns: tuple[str, ...], cells: list[str]) -> dict[str, str]:
    if any(cells[len(columns) :]):
        raise ManifestError(
            f"{path}, line {line}: it has {len(cells)} cells, the first line names {len(columns)} columns.",
            "Put cells that hold the delimiter into quotes.",
        )
    return dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))
