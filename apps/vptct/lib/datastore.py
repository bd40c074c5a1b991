"""MONAI Label's datastore over where studies come from (a folder, a DICOM archive) and a folder of labels.

Ids are looked up in what the source of studies knows and never joined to a path. Studies and labels are not
removed or changed from afar; a label that is wrong is followed by a better one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import ArchiveError
from vpt_plugin.labels import StudyLabel, now
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.labels import LabelFolder, SavedLabel
from vpt_plugin.store.source import OpenedStudy, StudySource
from vpt_plugin.tasks import ReadingTask

from .errors import BadRequestError, NothingThereError, NotOfferedError
from .label_check import LabelCheck
from .notes import Notes

_logger = logging.getLogger(__name__)
FINAL = "final"
# A study's id may hold dots, the name of a task and a version do not.
_LABEL_ID = re.compile(r"(.+)\.([a-z0-9_]+)\.[0-9]+")


class StudyDatastore(Datastore):
    """The datastore that MONAI Label asks.

    A label's id is ``<study>.<task>.<version>``; its tag is always ``final``.

    Args:
        studies: the studies.
        labels: what readers said about them.
        tasks: labels of other tasks are refused.
    """

    def __init__(self, studies: StudySource, labels: LabelFolder, tasks: Sequence[ReadingTask]) -> None:
        self.studies = studies
        self.labels = labels
        self.notes = Notes()
        self.check = LabelCheck(tasks)
        self._name = studies.name
        self._description = "Chest CT studies and what readers said about them"

    def name(self) -> str:
        """The name of the studies' folder, or what ``set_name`` said since the start."""
        return self._name

    def set_name(self, name: str) -> None:
        """Another name, until the server stops."""
        self._name = name

    def description(self) -> str:
        """A line for people."""
        return self._description

    def set_description(self, description: str) -> None:
        """Another line for people, until the server stops."""
        self._description = description

    def list_images(self) -> list[str]:
        """The ids of all studies.

        Raises:
            ArchiveError: the archive was never reached, so nothing is known.
        """
        return self.studies.ids()

    def opened(
        self, image_id: str, *, cancelled: Callable[[], bool] | None = None
    ) -> AbstractContextManager[OpenedStudy]:
        """The study on this computer, see ``StudySource.opened``."""
        return self.studies.opened(image_id, cancelled=cancelled)

    def get_image(self, image_id: str, params: Any = None) -> Volume:
        """The study's voxels.

        Raises:
            StudyError: there is no such study, or no CT can be read from it.
            ArchiveError: the archive does not hand it out.
        """
        with self.opened(image_id) as study:
            return read_study(study.path, name=image_id)

    def get_image_uri(self, image_id: str) -> NoReturn:
        """Not offered: a study of an archive has a path only while it is open, see ``opened``."""
        raise NotOfferedError("the paths of studies are not told;", "ask for the study itself.")

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of a study without reading it, and what was noted about it.

        Raises:
            StudyNotFoundError, ArchiveError.
        """
        return {**self.notes.of(image_id), **self.studies.facts(image_id)}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Note something about a study until the server stops.

        Raises:
            StudyNotFoundError, ArchiveError.
            TooLargeError: more than is kept of one study.
        """
        self.studies.require(image_id)
        self.notes.add(image_id, info)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        """Not offered: the server chooses the id, see ``Additions``."""
        raise NotOfferedError("a study gets its id from the server;", "PUT /datastore/ adds one.")

    def remove_image(self, image_id: str) -> NoReturn:
        """Not offered."""
        raise NotOfferedError(
            "studies are not removed over HTTP;", "remove it from the server's studies folder."
        )

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Save the label of the contract that is in a file; see ``save``."""
        label = self.check.label(Path(label_filename).read_bytes())
        return id_of_label(self.save(image_id, label, tag=label_tag))

    def save(
        self, image_id: str, label: StudyLabel, *, tag: str = FINAL, if_version: int | None = None
    ) -> SavedLabel:
        """Save a label as a new version; it is on the disk when this returns.

        Args:
            image_id: the study; the label is saved under the id that counts, see ``StudySource.require``.
            label: as ``LabelCheck.label`` gave it.
            tag: always ``final``.
            if_version: save only if this is the newest version, see ``LabelFolder.save``.

        Raises:
            StudyNotFoundError: no such study.
            ArchiveError: whether there is such a study is not known, and the archive cannot be asked.
            LabelConflictError: another version is the newest; the label was set aside.
            BadRequestError: another tag than ``final``.
        """
        check_tag(tag)
        study = self.studies.require(image_id)
        created = label.created or self._created_before(study, label, if_version) or now()
        saved = self.labels.save(study, replace(label, created=created), if_version=if_version)
        if saved.version == 1:
            # Before it is acknowledged: a server may be killed, and another study may come to lie there.
            self.studies.remember(study)
        return saved

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """The id of the study's newest label, under its tag; of several tasks the one saved last."""
        newest = [saved for saved in self.labels.newest() if saved.study == image_id]
        # By the server's clock: ``created`` is what the client said.
        newest.sort(key=lambda saved: (saved.saved, saved.task))
        return {FINAL: id_of_label(newest[-1])} if newest else {}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The id of the study's newest label, or ""."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> dict[str, Any]:
        """The label as the JSON of the contract."""
        return self.saved(label_id, label_tag).label.to_json()

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The label's file: for the server's own use, never for a client."""
        return str(self.saved(label_id, label_tag).path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Study, task, version, who and when."""
        saved = self.saved(label_id, label_tag)
        return {
            "study": saved.study,
            "task": saved.task,
            "version": saved.version,
            "annotator": saved.label.annotator,
            "created": saved.label.created,
        }

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> NoReturn:
        """Not offered: a saved label stays as it is."""
        raise NotOfferedError("a saved label is not changed;", "save a new version of it.")

    def remove_label(self, label_id: str, label_tag: str) -> NoReturn:
        """Not offered: a saved label stays."""
        raise NotOfferedError("a saved label is not removed;", "save a new version of it.")

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The ids of the studies with a label; with ``labels``, of those findings."""
        labelled = self._labelled(labels)
        return [study for study in self.list_images() if study in labelled]

    def get_unlabeled_images(
        self, label_tag: str | None = None, labels: list[str] | None = None
    ) -> list[str]:
        """The ids of the studies without such a label."""
        labelled = self._labelled(labels)
        return [study for study in self.list_images() if study not in labelled]

    def datalist(self) -> list[dict[str, Any]]:
        """The labelled studies with their newest labels, by id: a client gets no path to read."""
        known = set(self.list_images())
        return [
            {"image": saved.study, "label": id_of_label(saved)}
            for saved in self.labels.newest()
            if saved.study in known
        ]

    def get_dataset_archive(self, limit_cases: int | None) -> NoReturn:
        """Not offered: hundreds of CTs in one zip."""
        raise NotOfferedError("there is no archive of all studies;", "copy the server's studies folder.")

    def refresh(self) -> None:
        """Look for new studies now."""
        self.studies.refresh()

    def status(self) -> dict[str, Any]:
        """How many studies there are and how many of them have a label.

        While an archive was never reached it is as if there were none: GET /info/ answers nevertheless.
        """
        try:
            studies = set(self.list_images())
        except ArchiveError as error:
            _logger.warning("no study is known: %s", error)
            studies = set()
        completed = len(studies & self._labelled(None))
        return {"total": len(studies), "completed": completed, "label_tags": {FINAL: completed}}

    def json(self) -> dict[str, Any]:
        """All studies with the ids of their newest labels."""
        found: dict[str, list[str]] = {study: [] for study in self.list_images()}
        for saved in self.labels.newest():
            if saved.study in found:
                found[saved.study].append(id_of_label(saved))
        return {
            "name": self.name(),
            "description": self.description(),
            "objects": {study: {"labels": {FINAL: ids} if ids else {}} for study, ids in found.items()},
        }

    def _labelled(self, findings: list[str] | None) -> set[str]:
        return {
            saved.study
            for saved in self.labels.newest()
            if not findings or set(findings) & set(saved.label.findings)
        }

    def saved(self, label_id: str, tag: str) -> SavedLabel:
        """The version of that id, from what was found on the disk.

        Raises:
            NothingThereError: there is no label of this id.
            BadRequestError: another tag than ``final``.
        """
        check_tag(tag)
        parts = _LABEL_ID.fullmatch(label_id)
        for saved in self.history(parts[1], parts[2]) if parts else ():
            if id_of_label(saved) == label_id:
                return saved
        raise NothingThereError(f"there is no label {label_id[:100]!r};", "/datastore/?output=all lists all.")

    def history(self, image_id: str, task: str) -> tuple[SavedLabel, ...]:
        """All readable versions of a study's label, oldest first; none for what is no id of a study."""
        return self.labels.history(image_id, task) if is_study_id(image_id) else ()

    def _created_before(self, image_id: str, label: StudyLabel, if_version: int | None) -> str:
        """The time that this very label got when it was sent upon this version before; "" if it was not.

        A client that got no answer sends its label again. With another time it would be another label.
        """
        if if_version is None:
            return ""
        before = [each.label for each in self.history(image_id, label.task) if each.version == if_version + 1]
        before += [
            each.label
            for each in self.labels.conflicts(image_id)
            if each.expected_version == if_version and not each.settled
        ]
        return next((each.created for each in before if replace(each, created="") == label), "")


def id_of_label(saved: SavedLabel) -> str:
    """``<study>.<task>.<version>``."""
    return f"{saved.study}.{saved.task}.{saved.version:04d}"


def check_tag(tag: str) -> None:
    """Refuse all tags but ``final``.

    Raises:
        BadRequestError: names the one there is.
    """
    if tag != FINAL:
        raise BadRequestError(f"the tag {tag[:100]!r} is unknown;", f"labels have the tag {FINAL}.")
