"""Everything that was said of one study, as people and programs want to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vpt_plugin.errors import StudyNotFoundError
from vpt_plugin.store.labels import DamagedLabel, LabelFolder, SavedLabel, SetAsideLabel

SCHEMA = "vptct.labels-history/1"


@dataclass(frozen=True)
class StudyHistory:
    """What the folder of labels holds of one study.

    Attributes:
        study: its id.
        versions: by task and version, the oldest first.
        set_aside: labels that were refused in a conflict.
        damaged: files that should be labels and are none.
    """

    study: str
    versions: tuple[SavedLabel, ...]
    set_aside: tuple[SetAsideLabel, ...]
    damaged: tuple[DamagedLabel, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs: ``vptct.labels-history/1``."""
        return {
            "schema": SCHEMA,
            "study": self.study,
            "versions": [
                {
                    "version": saved.version,
                    "saved": saved.saved,
                    "sha256": saved.sha256,
                    "label": saved.label.to_json(),
                }
                for saved in self.versions
            ],
            "set_aside": [
                {
                    "saved": aside.saved,
                    "expected_version": aside.expected_version,
                    "newest_version": aside.newest_version,
                    "settled": aside.settled,
                    "label": aside.label.to_json(),
                }
                for aside in self.set_aside
            ],
            "damaged": [{"path": str(each.path), "problem": each.problem} for each in self.damaged],
        }


def study_history(labels: LabelFolder, study: str, task: str | None = None) -> StudyHistory:
    """What the folder holds of one study, for one task or all.

    Raises:
        StudyNotFoundError: nothing was ever said of a study of this id.
    """
    tasks = labels.tasks(study)
    found = StudyHistory(
        study,
        tuple(saved for name in tasks if task in (None, name) for saved in labels.history(study, name)),
        tuple(aside for aside in labels.conflicts(study) if task in (None, aside.task)),
        tuple(damaged for damaged in labels.damaged(study) if task in (None, damaged.task)),
    )
    if not (found.versions or found.set_aside or found.damaged):
        raise StudyNotFoundError(study[:100], _nothing(task), _way_out(study, tasks, labels))
    return found


def _nothing(task: str | None) -> str:
    return f"it has no {task} label." if task else "it has no label."


def _way_out(study: str, tasks: Sequence[str], labels: LabelFolder) -> str:
    if tasks:
        return f"It is labelled for {', '.join(tasks)}."
    similar = get_close_matches(study, labels.labelled(), n=3)
    return f"Labelled studies with a similar id: {', '.join(similar)}." if similar else ""
