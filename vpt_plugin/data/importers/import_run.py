"""One import, from a folder of a data set to manifests: what all importers have in common."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vpt_plugin.data.importers.earlier_sides import EarlierSides
from vpt_plugin.data.importers.importer import FoundSet, Importer, ReadStudy
from vpt_plugin.data.importers.kept import KeptStudies
from vpt_plugin.data.importers.patients import patient_notes
from vpt_plugin.data.importers.reading import read_studies
from vpt_plugin.data.importers.written import (
    MANIFEST,
    WrittenManifests,
    manifest_studies,
    write_manifests,
)
from vpt_plugin.data.manifest import ManifestStudy
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError, ManifestError
from vpt_plugin.tasks import ReadingTask, task_file_text

REPORT = "import-report.csv"
_KEPT, _SIDES = ".import", "sides.json"
_UNSAFE = ("=", "+", "-", "@")


@dataclass(frozen=True)
class ImportOutcome:
    """What an import did, or, of a dry run, would do.

    Attributes:
        studies: the rows of the manifest, all with a side.
        notes: what is to be said of studies that were imported, by name.
        refused: why, by name.
        set_notes: what is to be said of the set as a whole.
        unchanged: how many were read by an earlier run already.
        manifests: the files; None of a dry run.
        task_files: of the data set's own tasks, by the task's name; empty of a dry run.
    """

    studies: tuple[ManifestStudy, ...]
    notes: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, str]
    set_notes: tuple[str, ...]
    unchanged: int
    manifests: WrittenManifests | None
    task_files: Mapping[str, Path]


def run_import(
    importer: Importer[Any],
    out: Path,
    *,
    workers: int = 1,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportOutcome:
    """Read all studies of a data set and write manifests, labels, task files and a report.

    An interrupted import goes on where it was, when the same is called again: what was read is kept in
    ``out/.import``, until every study is imported. Whoever had a side in the manifest of an earlier import
    keeps it, also when he is refused in between.

    Args:
        importer: of the data set.
        out: the folder to write to; its parents need not be there.
        workers: processes that read.
        dry_run: read everything and write nothing.
        progress: called with the studies done and in total.

    Raises:
        ConfigurationError, ManifestError: this is not the data set; ``out`` belongs to another one; or no
            study at all could be imported.
        OSError: the disk is full, the folder is not writable.
    """
    found = importer.find()
    _require_unlike_names(found)
    with _alone(out, dry_run=dry_run):
        noted = out / _KEPT / _SIDES
        in_manifest = EarlierSides.in_manifest(out / MANIFEST, (study.name for study in found.studies))
        before = EarlierSides.noted(noted).then(in_manifest)
        kept = KeptStudies(None if dry_run else out / _KEPT / f"{importer.name}.jsonl")
        read, refused, unchanged = _read_all(importer, found, kept, workers, progress)
        refused = {**found.refused, **refused}
        if not dry_run:
            write_over(out / REPORT, _report(read, refused))
        if not read:
            raise _nothing(out, refused)
        studies = manifest_studies(read, before)
        manifests, task_files = None, {}
        if not dry_run:
            before.then(EarlierSides.of(studies)).note(noted)
            manifests = write_manifests(studies, out)
            task_files = {task.name: _write_task(task, out) for task in importer.tasks}
        if not refused:
            kept.forget()
    return ImportOutcome(
        studies,
        {name: study.notes for name, study in sorted(read.items()) if study.notes},
        dict(sorted(refused.items())),
        (*found.notes, *patient_notes(read)),
        unchanged,
        manifests,
        task_files,
    )


def _read_all(
    importer: Importer[Any],
    found: FoundSet[Any],
    kept: KeptStudies,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, ReadStudy], dict[str, str], int]:
    """What was read and what was refused, by name, and how many were kept from before."""
    read: dict[str, ReadStudy] = {}
    refused: dict[str, str] = {}
    unchanged = 0
    waiting = [(study, kept.key(study.name)) for study in found.studies]
    for done, reading in enumerate(read_studies(importer, waiting, workers), start=1):
        if reading.refused:
            refused[reading.name] = reading.refused
        elif reading.study is None:
            read[reading.name] = kept.study(reading.name)
            unchanged += 1
        else:
            read[reading.name] = reading.study
            kept.add(reading.name, reading.key, reading.study)
        if progress:
            progress(done, len(waiting))
    return read, refused, unchanged


def _require_unlike_names(found: FoundSet[Any]) -> None:
    counts = Counter(study.name for study in found.studies)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ManifestError(f"{len(twice)} names are those of several studies, the first {twice[0]!r}.")


@contextmanager
def _alone(out: Path, *, dry_run: bool) -> Iterator[None]:
    """One import at a time writes to a folder."""
    if dry_run:
        yield
        return
    make_folder((out / _KEPT).absolute())
    try:
        with FileLock(out / _KEPT / "lock", timeout=0):
            yield
    except Timeout:
        raise ConfigurationError(
            f"{out}: another import writes to this folder;", "wait for it, or choose another one with --to."
        ) from None


def _nothing(out: Path, refused: Mapping[str, str]) -> ManifestError:
    if not refused:
        return ManifestError(f"{out}: there is no study to import.")
    name, why = min(refused.items())
    return ManifestError(f"not one of {len(refused)} studies can be imported. The first, {name}: {why}")


def _write_task(task: ReadingTask, out: Path) -> Path:
    path = out / f"{task.name}.yaml"
    write_over(path, task_file_text(task).encode())
    return path


def _report(read: Mapping[str, ReadStudy], refused: Mapping[str, str]) -> bytes:
    """The CSV of what became of every study."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("study", "state", "why", "notes"))
    for name in sorted({*read, *refused}):
        state = "refused" if name in refused else "imported"
        notes = " ".join(read[name].notes) if name in read else ""
        writer.writerow([_cell(each) for each in (name, state, refused.get(name, ""), notes)])
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """A spreadsheet would compute what begins like a formula; names come from anybody."""
    return f"'{text}" if text.startswith(_UNSAFE) else text
