"""``train.csv`` of RSNA-PE: a row per slice, 1.79 million of them, as rows of studies."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from vpt_plugin.errors import ManifestError

STUDY, SERIES, SLICE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
MARKED, NEGATIVE, INDETERMINATE = "pe_present_on_image", "negative_exam_for_pe", "indeterminate"
# What is said of the embolism of a whole study; the last seven only where there is one.
FINDINGS = (
    NEGATIVE,
    INDETERMINATE,
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
    "leftsided_pe",
    "rightsided_pe",
    "chronic_pe",
    "acute_and_chronic_pe",
    "central_pe",
)
# What else is said of a whole study; in words.
REMARKS: Mapping[str, str] = {
    "qa_motion": "motion",
    "qa_contrast": "poor contrast",
    "flow_artifact": "flow artefact",
    "true_filling_defect_not_pe": "a filling defect that is no embolism",
}
_OF_THE_STUDY = (*FINDINGS, *REMARKS)
_COLUMNS = (STUDY, SERIES, SLICE, MARKED, *_OF_THE_STUDY)
# They become names of folders; anonymised, they are no longer UIDs: 6897fa9de148.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_YES_NO = frozenset({"0", "1"})


@dataclass(frozen=True)
class SeriesRows:
    """The rows of one series; a slice that has two rows is there twice.

    Attributes:
        uid: SeriesInstanceUID, and the name of the folder.
        names: SOPInstanceUIDs of the slices, one per line: as text, a million of them take twice the memory.
        marked_names: of those on which there is an embolism.
    """

    uid: str
    names: bytes
    marked_names: bytes

    @property
    def slices(self) -> Counter[str]:
        """How many rows each slice has."""
        return Counter(self.names.decode().split())

    @property
    def marked(self) -> Counter[str]:
        """How many rows say that there is an embolism, of the slices that have one."""
        return Counter(self.marked_names.decode().split())


@dataclass(frozen=True)
class StudyRows:
    """The rows of one study.

    Attributes:
        stated: what rows say of the study as a whole, the values of ``FINDINGS`` and ``REMARKS`` in their
            order, with the number of rows that say so; one entry where they do not contradict each other.
        series: in the order of their names.
    """

    stated: tuple[tuple[tuple[str, ...], int], ...]
    series: tuple[SeriesRows, ...]

    @property
    def count(self) -> int:
        """How many rows."""
        return sum(number for _, number in self.stated)

    @property
    def contradicted(self) -> tuple[str, ...]:
        """The columns in which the rows do not agree with each other."""
        columns = zip(*(values for values, _ in self.stated), strict=True)
        return tuple(
            name for name, values in zip(_OF_THE_STUDY, columns, strict=True) if len(set(values)) > 1
        )

    def says(self, column: str) -> bool:
        """Whether the column holds 1 for the study, as its first row has it."""
        return self.stated[0][0][_OF_THE_STUDY.index(column)] == "1"


def read_rsna_table(path: Path) -> dict[str, StudyRows]:
    """The rows of every study, by its name.

    Raises:
        ManifestError: the file cannot be read, lacks a column, or holds something else than 0 and 1; names
            the line and the column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return _Table(path, next(reader, []), lambda: reader.line_num).take(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read: {error}.") from error


class _Table:
    """Collects rows, checking them."""

    def __init__(self, path: Path, columns: Sequence[str], line: Callable[[], int]) -> None:
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise ManifestError(
                f"{path}, line 1: column {missing[0]} is missing; found: {', '.join(columns) or 'none'}.",
                "Give the folder that holds train.csv as Kaggle has it.",
            )
        self._path = path
        self._columns = columns
        self._line = line
        self._stated: dict[str, Counter[tuple[str, ...]]] = {}
        self._series: dict[str, dict[str, tuple[bytearray, bytearray]]] = {}
        self._good: set[tuple[str, ...]] = set()

    def take(self, rows: Iterable[list[str]]) -> dict[str, StudyRows]:
        """All rows; every step here is done two million times."""
        names_and_mark = itemgetter(*(self._columns.index(name) for name in (STUDY, SERIES, SLICE, MARKED)))
        of_the_study = itemgetter(*(self._columns.index(name) for name in _OF_THE_STUDY))
        width = len(self._columns)
        for row in rows:
            if len(row) != width:
                raise self._error(f"the line has {len(row)} cells, the first one {width}.")
            study, series, name, mark = names_and_mark(row)
            values = of_the_study(row)
            if values not in self._good:
                self._check(values)
            if study not in self._stated:
                self._check_name(STUDY, study)
                self._stated[study], self._series[study] = Counter(), {}
            if series not in self._series[study]:
                self._check_name(SERIES, series)
                self._series[study][series] = (bytearray(), bytearray())
            self._stated[study][values] += 1
            names, marked = self._series[study][series]
            line = f"{name}\n".encode()
            names += line
            if mark == "1":
                marked += line
            elif mark != "0":
                raise self._error(f"{mark[:50]!r} is neither 0 nor 1.", MARKED)
        return {study: self._rows(study) for study in self._stated}

    def _rows(self, study: str) -> StudyRows:
        series = sorted(self._series[study].items())
        return StudyRows(
            tuple(self._stated[study].items()),
            tuple(SeriesRows(uid, bytes(names), bytes(marked)) for uid, (names, marked) in series),
        )

    def _check(self, values: tuple[str, ...]) -> None:
        for name, value in zip(_OF_THE_STUDY, values, strict=True):
            if value not in _YES_NO:
                raise self._error(f"{value[:50]!r} is neither 0 nor 1.", name)
        self._good.add(values)

    def _check_name(self, column: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise self._error(f"{name[:80]!r} cannot be the name of a folder.", column)

    def _error(self, problem: str, column: str = "") -> ManifestError:
        place = f"{self._path}, line {self._line()}{', column ' if column else ''}{column}"
        return ManifestError(f"{place}: {problem}", "Get the file again.")
