"""Whether enough studies are labelled for a simulation; known before anything is read or computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vpt_plugin.errors import TrainingError
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.sources import TrainingSource

# One of each state to hold out, and one to choose.
FEWEST_OF_A_STATE = 2


def require_enough(source: TrainingSource, task: ReadingTask) -> None:
    """Refuse a source with too few labels of a state; opens no study.

    Args:
        source: of labelled studies.
        task: that they are labelled for.

    Raises:
        TrainingError: of some finding fewer than two studies are present, or absent; says how many are.
        ArchiveError: the archive, or the folder, cannot be asked.
    """
    labels = [each.label for each in source.studies(task.name)]
    require_each_state(
        task,
        [{name: said.state for name, said in label.findings.items()} for label in labels],
        f"{source.name} has {len(labels)} {'study' if len(labels) == 1 else 'studies'} with a label of "
        f"{task.name}",
    )


def require_each_state(task: ReadingTask, states: Iterable[Mapping[str, str]], there: str) -> None:
    """Refuse studies that cannot be divided into some to hold out and some to choose from.

    Args:
        task: whose findings count.
        states: ``present`` or ``absent`` by finding, of each study; what is not known is missing or else.
        there: what there is, as the beginning of a sentence.

    Raises:
        TrainingError: see ``require_enough``.
    """
    known = list(states)
    counts = {
        finding: [sum(each.get(finding) == state for each in known) for state in ("present", "absent")]
        for finding in task.findings
    }
    if all(min(both) >= FEWEST_OF_A_STATE for both in counts.values()):
        return
    told = "; ".join(f"{finding} {both[0]} present, {both[1]} absent" for finding, both in counts.items())
    raise TrainingError(
        f"{there}: {told}; a simulation needs at least {FEWEST_OF_A_STATE} of each state.",
        "Label more studies first; some dozens of each state make curves that say something.",
    )
