"""MONAI Label's datastore over a folder of studies and a folder of labels.

Ids are looked up in what the scan found and never joined to a path. Studies and labels are not removed or
changed from afar; a label that is wrong is followed by a better one.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import LabelError, StudyNotFoundError
from vpt_plugin.labels import StudyLabel, now
from vpt_plugin.store.labels import LabelFolder, SavedLabel
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import ReadingTask

from .errors import BadRequestError, NotOfferedError

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

    def __init__(self, studies: StudyFolder, labels: LabelFolder, tasks: Sequence[ReadingTask]) -> None:
        self.studies = studies
        self.labels = labels
        self._tasks = {task.name: task for task in tasks}
        self._name = studies.root.name
        self._description = "Chest CT studies and what readers said about them"
        # Who was offered which study: worth nothing after a restart, so it is not written down.
        self._notes: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

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
        """The ids of all studies."""
        return self.studies.ids()

    def get_image(self, image_id: str, params: Any = None) -> Volume:
        """The study's voxels.

        Raises:
            StudyError: there is no such study, or no CT can be read from it.
        """
        return read_study(self.studies.path(image_id), name=image_id)

    def get_image_uri(self, image_id: str) -> str:
        """The study's path: for the server's own use, never for a client.

        Raises:
            StudyNotFoundError.
        """
        return str(self.studies.path(image_id))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """The file's name, and what ``update_image_info`` noted.

        Raises:
            StudyNotFoundError.
        """
        path = self.studies.path(image_id)
        with self._lock:
            return {"name": path.name, **self._notes.get(image_id, {})}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Note something about a study until the server stops.

        Raises:
            StudyNotFoundError.
        """
        self.studies.path(image_id)
        with self._lock:
            self._notes.setdefault(image_id, {}).update(info)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        """Not offered: what is copied into the folder is found by itself."""
        raise NotOfferedError(
            "studies are not added over HTTP;", "copy the study into the server's studies folder."
        )

    def remove_image(self, image_id: str) -> NoReturn:
        """Not offered."""
        raise NotOfferedError(
            "studies are not removed over HTTP;", "remove it from the server's studies folder."
        )

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Save the label of the contract that is in a file; see ``save``."""
        return self.save(image_id, Path(label_filename).read_bytes(), label_tag)

    def save(self, image_id: str, contract: bytes, tag: str = FINAL) -> str:
        """Save a label as a new version; it is on the disk when this returns.

        Args:
            contract: JSON of ``vptct.label/1``.

        Returns:
            The label's id.

        Raises:
            StudyNotFoundError: no such study.
            LabelError: the label does not follow the contract, or is not of a task and finding served here.
            BadRequestError: another tag than ``final``.
        """
        _check_tag(tag)
        self.studies.path(image_id)
        label = StudyLabel.from_json(contract)
        self._check_served(label)
        _check_text(label)
        return _id_of(self.labels.save(image_id, replace(label, created=label.created or now())))

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """The id of the study's newest label, under its tag; of several tasks the one saved last."""
        newest = [saved for saved in self.labels.newest() if saved.study == image_id]
        # By the server's clock: ``created`` is what the client said.
        newest.sort(key=lambda saved: (saved.path.stat().st_mtime_ns, saved.task))
        return {FINAL: _id_of(newest[-1])} if newest else {}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The id of the study's newest label, or ""."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> dict[str, Any]:
        """The label as the JSON of the contract."""
        return self._saved(label_id, label_tag).label.to_json()

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The label's file: for the server's own use, never for a client."""
        return str(self._saved(label_id, label_tag).path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Study, task, version, who and when."""
        saved = self._saved(label_id, label_tag)
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
            {"image": saved.study, "label": _id_of(saved)}
            for saved in self.labels.newest()
            if saved.study in known
        ]

    def get_dataset_archive(self, limit_cases: int | None) -> NoReturn:
        """Not offered: hundreds of CTs in one zip."""
        raise NotOfferedError("there is no archive of all studies;", "copy the server's studies folder.")

    def refresh(self) -> None:
        """Look for new studies now."""
        self.studies.scan(now=True)

    def status(self) -> dict[str, Any]:
        """How many studies there are and how many of them have a label."""
        completed = len(self.get_labeled_images())
        return {"total": len(self.list_images()), "completed": completed, "label_tags": {FINAL: completed}}

    def json(self) -> dict[str, Any]:
        """All studies with the ids of their newest labels."""
        found: dict[str, list[str]] = {study: [] for study in self.list_images()}
        for saved in self.labels.newest():
            if saved.study in found:
                found[saved.study].append(_id_of(saved))
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

    def _saved(self, label_id: str, tag: str) -> SavedLabel:
        """The version of that id, from what was found on the disk."""
        _check_tag(tag)
        parts = _LABEL_ID.fullmatch(label_id)
        for saved in self.labels.history(parts[1], parts[2]) if parts else ():
            if _id_of(saved) == label_id:
                return saved
        raise StudyNotFoundError(repr(label_id[:100]), "there is no label of this id.")

    def _check_served(self, label: StudyLabel) -> None:
        task = self._tasks.get(label.task)
        if task is None:
            raise LabelError(
                f"task {label.task[:100]!r} is not served here;", f"choose from {', '.join(self._tasks)}."
            )
        if unknown := sorted(set(label.findings) - set(task.findings)):
            raise LabelError(
                f"finding {unknown[0][:100]!r} is not of the task {task.name};",
                f"choose from {', '.join(task.findings)}.",
            )


def _label_id(study: str, task: str, version: int) -> str:
    return f"{study}.{task}.{version:04d}"


def _id_of(saved: SavedLabel) -> str:
    return _label_id(saved.study, saved.task, saved.version)


def _check_text(label: StudyLabel) -> None:
    """JSON can name half a character, and no answer that is to show the label could be encoded."""
    try:
        json.dumps(label.to_json(), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise LabelError("a text of the label holds half a character (a lone surrogate).") from error


def _check_tag(tag: str) -> None:
    if tag != FINAL:
        raise BadRequestError(f"the tag {tag[:100]!r} is unknown;", f"labels have the tag {FINAL}.")
