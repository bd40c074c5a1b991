"""What an importer is: it finds the studies of a data set, and reads one of them.

To add a data set, write a frozen dataclass with the four members of ``Importer`` in a module of its own, and
a command for it in ``vpt_plugin/cli``. Everything else is done for all of them by ``import_run``: processes,
going on after an interruption, what is refused, the split, the fractions, the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from vpt_plugin.labels import StudyLabel
from vpt_plugin.tasks import ReadingTask

Source = TypeVar("Source")


@dataclass(frozen=True)
class FoundStudy(Generic[Source]):
    """A study of the data set, before it is read; it goes to another process.

    Attributes:
        name: what it is called in the manifest; unique, and fit to be a folder's name.
        path: the folder or the file.
        source: what the importer knows of it, such as its rows of a table. Where its ``repr`` changes, the
            study is read again.
        beside: files elsewhere that are read, too, such as XML; where they change, it is read again.
    """

    name: str
    path: Path
    source: Source
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True)
class FoundSet(Generic[Source]):
    """What lies in the folder of a data set.

    Attributes:
        studies: those to be read.
        refused: why, by the name of what cannot even be tried: rows without a folder, folders without a row.
        notes: what is to be said of the set as a whole, as sentences.
    """

    studies: tuple[FoundStudy[Source], ...]
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadStudy:
    """What was read of a study, as it goes into the manifest.

    Attributes:
        path: what is trained on: the folder of the series, or the file.
        labels: one per task. Nothing in them may change from one reading to the next, such as a time.
        patient: as the data set says; "" where it does not.
        patient_id: PatientID of the files. It counts where ``patient`` is "", and where it tells patients
            apart: many an anonymised set has the same in all files.
        split: ``train``, ``validation`` or ``test`` where the data set says so; "" where it is to be decided.
        notes: what is to be said of it, as sentences.
        synthetic: whether it is a phantom.
    """

    path: Path
    labels: tuple[StudyLabel, ...]
    patient: str = ""
    patient_id: str = ""
    split: str = ""
    notes: tuple[str, ...] = ()
    synthetic: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """From process to process as JSON: the read-only mappings of a label cannot be pickled."""
        return ReadStudy.from_json, (self.to_json(),)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **vars(self),
            "path": str(self.path),
            "labels": [label.to_json() for label in self.labels],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReadStudy:
        """From its JSON.

        Raises:
            KeyError, TypeError, LabelError: it is none.
        """
        given = {
            "path": Path(data["path"]),
            "labels": tuple(StudyLabel.from_json(label) for label in data["labels"]),
            "notes": tuple(data["notes"]),
        }
        return cls(**{**data, **given})


class Importer(Protocol[Source]):
    """A data set that can be imported: a frozen dataclass, since it goes to other processes.

    Its ``repr``, which has all its settings, is part of what tells whether a study must be read again.
    """

    @property
    def name(self) -> str:
        """Short, for files and messages: ``rsna``."""
        ...

    @property
    def tasks(self) -> tuple[ReadingTask, ...]:
        """Tasks of its own, whose files are written beside the manifest."""
        ...

    def find(self) -> FoundSet[Source]:
        """The studies there are; no DICOM file is opened yet.

        Raises:
            ConfigurationError, ManifestError: this is not the data set, or its table cannot be used.
        """
        ...

    def read(self, study: FoundStudy[Source]) -> ReadStudy:
        """Read one study, in whatever process.

        Raises:
            StudyError, LabelError: the study is refused; the others go on.
            OSError: the same.
        """
        ...
