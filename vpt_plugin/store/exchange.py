"""Labels out of a LabelFolder and into one: as a JSON document, as a table, from another folder of labels.

::

    {"schema": "vptct.labels/1",
     "labels": [{"study": "p01", "version": 2, "saved": "2026-11-20T20:31:07Z", "sha256": "9f2c...",
                 "label": {"schema": "vptct.label/1", "task": "pe", ...}}]}

``store/label_table.py`` has the table. An import only ever appends: what the history holds already is passed
over, what it does not hold becomes a new version, the oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from vpt_plugin.errors import LabelError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.label_table import LabelEntry, read_table
from vpt_plugin.store.labels import LabelFolder, SavedLabel, label_bytes

SCHEMA = "vptct.labels/1"
_FIELDS = ("study", "version", "saved", "sha256", "label")
_NOTHING_DONE = "Nothing was imported."


def entries_of(
    labels: LabelFolder, *, task: str | None = None, all_versions: bool = False
) -> list[LabelEntry]:
    """What a folder holds, in the order of studies, tasks and versions.

    Args:
        labels: the folder.
        task: only this task's; by default all.
        all_versions: the whole history; by default the newest version of each study and task.
    """
    newest = [saved for saved in labels.newest() if task in (None, saved.task)]
    if not all_versions:
        return [_entry(saved) for saved in newest]
    return [_entry(each) for saved in newest for each in labels.history(saved.study, saved.task)]


def _entry(saved: SavedLabel) -> LabelEntry:
    return LabelEntry(
        saved.study, saved.label, saved.version, saved.saved, saved.sha256, place=saved.path.name
    )


def write_document(entries: Iterable[LabelEntry]) -> str:
    """The entries as one JSON document, ``vptct.labels/1``."""
    labels = [
        {
            "study": entry.study,
            "version": entry.version,
            "saved": entry.saved,
            "sha256": entry.sha256,
            "label": entry.label.to_json(),
        }
        for entry in entries
    ]
    return json.dumps({"schema": SCHEMA, "labels": labels}, indent=1, allow_nan=False) + "\n"


def read_exported(path: Path) -> list[LabelEntry]:
    """The labels of a file that was exported, or written by hand: JSON or a table.

    Raises:
        LabelError: one entry cannot be used; names the file, the place in it and the field.
        OSError: the file cannot be read.
    """
    try:
        # The mark at the beginning is what spreadsheets know UTF-8 by.
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise LabelError(
            f"{path}, line {line}: this is not UTF-8.", f'Save it as "CSV UTF-8". {_NOTHING_DONE}'
        ) from error
    is_json = text.lstrip()[:1] in ("{", "[")
    try:
        entries = _read_document(text) if is_json else read_table(text)
        for entry in entries:
            _check_savable(entry)
    except LabelError as error:
        raise LabelError(f"{path}, {error.message}", f"{error.hint} {_NOTHING_DONE}".lstrip()) from error
    return entries


def _read_document(text: str) -> list[LabelEntry]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise LabelError(f"line {error.lineno}: this is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise LabelError(f"line 1: this is not JSON: {str(error)[:100]}.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise LabelError(f"field schema: the document must be an object with schema {SCHEMA!r}.")
    if unknown := sorted(set(document) - {"schema", "labels"}):
        raise LabelError(f"field {unknown[0][:100]!r} is unknown;", "fields: schema, labels.")
    if not isinstance(document.get("labels"), list):
        raise LabelError("field labels: a list of labels is wanted.")
    return [_read_entry(data, f"labels[{index}]") for index, data in enumerate(document["labels"])]


def _read_entry(data: Any, place: str) -> LabelEntry:
    if not isinstance(data, dict):
        raise LabelError(f"{place}: an object is wanted.", f"Fields: {', '.join(_FIELDS)}.")
    if unknown := sorted(set(data) - set(_FIELDS)):
        raise LabelError(f"{place}, field {unknown[0][:100]!r} is unknown;", f"fields: {', '.join(_FIELDS)}.")
    for name in ("study", "saved", "sha256"):
        if not isinstance(data.get(name, "" if name != "study" else None), str):
            raise LabelError(f"{place}, field {name}: a text is wanted.")
    version = data.get("version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise LabelError(f"{place}, field version: a whole number from 0 on is wanted.")
    if not isinstance(data.get("label"), dict):
        raise LabelError(f"{place}, field label: an object is wanted.")
    try:
        label = StudyLabel.from_json(data["label"])
    except LabelError as error:
        raise LabelError(f"{place}, study {data['study'][:100]!r}: {error.message}", error.hint) from error
    return LabelEntry(
        data["study"], label, version, data.get("saved", ""), data.get("sha256", ""), place=place
    )


def _check_savable(entry: LabelEntry) -> None:
    """Whatever ``LabelFolder.save`` refuses is refused before the first label is saved."""
    if not is_study_id(entry.study):
        raise LabelError(f"{entry.place}, field study: {entry.study[:100]!r} is no id of a study.")
    try:
        label_bytes(entry.label)
    except LabelError as error:
        raise LabelError(f"{entry.place}: {error.message}", error.hint) from error


@dataclass(frozen=True)
class Followed:
    """A label that would no longer be the newest after an import, though somebody else or later made it."""

    newest: SavedLabel
    entry: LabelEntry


@dataclass(frozen=True)
class ImportPlan:
    """What an import would do.

    Attributes:
        new: what becomes a new version, in the order of saving.
        known: what the histories hold already.
        strangers: labels of studies that are not there; left out.
        followed: where the newest label is another annotator's, or is of a later time than the one
            that would follow it.
    """

    new: tuple[LabelEntry, ...] = ()
    known: tuple[LabelEntry, ...] = ()
    strangers: tuple[LabelEntry, ...] = ()
    followed: tuple[Followed, ...] = ()


def plan_import(
    entries: Iterable[LabelEntry], labels: LabelFolder, studies: Collection[str] | None
) -> ImportPlan:
    """What importing the entries would do; writes nothing.

    A history may say the same twice (present, absent, present): each entry is matched with one version.

    Args:
        entries: what is to be imported.
        labels: the folder to import into.
        studies: the ids that are known there; None takes every entry, known or not.
    """
    new: list[LabelEntry] = []
    known: list[LabelEntry] = []
    strangers: list[LabelEntry] = []
    followed: list[Followed] = []
    for (study, task), group in groupby(sorted(entries, key=_oldest_first), key=_study_and_task):
        if studies is not None and study not in studies:
            strangers += group
            continue
        history = labels.history(study, task)
        there, fresh = _match(history, list(group))
        known += there
        new += fresh
        if history and fresh and _is_surprise(history[-1].label, fresh[-1].label):
            followed.append(Followed(history[-1], fresh[-1]))
    return ImportPlan(tuple(new), tuple(known), tuple(strangers), tuple(followed))


def carry_out(
    plan: ImportPlan, labels: LabelFolder, *, progress: Callable[[int, int], None] | None = None
) -> list[SavedLabel]:
    """Save what is new. After a crash or a full disk in between, the same import goes on where it stopped.

    Args:
        plan: what to do.
        labels: the folder that it was planned for.
        progress: called with how many labels are saved, and of how many.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    saved = []
    for entry in plan.new:
        saved.append(labels.save(entry.study, entry.label))
        if progress is not None:
            progress(len(saved), len(plan.new))
    return saved


def _study_and_task(entry: LabelEntry) -> tuple[str, str]:
    return entry.study, entry.label.task


def _oldest_first(entry: LabelEntry) -> tuple[str, str, bool, int]:
    # What has no version comes last, in the order of the file: somebody added it by hand.
    return entry.study, entry.label.task, entry.version == 0, entry.version


def _match(
    history: Sequence[SavedLabel], entries: Sequence[LabelEntry]
) -> tuple[list[LabelEntry], list[LabelEntry]]:
    """The entries that the history holds, and those that it does not."""
    unmatched = [saved.label.to_json() for saved in history]
    there, fresh = [], []
    for entry in entries:
        content = entry.label.to_json()
        if content in unmatched:
            unmatched.remove(content)
            there.append(entry)
        else:
            fresh.append(entry)
    return there, fresh


def _is_surprise(newest: StudyLabel, follower: StudyLabel) -> bool:
    return newest.annotator != follower.annotator or newest.created > follower.created
