"""``vpt tasks``: what can be looked for."""

from __future__ import annotations

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.options import TaskFileOption
from vpt_plugin.tasks import TASKS, ClipRule, ReadingTask, load_task_file


def tasks(task_file: TaskFileOption = None) -> None:
    """List what can be looked for.

    \b
    Examples:
      vpt tasks
      vpt tasks --task-file effusion.yaml     check a task file
    """
    own = [] if task_file is None else [load_task_file(task_file)]
    rows = [
        (
            task.name,
            task.title,
            ", ".join(task.findings),
            f"{task.hu_window.low:g} to {task.hu_window.high:g}",
            f"{task.offset:g}",
            _clips_in_words(task.clips),
            task.aggregation,
        )
        for task in _with_own(own)
    ]
    print_table(("task", "title", "findings", "HU window", "offset", "clips", "study probability"), rows)


def _with_own(own: list[ReadingTask]) -> list[ReadingTask]:
    return list({task.name: task for task in (*TASKS.values(), *own)}.values())


def _clips_in_words(rule: ClipRule) -> str:
    length = f"{rule.length_slices} slices" if rule.length_slices else "as long as the network's"
    stride = f"{rule.stride_slices} slices" if rule.stride_slices else "3/4 of the length"
    return f"{length}; stride {stride}; positive from {rule.min_positive_slices} slices on"
