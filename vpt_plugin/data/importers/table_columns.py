"""Which column of a table is what: as it was said, else by the names that such columns usually have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vpt_plugin.data.importers.table_file import Table
from vpt_plugin.data.importers.table_words import side_of, state_of
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import ReadingTask

# Compared without case, spaces and marks: "Patient ID" is patientid.
_USUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "path": ("path", "file", "filepath", "filename", "folder", "directory", "dicom", "dicompath",
                 "dicomfolder", "image", "imagepath", "studypath", "pfad", "ordner", "datei"),
        # No "name" and no "id": these are people's as often.
        "study": ("study", "studyid", "studyname", "case", "caseid", "exam", "examid", "accession",
                  "accessionnumber", "studie"),
        "patient": ("patient", "patientid", "subject", "subjectid", "pid", "mrn"),
        "split": ("split",),
        "synthetic": ("synthetic",),
    }
)  # fmt: skip
# Of the split only where a cell is a word for a side: "side" is that of the body as often.
_SPLIT = ("side", "set", "seite")
# For a task with one finding.
_FINDING = ("finding", "label", "result", "befund")
_OPTIONS = {role: f"--{role}-column" for role in (*_USUAL, "slices")}


@dataclass(frozen=True)
class ColumnChoice:
    """What a user says of the columns; what is left out is guessed.

    Attributes:
        path, study, patient, split, synthetic: the columns' names; "" for a guess.
        findings: pairs of a finding and its column; empty for a guess.
        slices: the column of the slice ranges, ``COLUMN`` or ``FINDING=COLUMN``; "" for none.
    """

    path: str = ""
    study: str = ""
    patient: str = ""
    split: str = ""
    synthetic: str = ""
    findings: tuple[tuple[str, str], ...] = ()
    slices: str = ""


@dataclass(frozen=True)
class Columns:
    """Which column is what.

    Attributes:
        path, study, patient, split, synthetic: the columns' names; "" where there is none.
        findings: columns by finding.
        slices: columns of slice ranges by finding.
        guessed: what was found by its name, for people: ``patient: Patient ID``.
        left: the others, which are not read.
    """

    path: str
    study: str
    patient: str
    split: str
    synthetic: str
    findings: Mapping[str, str]
    slices: Mapping[str, str]
    guessed: tuple[str, ...]
    left: tuple[str, ...]


def choose_columns(table: Table, task: ReadingTask, choice: ColumnChoice) -> Columns:
    """The columns of a table that is to be labels of a task.

    Raises:
        ConfigurationError: a column that was named is not there, several columns could be meant, no column
            says where the studies are, none says anything of a finding, or one that is left has the sides.
    """
    guessed: list[str] = []
    roles = {}
    for role, usual in _USUAL.items():
        if named := getattr(choice, role):
            roles[role] = _require(table, named, _OPTIONS[role])
        elif found := _guess(table, usual, role, _OPTIONS[role]) or (role == "split" and _guess_side(table)):
            roles[role] = found
            guessed.append(f"{role}: {found}")
    if "path" not in roles and "study" not in roles:
        raise ConfigurationError(
            f"{table.path}: no column says where the studies are; found: {', '.join(table.columns)}.",
            "Name it with --path-column.",
        )
    findings = dict(_findings(table, task, choice.findings, guessed, roles.values()))
    slices = _slices(table, task, findings, choice.slices)
    taken = {*roles.values(), *findings.values(), *slices.values()}
    left = tuple(column for column in table.columns if column and column not in taken)
    if "split" not in roles:
        _require_no_sides(table, left)
    return Columns(
        **{role: roles.get(role, "") for role in _USUAL},
        findings=findings,
        slices=slices,
        guessed=tuple(guessed),
        left=left,
    )


def _guess_side(table: Table) -> str:
    """A column named like a side, or a set, in which at least one cell is a word for a side of the split."""
    worded = tuple(each for each in table.columns if any(side_of(cell) for cell in table.cells(each)))
    return _guess(replace(table, columns=worded), _SPLIT, "split", _OPTIONS["split"])


def _require_no_sides(table: Table, left: Iterable[str]) -> None:
    """A split that nobody takes would be made anew: patients of the test side could be trained on."""
    for column in left:
        cells = sorted({cell for cell in table.cells(column) if cell})
        if cells and all(map(side_of, cells)):
            raise ConfigurationError(
                f"{table.path}: column {column} has sides of a split ({', '.join(cells)}), "
                "but its name does not say so.",
                f"Take it with --split-column {column!r}, or remove it from the table.",
            )


def _findings(
    table: Table,
    task: ReadingTask,
    named: tuple[tuple[str, str], ...],
    guessed: list[str],
    roles: Iterable[str],
) -> Iterator[tuple[str, str]]:
    for finding, column in named:
        _require_finding(finding, task)
        yield finding, _require(table, column, "--finding")
    if named:
        return
    found = {}
    for finding in task.findings:
        usual = (finding, *((task.name, task.title, *_FINDING) if len(task.findings) == 1 else ()))
        if column := _guess(table, usual, finding, f"--finding {finding}=COLUMN"):
            found[finding] = column
            guessed.append(f"{finding}: {column}")
    if not found:
        raise ConfigurationError(
            f"{table.path}: no column is named like a finding of the task {task.name} "
            f"({', '.join(task.findings)}); found: {', '.join(table.columns)}.",
            f"Say which, such as --finding {task.findings[0]}={_like_a_finding(table, roles)}.",
        )
    yield from found.items()


def _like_a_finding(table: Table, roles: Iterable[str]) -> str:
    """The first column whose cells are words for states, for an example; ``COLUMN`` where none is."""
    for column in (each for each in table.columns if each not in set(roles)):
        states = {state_of(cell) for cell in table.cells(column)}
        if None not in states and states != {""}:
            return repr(column)
    return "COLUMN"


def _slices(table: Table, task: ReadingTask, findings: Mapping[str, str], named: str) -> dict[str, str]:
    if not named:
        return {}
    finding, equals, column = named.partition("=")
    if not equals or named in table.columns:
        if len(findings) > 1:
            raise ConfigurationError(
                f"--slices-column {named}: of which of the {len(findings)} findings?",
                f"Say it, such as --slices-column {next(iter(findings))}={named!r}.",
            )
        finding, column = next(iter(findings)), named
    _require_finding(finding, task)
    if finding not in findings:
        raise ConfigurationError(
            f"--slices-column {named}: {finding} has no column.", "Name it with --finding."
        )
    return {finding: _require(table, column, "--slices-column")}


def _require_finding(finding: str, task: ReadingTask) -> None:
    if finding not in task.findings:
        raise ConfigurationError(
            f"{finding!r} is no finding of the task {task.name};", f"choose from {', '.join(task.findings)}."
        )


def _require(table: Table, column: str, option: str) -> str:
    if column not in table.columns:
        raise ConfigurationError(
            f"{option} {column}: {table.path} has no such column;", f"choose from {', '.join(table.columns)}."
        )
    return column


def _guess(table: Table, usual: Iterable[str], what: str, option: str) -> str:
    """The column with one of the usual names; the first of these that occurs."""
    for name in usual:
        found = [column for column in table.columns if _plain(column) == _plain(name)]
        if len(found) > 1:
            raise ConfigurationError(
                f"{table.path}: {what} may be {' or '.join(found)}.", f"Say which with {option}."
            )
        if found:
            return found[0]
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
