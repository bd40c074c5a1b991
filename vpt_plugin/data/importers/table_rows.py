"""The rows of a site's table: which study each is of, and what it says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vpt_plugin.ct.archive import is_archive
from vpt_plugin.ct.files import file_suffix
from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.data.importers.table_columns import Columns
from vpt_plugin.data.importers.table_file import Table, TableRow
from vpt_plugin.data.importers.table_words import (
    KNOWN_RANGES,
    KNOWN_SIDES,
    KNOWN_STATES,
    ranges_mm_of,
    side_of,
    state_of,
)
from vpt_plugin.errors import ManifestError
from vpt_plugin.labels import FindingLabel

N = TypeVar("N")
# What no folder's name may hold, on Windows neither.
_NO_NAME = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.|[. ]$')
# What Windows calls its devices, with whatever suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 120


@dataclass(frozen=True)
class TableSource:
    """What a row says of a study.

    Attributes:
        patient, split: "" where it says nothing.
        findings: what it labels.
        synthetic: whether it says that the study is a phantom.
    """

    patient: str
    split: str
    findings: Mapping[str, FindingLabel]
    synthetic: bool = False


@dataclass(frozen=True)
class SiteRow:
    """A row that was understood.

    Attributes:
        line: in the file.
        name: of the study.
        path: of the study, whether it is there or not.
        source: what is said of it.
    """

    line: int
    name: str
    path: Path
    source: TableSource


class SiteRows:
    """Reads the rows of a table.

    Args:
        table: as it was read.
        columns: which is what.
        folder: that paths are relative to.
    """

    def __init__(self, table: Table, columns: Columns, folder: Path) -> None:
        self._table, self._columns, self._folder = table, columns, folder

    def read(self) -> list[SiteRow]:
        """All of them.

        Raises:
            ManifestError: a cell means nothing that is known, or two rows are of one study; names line and
                column.
        """
        rows = self._table.rows
        paths = [self._path(row) for row in rows]
        self._require_once("the file or folder", paths)
        self._require_no_slices(paths)
        if self._columns.study:
            names = [self._named(row) for row in rows]
        else:
            names = [_short(path) for path in paths]
            if len(set(names)) < len(names):
                names = ["--".join(self._below(path)) for path in paths]
        names = [_NO_NAME.sub("-", name) for name in names]
        self._require_once("the study", names, key=str.casefold)
        self._require_folder_names(names)
        return [
            SiteRow(row.line, name, path, self._source(row))
            for row, name, path in zip(rows, names, paths, strict=True)
        ]

    def _path(self, row: TableRow) -> Path:
        column = self._columns.path or self._columns.study
        cell = row.cells[column]
        if not cell:
            raise ManifestError(f"{self._table.place(row, column)}: it is empty.", "Say where the study is.")
        path = self._folder / cell
        # Tables come from Windows, too.
        return path if "\\" not in cell or path.exists() else self._folder / cell.replace("\\", "/")

    def _below(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._folder).parts if path.is_relative_to(self._folder) else path.parts[1:]

    def _named(self, row: TableRow) -> str:
        if name := row.cells[self._columns.study]:
            return name
        raise ManifestError(f"{self._table.place(row, self._columns.study)}: it is empty.", "Name the study.")

    def _require_once(
        self, what: str, named: Iterable[N], key: Callable[[N], Hashable] = lambda each: each
    ) -> None:
        first: dict[Hashable, tuple[int, N]] = {}
        for row, name in zip(self._table.rows, named, strict=True):
            line, before = first.setdefault(key(name), (row.line, name))
            if line != row.line:
                spelt = "" if name == before else f", as {str(before)!r}"
                raise ManifestError(
                    f"{self._table.path}, line {row.line}: {what} {str(name)!r} is in line {line} "
                    f"already{spelt}.",
                    "A study has one row.",
                )

    def _require_no_slices(self, paths: Iterable[Path]) -> None:
        """A DICOM file stands for its series: two in one folder would be one scan as two studies."""
        lines: dict[Path, int] = {}
        for row, path in zip(self._table.rows, paths, strict=True):
            if not path.exists() or is_study_file(path) or is_archive(path):
                continue
            folder = (path if path.is_dir() else path.parent).resolve()
            if (line := lines.setdefault(folder, row.line)) != row.line:
                raise ManifestError(
                    f"{self._table.path}, lines {line} and {row.line}: their DICOM files lie in one folder, "
                    f"{folder}.",
                    "A study has one row, which names its folder, not one per slice; several studies need a "
                    "folder each.",
                )

    def _require_folder_names(self, names: Iterable[str]) -> None:
        """What the labels of a study cannot be put into."""
        for row, name in zip(self._table.rows, names, strict=True):
            if len(name) > _LONGEST_NAME:
                problem = f"is longer than {_LONGEST_NAME} characters"
            elif _DEVICE.fullmatch(name):
                problem = "is that of a device of Windows"
            else:
                continue
            raise ManifestError(
                f"{self._table.path}, line {row.line}: the name {name!r} {problem};",
                "give the studies other ones in a column, and name it with --study-column.",
            )

    def _source(self, row: TableRow) -> TableSource:
        findings = {name: label for name in self._columns.findings if (label := self._label(row, name))}
        patient = row.cells[self._columns.patient] if self._columns.patient else ""
        return TableSource(patient, self._side(row), findings, self._synthetic(row))

    def _label(self, row: TableRow, finding: str) -> FindingLabel | None:
        column = self._columns.findings[finding]
        state = state_of(row.cells[column])
        if state is None:
            raise self._unknown(row, column, KNOWN_STATES)
        ranges = self._ranges(row, finding)
        if ranges and state != "present":
            raise ManifestError(
                f"{self._table.place(row, self._columns.slices[finding])}: slices are given, but {finding} "
                f"is {state or 'not labelled'} there.",
                "Only what is present is on slices.",
            )
        return FindingLabel(state, ranges) if state else None

    def _ranges(self, row: TableRow, finding: str) -> tuple[tuple[float, float], ...] | None:
        column = self._columns.slices.get(finding, "")
        if not column or not row.cells[column]:
            return None
        ranges = ranges_mm_of(row.cells[column])
        if ranges is None:
            raise self._unknown(row, column, f"ranges of patient z in mm, {KNOWN_RANGES}")
        return ranges

    def _side(self, row: TableRow) -> str:
        column = self._columns.split
        side = side_of(row.cells[column]) if column else ""
        if side is None:
            raise self._unknown(row, column, KNOWN_SIDES)
        return side

    def _synthetic(self, row: TableRow) -> bool:
        column = self._columns.synthetic
        state = state_of(row.cells[column]) if column else ""
        if state not in ("present", "absent", ""):
            raise self._unknown(row, column, "yes, no")
        return state == "present"

    def _unknown(self, row: TableRow, column: str, known: str) -> ManifestError:
        return ManifestError(
            f"{self._table.place(row, column)}: {row.cells[column]!r} is unknown.", f"Known is {known}."
        )


def _short(path: Path) -> str:
    """The folder's name, or the file's without the suffix that says its kind."""
    return path.name[: -len(file_suffix(path))] if is_study_file(path) else path.name
