"""One scoring in a process of its own: ``python -m vpt_plugin.active.worker JOB.json``.

How such a process behaves, and how it tells its end, is in ``vpt_plugin.owned_process``. Before that come::

    {"progress": {...}}                             as ``ScoringProgress.to_json``

and the result of a scoring that ended well is ``ScoringResult`` as JSON. Its owner may write ``pause`` and
``resume``, a line each, to its standard input: paused it computes and reads nothing, but keeps its memory.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vpt_plugin.active.job import ScoringJob, ScoringProgress, ScoringResult
from vpt_plugin.owned_process import EventLines, Manners, run_and_leave, run_owned

if TYPE_CHECKING:
    from vpt_plugin.active.scorer import Scorer
    from vpt_plugin.active.scoring import Watch

# Behind everything, a training too: it waits for labels, which wait for studies that are scored already.
_MANNERS = Manners("the scoring", "score again", niceness=15)
_SECONDS_BETWEEN_EVENTS = 0.5


class Pause:
    """What the owner says: ``pause`` and ``resume``."""

    def __init__(self) -> None:
        self._paused = threading.Event()

    def heard(self, line: str) -> None:
        """A line of the owner."""
        if line == "pause":
            self._paused.set()
        elif line == "resume":
            self._paused.clear()

    def __call__(self) -> bool:
        """Whether to wait."""
        return self._paused.is_set()


class Teller:
    """Tells how far a scoring is; studies that come fast are not all told.

    Args:
        events: takes it.
        clock: seconds that only grow.
    """

    def __init__(self, events: EventLines, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._clock = clock
        self._last = ""
        self._told_at = float("-inf")

    def progress(self, now: ScoringProgress) -> None:
        """Tell where the scoring is."""
        soon = self._clock() - self._told_at < _SECONDS_BETWEEN_EVENTS
        if soon and now.state == self._last and not now.note:
            return
        self._last, self._told_at = now.state, self._clock()
        self._events.write({"progress": now.to_json()})


def main(arguments: Sequence[str]) -> int:
    """Do the scoring that the file orders; the exit status."""
    pause = Pause()

    def score(events: EventLines) -> None:
        (path,) = arguments
        # Imported here: what is wrong with the job is told before torch is loaded.
        job = ScoringJob.read(Path(path))
        from vpt_plugin.active.scoring import Watch

        result = run(job, Watch(progress=Teller(events).progress, paused=pause))
        events.write({"result": asdict(result)})

    return run_owned(score, _MANNERS, heard=pause.heard)


def run(job: ScoringJob, watch: Watch) -> ScoringResult:
    """Do the scoring.

    Raises:
        VptError: what ``score_pool`` raises; or the version, or the studies, cannot be had.
    """
    from vpt_plugin.active.cold_start import cold_start_scorer
    from vpt_plugin.active.pool_reader import PoolReader
    from vpt_plugin.active.score_folders import (
        name_scores,
        scores_root,
        sweep_forgotten,
        sweep_scores,
    )
    from vpt_plugin.active.scorer import scorer_of_version
    from vpt_plugin.active.scores import ScoreFolder
    from vpt_plugin.active.scoring import score_pool
    from vpt_plugin.models.device import choose_device, heed_cpu_quota, keep_freed_memory
    from vpt_plugin.models.weights import vptct_home
    from vpt_plugin.tasks import get_task, load_task_file
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.site import open_site

    watch.progress(ScoringProgress("loading"))
    task = get_task(job.task, tuple(load_task_file(Path(name)) for name in job.task_files))
    site = open_site(
        job.studies,
        labels_dir=Path(job.labels_dir) if job.labels_dir else None,
        archive=job.archive,
        in_passing=True,
    )
    if choose_device(job.device).type == "cpu":
        keep_freed_memory()
        heed_cpu_quota()
    store = ModelStore(Path(job.models_dir) if job.models_dir else None)
    scorer: Scorer
    if job.version:
        scorer = scorer_of_version(
            store, task, job.model, job.version,
            device=job.device, backend=job.backend, precision=job.precision,
        )  # fmt: skip
    else:
        scorer = cold_start_scorer(
            task, job.model, device=job.device, backend=job.backend, precision=job.precision
        )
    root = scores_root(store.root, site.studies)
    name_scores(root, site.studies)
    result = score_pool(
        PoolReader(
            site.studies,
            task.hu_window,
            pixels=scorer.pixels,
            prepared=Path(job.cache) if job.cache else vptct_home() / "prepared",
        ),
        scorer,
        ScoreFolder(root, scorer.by),
        labelled=frozenset(each.study for each in site.labels.newest() if each.task == task.name),
        limit=job.studies_at_most,
        compare_seconds=job.compare_seconds,
        watch=watch,
    )
    sweep_scores(root, store.versions, store.current_version)
    sweep_forgotten(root)
    return result


if __name__ == "__main__":
    run_and_leave(main, sys.argv[1:])
