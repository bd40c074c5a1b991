"""LabelCheck: which labels this server takes, beside the label contract that holds everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from vpt_plugin.errors import LabelError, UnknownTaskError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.tasks import ReadingTask

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROLS_IN_TEXT = re.compile(r"(?![\t\n\r])[\x00-\x1f\x7f-\x9f]")  # a text may have several lines


class LabelCheck:
    """Lets labels through that are of a task served here and can be shown to everybody.

    Args:
        tasks: what is served.
    """

    def __init__(self, tasks: Sequence[ReadingTask]) -> None:
        self._tasks = {task.name: task for task in tasks}

    def label(self, contract: bytes) -> StudyLabel:
        """The label that is in the JSON of ``vptct.label/1``.

        Raises:
            LabelError: it does not follow the contract, or is not of a task and finding served here.
        """
        label = StudyLabel.from_json(contract)
        self._check_served(label)
        _check_text(label)
        return label

    def task(self, name: str) -> None:
        """Refuse a task that is not served here.

        Raises:
            UnknownTaskError: names those that are.
        """
        if name not in self._tasks:
            raise UnknownTaskError(name[:100], list(self._tasks))

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


def _check_text(label: StudyLabel) -> None:
    """Refuse what could not be shown.

    JSON can name half a character, which no answer could be encoded with, and controls, which would be obeyed
    by the terminal of whoever looks at labels there.
    """
    for field, controls in (
        ("annotator", _CONTROLS),
        ("comment", _CONTROLS_IN_TEXT),
        ("series_uid", _CONTROLS),
    ):
        if found := controls.search(getattr(label, field)):
            raise LabelError(f"{field} holds the control character {found[0]!a};", "leave it out.")
    try:
        json.dumps(label.to_json(), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise LabelError("a text of the label holds half a character (a lone surrogate).") from error
