"""Manifest: a CSV that lists studies, their patients, their side of the split and their labels.

One row per study::

    study,path,patient,split,nodule_label
    chest-001,images/chest-001.nii.gz,patient-07,train,labels/final/chest-001/nodule.0001.json

``path`` is a DICOM folder or a file; paths are relative to the CSV. An empty ``patient`` means one that has
only this study; an empty ``split`` is that of the patient's other studies, or else is decided when a task is
trained first and noted beside the CSV (``vpt_plugin.data.split_file``). There may be one ``<task>_label``
column per task, each holding the path of a label (``vptct.label/1``); an empty one means not labelled.
``synthetic`` is an optional column: yes for a phantom.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vpt_plugin.data.splits import SPLITS
from vpt_plugin.durable import make_folder, write_new, write_over
from vpt_plugin.errors import LabelError, ManifestError
from vpt_plugin.labels import StudyLabel

_REQUIRED = ("study", "path", "patient", "split")
_LABEL = "_label"
# A study's name becomes a folder's name, on Windows too.
_NAME = re.compile(r'[^\\/:*?"<>|\x00-\x1f.][^\\/:*?"<>|\x00-\x1f]{0,119}')
_YES_NO = {"yes": True, "no": False, "": False}


@dataclass(frozen=True)
class ManifestStudy:
    """One study of a manifest.

    Attributes:
        study: its name, unique within the manifest.
        path: a DICOM folder, or a file.
        patient: studies of one patient are always on the same side of the split.
        split: ``train``, ``validation`` or ``test``; "" where it is still to be decided.
        labels: by the task's name.
        synthetic: whether it is a phantom.
    """

    study: str
    path: Path
    patient: str
    split: str
    labels: Mapping[str, StudyLabel]
    synthetic: bool = False


@dataclass(frozen=True)
class Manifest:
    """Studies with their labels and their side of the split.

    Attributes:
        studies: one per row.
        path: the CSV; None where it is in memory only.
        columns: its columns, as the first line names them; empty where it is in memory only.

    Raises:
        ManifestError: a name twice, or a patient or a path on two sides of the split.
    """

    studies: tuple[ManifestStudy, ...]
    path: Path | None = field(default=None, compare=False)
    columns: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check(self.studies, [f"study {study.study!r}" for study in self.studies])

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest from a CSV.

        Raises:
            ManifestError: names the file, the line and the column.
        """
        file = _ManifestFile(path)
        return cls(file.studies(), path, file.columns)

    def require_labels_of(self, task: str) -> None:
        """Refuse a CSV that cannot hold labels of this task.

        Raises:
            ManifestError: names the column that is missing, and those that are there.
        """
        if self.columns and task + _LABEL not in self.columns:
            raise ManifestError(
                f"{self.path}, line 1: column {task}{_LABEL} is missing, so no study is labelled for {task}; "
                f"found: {', '.join(self.columns)}.",
                "Add the column, with the path of a label in each row, or choose another task with --task.",
            )

    def write(self, path: Path) -> None:
        """Write the CSV, and the labels beside it under ``labels/final/<study>/<task>.0001.json``.

        A label that is there already and says the same is used as it is; another one gets the next number, so
        that no label is ever overwritten.

        Raises:
            ManifestError: a study's name that cannot be the name of a folder.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        tasks = sorted({task for study in self.studies for task in study.labels})
        rows = [self._row(study, tasks, path.parent) for study in self.studies]
        columns = [*_REQUIRED, *(task + _LABEL for task in tasks), "synthetic"]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_over(path, text.getvalue().encode())

    @staticmethod
    def _row(study: ManifestStudy, tasks: Iterable[str], folder: Path) -> dict[str, str]:
        if not _NAME.fullmatch(study.study):
            raise ManifestError(
                f"{study.study!r} cannot be the name of a study: it must do as a folder's name."
            )
        row = {
            "study": study.study,
            "path": _relative(study.path, folder),
            "patient": study.patient,
            "split": study.split,
            "synthetic": "yes" if study.synthetic else "no",
        }
        for task in tasks:
            if task in study.labels:
                label_file = _write_label(study.labels[task], folder / "labels" / "final" / study.study)
                row[task + _LABEL] = _relative(label_file, folder)
        return row


class _ManifestFile:
    """Reads the CSV, keeping the line of every study for the messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()

    def studies(self) -> tuple[ManifestStudy, ...]:
        studies: list[ManifestStudy] = []
        places: list[str] = []
        try:
            # utf-8-sig: spreadsheets put a byte order mark in front.
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                self.columns = tuple(reader.fieldnames or ())
                self._check_columns(list(self.columns))
                for row in reader:
                    places.append(f"{self.path}, line {reader.line_num}")
                    studies.append(self._study(row, places[-1]))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ManifestError(f"{self.path}: cannot be read: {error}.") from error
        if not studies:
            raise ManifestError(f"{self.path}: there is no study in it.")
        studies = _fill_splits(studies)
        _check(studies, places)
        return tuple(studies)

    def _check_columns(self, columns: list[str]) -> None:
        if missing := [name for name in _REQUIRED if name not in columns]:
            raise ManifestError(
                f"{self.path}, line 1: column {missing[0]} is missing; found: {', '.join(columns)}.",
                f"The first line must name {', '.join(_REQUIRED)} and a <task>{_LABEL}, separated by commas.",
            )
        known = {*_REQUIRED, "synthetic"}
        for name in columns:
            if columns.count(name) > 1:
                raise ManifestError(f"{self.path}, line 1: column {name} is there twice.")
            if name not in known and not name.endswith(_LABEL):
                raise ManifestError(
                    f"{self.path}, line 1: column {name} is unknown.",
                    f"Columns: {', '.join(_REQUIRED)}, <task>{_LABEL}, synthetic.",
                )

    def _study(self, row: Mapping[str | None, str | None], place: str) -> ManifestStudy:
        if None in row or None in row.values():
            raise ManifestError(f"{place}: the line has more or fewer cells than the first one.")
        cells = {str(name): str(value).strip() for name, value in row.items()}
        if not _NAME.fullmatch(cells["study"]):
            raise ManifestError(f"{place}, column study: {cells['study']!r} cannot be the name of a study.")
        if cells["split"] not in (*SPLITS, ""):
            raise ManifestError(
                f"{place}, column split: {cells['split']!r} is unknown;", f"choose from {', '.join(SPLITS)}."
            )
        if (synthetic := cells.get("synthetic", "").lower()) not in _YES_NO:
            raise ManifestError(f"{place}, column synthetic: {synthetic!r} is neither yes nor no.")
        return ManifestStudy(
            study=cells["study"],
            path=self._existing(cells["path"], f"{place}, column path"),
            patient=cells["patient"] or cells["study"],
            split=cells["split"],
            labels={
                name.removesuffix(_LABEL): self._label(name, cell, f"{place}, column {name}")
                for name, cell in cells.items()
                if name.endswith(_LABEL) and cell
            },
            synthetic=_YES_NO[synthetic],
        )

    def _existing(self, cell: str, place: str) -> Path:
        path = self.path.parent / cell
        if not cell or not path.exists():
            raise ManifestError(f"{place}: {cell!r} does not exist.", "Paths are relative to the CSV.")
        return path

    def _label(self, column: str, cell: str, place: str) -> StudyLabel:
        path = self._existing(cell, place)
        try:
            label = StudyLabel.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{place}: {cell} cannot be read: {error}.") from error
        except LabelError as error:
            raise ManifestError(f"{place}: {cell}: {error.message}", error.hint) from error
        if label.task != column.removesuffix(_LABEL):
            raise ManifestError(f"{place}: {cell} is a label for the task {label.task!r}.")
        return label


def _fill_splits(studies: list[ManifestStudy]) -> list[ManifestStudy]:
    """Where no side is given: the one that the patient, or the very file, has in another row, if any."""
    while True:
        given: dict[str | Path, str] = {}
        for study in studies:
            given |= dict.fromkeys((study.patient, study.path.resolve()), study.split) if study.split else {}
        filled = [
            study
            if study.split
            else replace(study, split=given.get(study.patient) or given.get(study.path.resolve(), ""))
            for study in studies
        ]
        # Whoever got a side by a file hands it on to his other studies.
        if filled == studies:
            return filled
        studies = filled


def _check(studies: Iterable[ManifestStudy], places: list[str]) -> None:
    names: dict[str, str] = {}
    sides: dict[str | Path, tuple[str, str]] = {}
    for study, place in zip(studies, places, strict=True):
        if study.split not in (*SPLITS, ""):
            raise ManifestError(
                f"{place}: split {study.split!r} is unknown;", f"choose from {', '.join(SPLITS)}."
            )
        if study.study in names:
            raise ManifestError(
                f"{place}, column study: {study.study!r} is there already ({names[study.study]})."
            )
        names[study.study] = place
        if not study.split:
            continue
        # By the path too: one scan under two names would be learned by heart and then recognised.
        for what, key in (("patient", study.patient), ("path", study.path.resolve())):
            split, first = sides.setdefault(key, (study.split, place))
            if split != study.split:
                raise ManifestError(
                    f"{place}, column split: {what} {str(key)!r} is in {study.split} and in {split}.",
                    f"A {what} must be on one side only; see {first}.",
                )


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _write_label(label: StudyLabel, folder: Path) -> Path:
    make_folder(folder)
    written = sorted(folder.glob(f"{label.task}.[0-9][0-9][0-9][0-9].json"))
    text = json.dumps(label.to_json(), indent=2) + "\n"
    if written and written[-1].read_text(encoding="utf-8") == text:
        return written[-1]
    number = int(written[-1].name.split(".")[-2]) + 1 if written else 1
    path = folder / f"{label.task}.{number:04d}.json"
    try:
        write_new(path, text.encode())
    except FileExistsError:  # another process was quicker
        return _write_label(label, folder)
    return path
