"""Readings: who read what on their own. The first label of each reader, whatever counts in the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vpt_plugin.labels import StudyLabel
from vpt_plugin.store.label_versions import SavedLabel
from vpt_plugin.store.labels import LabelFolder


@dataclass(frozen=True)
class Reading:
    """What one reader first said of a study.

    A later label of the same reader may have been made in the knowledge of another's, so it is none.

    Attributes:
        study: its id.
        task: that was read for.
        annotator: who; never "".
        label: what they said.
        version: of the label, which counts the labels of all readers of the study and task from 1.
        created: ``2026-11-20T20:31:05Z``: when the reader's computer said so, else when the file was written.
    """

    study: str
    task: str
    annotator: str
    label: StudyLabel
    version: int
    created: str


def readings(labels: LabelFolder, task: str) -> list[Reading]:
    """All readings for a task, by study, the earliest first.

    Labels without an annotator are left out: nobody knows whether two of them are of one reader.
    """
    return [reading for versions in labels.histories(task) for reading in _first_of_each(versions)]


def double_read(labels: LabelFolder, task: str) -> Mapping[str, tuple[Reading, ...]]:
    """The readings of every study that two or more readers read for a task, by study, the earliest first."""
    found: dict[str, list[Reading]] = {}
    for reading in readings(labels, task):
        found.setdefault(reading.study, []).append(reading)
    return {study: tuple(each) for study, each in found.items() if len(each) > 1}


def _first_of_each(versions: Iterable[SavedLabel]) -> list[Reading]:
    """The first version of each annotator."""
    found: dict[str, Reading] = {}
    for saved in versions:
        label = saved.label
        if label.annotator and label.annotator not in found:
            created = label.created or saved.saved
            found[label.annotator] = Reading(
                saved.study, saved.task, label.annotator, label, saved.version, created
            )
    return list(found.values())
