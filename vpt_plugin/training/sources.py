"""TrainingSource: where the studies to learn from come from, a CSV or what readers saved.

Nothing is read here but labels: a study is opened when it is prepared, and one of the test set never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.checkup import check_labels
from vpt_plugin.store.labels import LabelFolder, SavedLabel
from vpt_plugin.store.source import OpenedStudy, StudySource
from vpt_plugin.training.lost import why_lost
from vpt_plugin.training.site import archived_identity, open_site

if TYPE_CHECKING:
    from vpt_plugin.training.job import ArchiveFacts

Opener = Callable[[Callable[[], bool]], AbstractContextManager[OpenedStudy]]
NOT_LABELLED, GONE = "not labelled", "labelled, but not there"


@dataclass(frozen=True)
class SourceStudy:
    """One labelled study.

    Attributes:
        study: its name.
        opened: brings it onto this computer for as long as the ``with`` block lasts; takes what is asked
            whether to stop.
        label: the newest one of the task.
        patient: the patient's name or PatientID; "" where the PatientID in its files decides, or else the
            study itself.
        side: ``train``, ``validation`` or ``test``; "" where the split decides.
        synthetic: whether it is a phantom.
        identity: what it is, wherever and whenever it was fetched; "" where the place and the times of its
            files tell.
        may_grow: its files have to be looked at, too: nobody says how many they are.
        notes: what a person should know of its label.
    """

    study: str
    opened: Opener
    label: StudyLabel
    patient: str = ""
    side: str = ""
    synthetic: bool = False
    identity: str = ""
    may_grow: bool = False
    notes: tuple[str, ...] = ()


class TrainingSource(Protocol):
    """Where labelled studies come from."""

    @property
    def name(self) -> str:
        """What to call it."""

    def studies(self, task: str) -> Sequence[SourceStudy]:
        """The studies with a label of the task, by name; opens none.

        Raises:
            ArchiveError: the archive, or the folder, cannot be asked.
        """

    def left_out(self, task: str) -> Mapping[str, Sequence[str]]:
        """The names of those that can take no part, by reason."""

    def lost(self, task: str) -> tuple[str, str]:
        """Why labelled studies of the task may not be there, and the way out; empty for nothing to say."""

    def split_file(self, task: str) -> Path | None:
        """Where the sides of the split are written down; None where they cannot be."""


class ManifestSource:
    """The rows of a CSV.

    Args:
        manifest: as it was read.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    @property
    def name(self) -> str:
        """The CSV's name."""
        return self._manifest.path.name if self._manifest.path else "manifest"

    def studies(self, task: str) -> Sequence[SourceStudy]:
        """The rows with a label of the task.

        Raises:
            ManifestError: the CSV has no column for them.
        """
        self._manifest.require_labels_of(task)
        rows = sorted(self._manifest.studies, key=lambda row: row.study)
        return [_of_row(row, row.labels[task]) for row in rows if task in row.labels]

    def left_out(self, task: str) -> Mapping[str, Sequence[str]]:
        """The rows without a label of the task, but those of the test side."""
        rows = (row for row in self._manifest.studies if row.split != "test")
        return {NOT_LABELLED: [row.study for row in rows if task not in row.labels]}

    def lost(self, task: str) -> tuple[str, str]:
        """Nothing: the rows name their files."""
        return "", ""

    def split_file(self, task: str) -> Path | None:
        """``<csv>.<task>.split.json``."""
        path = self._manifest.path
        return path.with_name(f"{path.name}.{task}.split.json") if path else None


class LabelStoreSource:
    """What readers saved about the studies of a folder or of an archive.

    The newest label of a study counts, whoever saved it; that readers disagree is noted.

    Args:
        studies: the folder or the archive.
        labels: what was said about them.
        folder: of the studies, for the way out where labels are of other studies; None for an archive.
    """

    def __init__(self, studies: StudySource, labels: LabelFolder, folder: Path | None = None) -> None:
        self._studies = studies
        self._labels = labels
        self._folder = folder

    @property
    def name(self) -> str:
        """What the folder or the archive is called."""
        return self._studies.name

    def studies(self, task: str) -> Sequence[SourceStudy]:
        """The labelled studies that are there.

        Raises:
            ArchiveError: the archive, or the folder, was never seen and cannot be asked.
        """
        there = frozenset(self._studies.ids())
        archived = self._studies.state().kind == "archive"
        notes = self._notes(task)
        return [
            self._study(saved, archived, notes.get(saved.study, ()))
            for saved in self._labels.newest()
            if saved.task == task and saved.study in there
        ]

    def left_out(self, task: str) -> Mapping[str, Sequence[str]]:
        """The labelled studies that are no longer there; their labels are kept."""
        there = frozenset(self._studies.ids())
        newest = self._labels.newest()
        return {GONE: [each.study for each in newest if each.task == task and each.study not in there]}

    def lost(self, task: str) -> tuple[str, str]:
        """Under which other name such a study is here, and what was perhaps meant instead."""
        orphans = check_labels(self._labels, frozenset(self._studies.ids())).orphans
        return why_lost([each for each in orphans if task in each.tasks], self._folder, self._labels.root)

    def split_file(self, task: str) -> Path | None:
        """``<labels>/splits/<task>.json``."""
        return self._labels.root / "splits" / f"{task}.json"

    def _study(self, saved: SavedLabel, archived: bool, notes: tuple[str, ...]) -> SourceStudy:
        facts = self._studies.facts(saved.study) if archived else {}
        return SourceStudy(
            study=saved.study,
            opened=partial(self._opened, saved.study),
            label=saved.label,
            patient=facts.get("patient", ""),
            identity=archived_identity(self._studies, saved.study, facts) if archived else "",
            may_grow=archived and not facts.get("slices"),
            notes=notes,
        )

    def _opened(self, study: str, cancelled: Callable[[], bool]) -> AbstractContextManager[OpenedStudy]:
        return self._studies.opened(study, cancelled=cancelled)

    def _notes(self, task: str) -> dict[str, tuple[str, ...]]:
        """What a person should know of the labels, by study."""
        notes: dict[str, tuple[str, ...]] = {}

        def add(study: str, note: str) -> None:
            notes[study] = (*notes.get(study, ()), note)

        for each in self._labels.disagreements():
            if each.task == task:
                add(each.study, f"readers disagree on {', '.join(each.findings)}; the newest label counts")
        for aside in self._labels.conflicts():
            if aside.task == task and not aside.settled:
                add(aside.study, "a label was set aside in a conflict and does not count")
        for damaged in self._labels.damaged():
            if damaged.task == task and not damaged.unfinished:
                add(damaged.study, f"{damaged.path.name} cannot be read; the newest readable label counts")
        return notes


def open_source(
    place: str | Path, *, labels_dir: Path | None = None, archive: ArchiveFacts | None = None
) -> TrainingSource:
    """The studies to learn from, as a command or a job names them.

    Args:
        place: a CSV, a folder of studies, or the address of a DICOM archive.
        labels_dir: where labels lie, where that is not the usual place; a CSV names its own.
        archive: how an archive is used; its login comes from the environment.

    Raises:
        ConfigurationError: it is none of these.
        ManifestError: the CSV cannot be used.
    """
    path = Path(place)
    if "://" not in str(place) and path.is_file():
        if labels_dir is not None:
            raise ConfigurationError(
                f"{path} names the labels of its studies itself;", "leave the folder of labels out."
            )
        return ManifestSource(Manifest.read(path))
    site = open_site(place, labels_dir=labels_dir, archive=archive)
    if not site.labels.root.is_dir():
        raise ConfigurationError(
            f"{site.labels.root}: there is no such folder, so no study is labelled.",
            "Label studies first, or name the folder of their labels.",
        )
    return LabelStoreSource(site.studies, site.labels, site.folder)


def _of_row(row: ManifestStudy, label: StudyLabel) -> SourceStudy:
    return SourceStudy(
        study=row.study,
        opened=partial(_where_it_lies, row.path),
        label=label,
        # The name of the study stands where no patient was named.
        patient="" if row.patient == row.study else row.patient,
        side=row.split,
        synthetic=row.synthetic,
    )


@contextmanager
def _where_it_lies(path: Path, cancelled: Callable[[], bool]) -> Iterator[OpenedStudy]:
    yield OpenedStudy(path)
