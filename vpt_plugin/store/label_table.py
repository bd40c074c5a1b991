"""Labels as a CSV table, a row per study, task, version and finding, that survives a spreadsheet.

UTF-8 with the mark that spreadsheets know it by, commas, decimal points, lines that end as RFC 4180 says. A
text that a spreadsheet would take for a formula, a number or a date gets an apostrophe in front; a text that
it could not keep, or would take apart at semicolons, is written as a JSON string. Reading undoes both.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import SCHEMA, StudyLabel

COLUMNS = (
    "study", "task", "version", "finding", "state", "slices_mm", "confidence", "annotator", "created",
    "seconds_spent", "series_uid", "model_suggestion", "comment", "saved",
)  # fmt: skip
ENCODING = "utf-8-sig"
_REQUIRED = ("study", "task", "finding", "state")
_TEXTS = ("study", "task", "finding", "annotator", "series_uid", "comment")
# The wide forms are those of East Asian keyboards, which a spreadsheet there takes for the narrow ones.
_FORMULA = "=+\\-@＝＋－＠"
_LOOKS_LIKE_A_FORMULA = re.compile(rf"\s*[{_FORMULA}]")
_LOOKS_LIKE_A_NUMBER_OR_DATE = re.compile(r"\s*[0-9]+([.,:/eE+ -]+[0-9]+){0,2}\s*")
# Where the list separator is the semicolon, a spreadsheet begins a new cell after it, even in quotes; and a
# new row after a line end. Characters that are no text, and carriage returns, do not come back from one.
_CANNOT_STAY = re.compile(
    rf"[;\t\r\n][\s\"']*[{_FORMULA}]|[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]"
)


@dataclass(frozen=True)
class LabelEntry:
    """One version of a label on its way from one folder to another.

    Attributes:
        study: the study's id.
        label: what the reader said.
        version: its number where it comes from; 0 where that was not said.
        saved: when it was saved there, UTC; "" where that was not said.
        sha256: of the file's bytes there, hex; "" where that was not said.
        place: where it stands in what was read, for messages: ``line 3``.
    """

    study: str
    label: StudyLabel
    version: int = 0
    saved: str = ""
    sha256: str = ""
    place: str = ""


def write_table(entries: Iterable[LabelEntry]) -> str:
    """The entries as a table; encode it as ``ENCODING``."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for entry in entries:
        writer.writerows(_rows(entry))
    return out.getvalue()


def _rows(entry: LabelEntry) -> Iterator[dict[str, str]]:
    label = entry.label
    for name, finding in label.findings.items():
        yield {
            "study": text_cell(entry.study),
            "task": text_cell(label.task),
            "version": str(entry.version or ""),
            "finding": text_cell(name) or '""',
            "state": finding.state,
            "slices_mm": _json_cell(finding.slices_mm),
            "confidence": finding.confidence,
            "annotator": text_cell(label.annotator),
            "created": label.created,
            "seconds_spent": json.dumps(label.seconds_spent),
            "series_uid": text_cell(label.series_uid),
            "model_suggestion": _json_cell(dict(label.model_suggestion) or None),
            "comment": text_cell(label.comment),
            "saved": entry.saved,
        }


def text_cell(text: str) -> str:
    """A text as a cell that a spreadsheet keeps as it is, and takes for no formula, number or date."""
    if _CANNOT_STAY.search(text):
        return _json_cell(text)
    guarded = (
        _LOOKS_LIKE_A_FORMULA.match(text)
        or _LOOKS_LIKE_A_NUMBER_OR_DATE.fullmatch(text)
        or text.startswith(("'", '"'))
    )
    return f"'{text}" if guarded else text


def _json_cell(value: object) -> str:
    """JSON in letters that every program keeps; "" for None. A semicolon is only ever inside of a string."""
    return "" if value is None else json.dumps(value, allow_nan=False).replace(";", "\\u003b")


@dataclass(frozen=True)
class _Row:
    """The cells of one line by column, as they stand there."""

    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell as it was before it was guarded."""
        cell = self.cells.get(column, "")
        if cell.startswith("'"):
            return cell[1:]
        if not cell.startswith('"'):
            return cell
        value = self.json(column, None)
        if not isinstance(value, str):
            raise self.error(column, "is no text.")
        return value

    def json(self, column: str, blank: object) -> Any:
        """The JSON in the cell; ``blank`` where there is nothing."""
        cell = self.cells.get(column, "")
        if not cell:
            return blank
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            hint = "Begin a text with an apostrophe." if cell.startswith('"') else ""
            raise self.error(column, f"{cell[:100]!r} is not JSON.", hint) from error

    def seconds(self) -> float:
        """The seconds that were spent; 0 where they were not said."""
        cell = self.cells.get("seconds_spent", "").strip() or "0"
        value: float = math.nan
        if re.fullmatch(r"-?[0-9]{1,300}", cell):
            value = int(cell)
        elif re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", cell):
            value = float(cell)
        if not math.isfinite(value):
            raise self.error("seconds_spent", f"{cell[:100]!r} is no number.", "Write it like 74 or 74.5.")
        return value

    def version(self) -> int:
        """The version; 0 where it was not said."""
        cell = self.cells.get("version", "").strip()
        if not re.fullmatch(r"[0-9]{0,9}", cell):
            raise self.error("version", f"{cell[:100]!r} is no whole number.")
        return int(cell or "0")

    def error(self, column: str, problem: str, hint: str = "") -> LabelError:
        return LabelError(f"line {self.line}, field {column}: {problem}", hint)


def read_table(text: str) -> list[LabelEntry]:
    """The labels of a table, in the order in which they begin.

    The columns study, task, finding and state must be there; the others may be missing or blank. Rows of the
    same study, task and version are one label.

    Raises:
        LabelError: a row cannot be used; names its line and the field.
    """
    entries: dict[tuple[str, str, int], tuple[_Row, LabelEntry]] = {}
    for row in _read_rows(text):
        entry = _entry(row)
        key = (entry.study, entry.label.task, entry.version)
        if key in entries:
            first, before = entries[key]
            entries[key] = first, _joined(before, entry, row)
        else:
            entries[key] = row, entry
    return [entry for _, entry in entries.values()]


def _read_rows(text: str) -> Iterator[_Row]:
    header = text.partition("\n")[0]
    # A spreadsheet saves with the separator of its country.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    line, columns = 1, None
    try:
        for cells in reader:
            if columns is None:
                columns = _checked_columns(cells)
            elif any(cells):
                if len(cells) != len(columns):
                    raise LabelError(f"line {line}: there are {len(cells)} cells, not {len(columns)}.")
                yield _Row(line, dict(zip(columns, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise LabelError(f"line {line}: this is no row of a CSV table: {error}.") from error
    if columns is None:
        raise LabelError("line 1: the file is empty.", f"Columns: {', '.join(COLUMNS)}.")


def _checked_columns(cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    known = f"Columns: {', '.join(COLUMNS)}."
    for column in columns:
        if column not in COLUMNS:
            raise LabelError(f"line 1: the column {column[:100]!r} is unknown.", known)
        if columns.count(column) > 1:
            raise LabelError(f"line 1: the column {column} is there twice.", known)
    if missing := [column for column in _REQUIRED if column not in columns]:
        raise LabelError(f"line 1: the column {missing[0]} is missing.", known)
    return columns


def _entry(row: _Row) -> LabelEntry:
    """The label as this row alone tells it, with one finding."""
    if empty := [column for column in _REQUIRED if not row.cells[column]]:
        raise row.error(empty[0], "nothing is there.")
    finding: dict[str, Any] = {"state": row.cells["state"], "confidence": row.cells.get("confidence", "")}
    if (slices := row.json("slices_mm", None)) is not None:
        finding["slices_mm"] = slices
    texts = {column: row.text(column) for column in _TEXTS}
    study, name = texts.pop("study"), texts.pop("finding")
    data = {
        "schema": SCHEMA,
        **texts,
        "findings": {name: finding},
        "created": row.cells.get("created", ""),
        "seconds_spent": row.seconds(),
        "model_suggestion": row.json("model_suggestion", {}),
    }
    try:
        label = StudyLabel.from_json(data)
    except LabelError as error:
        raise LabelError(f"line {row.line}: {error.message}", error.hint) from error
    return LabelEntry(study, label, row.version(), row.cells.get("saved", ""), place=f"line {row.line}")


def _joined(before: LabelEntry, entry: LabelEntry, row: _Row) -> LabelEntry:
    """The label with one more finding; everything else must be as in the rows before."""
    (name,) = entry.label.findings
    if name in before.label.findings:
        raise row.error(
            "finding",
            f"{name[:100]!r} is already in {before.place}.",
            "Give another label another number in the column version.",
        )
    for each in fields(StudyLabel):
        if each.name != "findings" and getattr(entry.label, each.name) != getattr(before.label, each.name):
            raise row.error(
                each.name,
                f"it differs from {before.place}, though study, task and version are the same.",
                "Give another label another number in the column version.",
            )
    findings = {**before.label.findings, **entry.label.findings}
    return replace(before, label=replace(before.label, findings=findings))
