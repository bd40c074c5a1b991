"""One training in a process of its own: ``python -m vpt_plugin.training.worker JOB.json``.

How such a process behaves, and how it tells its end, is in ``vpt_plugin.owned_process``. Before that come::

    {"progress": {...}}                             as ``Progress.to_json``

and the result of a training that ended well is ``{"version": 3, "served": true, ...}``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpt_plugin.owned_process import EventLines, Manners, run_and_leave, run_owned
from vpt_plugin.training.job import TrainingJob

if TYPE_CHECKING:
    from vpt_plugin.training.finetune import FinetuneResult
    from vpt_plugin.training.progress import Progress

# Behind everything that answers people; on a GPU the processor only feeds it.
_MANNERS = Manners("the training", "train again", niceness=10)
# Steps of a small network come faster than anybody looks.
_SECONDS_BETWEEN_STEPS = 0.2


def main(arguments: Sequence[str]) -> int:
    """Run the training that the file orders; the exit status."""

    def train(events: EventLines) -> None:
        (path,) = arguments
        tell = Teller(events)
        tell.result(run(TrainingJob.read(Path(path)), tell.progress))

    return run_owned(train, _MANNERS)


def run(job: TrainingJob, progress: Callable[[Progress], None]) -> FinetuneResult:
    """Do the training.

    Raises:
        VptError: what ``finetune`` raises, or the studies cannot be had.
    """
    # Imported here: the job is read, and a wrong one told, before torch is loaded.
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.tasks import get_task, load_task_file
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.finetune import finetune
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source

    task = get_task(job.task, tuple(load_task_file(Path(name)) for name in job.task_files))
    source = open_source(
        job.studies, labels_dir=Path(job.labels_dir) if job.labels_dir else None, archive=job.archive
    )
    return finetune(
        source,
        task,
        get_model(job.model),
        FinetuneConfig.from_dict(job.settings),
        store=ModelStore(Path(job.models_dir) if job.models_dir else None),
        cache=Path(job.cache) if job.cache else None,
        prepared_gb=job.prepared_gb,
        prepared_hu=job.prepared_hu,
        device=job.device,
        progress=progress,
        by=job.by,
    )


class Teller:
    """Tells what happens in a training.

    Args:
        events: takes it.
        clock: seconds that only grow.
    """

    def __init__(self, events: EventLines, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._last: tuple[Any, ...] = ()
        self._told_at = float("-inf")

    def progress(self, now: Progress) -> None:
        """Tell where the training is; steps that come fast are not all told."""
        at = (now.state, now.fold, now.epoch)
        if at == self._last and not now.note and self._clock() - self._told_at < _SECONDS_BETWEEN_STEPS:
            return
        self._last, self._told_at = at, self._clock()
        self._events.write({"progress": now.to_json()})

    def result(self, result: FinetuneResult) -> None:
        """Tell how it ended."""
        comparison = None if result.comparison is None else result.comparison.to_json()
        self._events.write(
            {
                "result": {
                    "version": result.card.version,
                    "served": result.served,
                    "decision": result.decision,
                    "validation_auroc": {
                        name: each.to_json() for name, each in result.card.validation_auroc.items()
                    },
                    "comparison": comparison,
                    "warnings": list(result.warnings),
                    "report": result.report is not None,
                }
            }
        )


if __name__ == "__main__":
    run_and_leave(main, sys.argv[1:])
