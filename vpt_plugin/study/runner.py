"""run_study: all cells of a plan on Ray, each once, whatever is killed in between.

What is done lies in the study's folder and is never done again; what was interrupted goes on from its last
epoch; what fails stays by itself, and only what needs it is left out. One process at a time runs a study.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vpt_plugin.cluster import OUT_OF_MEMORY_RETRIES, RayPlace
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.labels import now
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Failure
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.phantom_sets import make_phantom_sets
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.runner_amounts import Amounts, amounts_of
from vpt_plugin.study.runner_cell import CellOrder, CellProgress, failure_of, run_order
from vpt_plugin.study.runner_orders import RunOptions, Standing, is_ready, require_startable, waits_for

_LOCK, _WHO, _PLAN = ".study.lock", ".study.json", "plan.json"
_SECONDS_BETWEEN_LOOKS = 0.5
# A worker that was killed is replaced so often.
_RETRIES = OUT_OF_MEMORY_RETRIES


@dataclass(frozen=True)
class StudyProgress:
    """Where a study is.

    Attributes:
        making: the dataset whose phantoms are being made; "" where cells run.
        total: cells; of a set of phantoms, studies.
        done: of them, with those of earlier runs.
        failed: cells that failed or need one that did, with those of earlier runs.
        running: cells that are being trained.
        ended: the cells that ended since the last look, with what went wrong where something did.
    """

    total: int
    done: int
    making: str = ""
    failed: int = 0
    running: tuple[tuple[Cell, CellProgress], ...] = ()
    ended: tuple[tuple[Cell, Failure | None], ...] = ()


@dataclass(frozen=True)
class StudyRun:
    """What a run of a study came to.

    Attributes:
        plan: with its manifests.
        done: cells that are done, with those of earlier runs.
        trained: of them, those that this run did.
        failures: by id, what is not done.
        seconds: that this run took.
    """

    plan: Plan
    done: int
    trained: int
    failures: Mapping[str, Failure]
    seconds: float


def run_study(
    plan: Plan,
    out: Path,
    place: RayPlace,
    options: RunOptions | None = None,
    watch: Callable[[StudyProgress], None] = lambda _: None,
) -> StudyRun:
    """Run the cells of a plan that are not done yet.

    Args:
        plan: of the study; phantoms that it asks for are made.
        out: the study's folder; it is made where it is not there.
        place: an open ``ray_cluster``.
        options: what is run of it, and how; None for all, as the plan says.
        watch: told about twice a second where it is.

    Raises:
        ConfigurationError: another process runs this study, or as of ``require_startable`` and
            ``amounts_of``.
        ManifestError, WeightsError, TrainingError: as of ``require_startable``.
        OSError: the disk is full, the folder is not writable.
    """
    began, options = time.monotonic(), options or RunOptions()
    make_folder(out)
    with _alone(out):
        _require_shared(plan, out, options, place)
        settled = make_phantom_sets(
            plan, out, progress=lambda name, done, total: watch(StudyProgress(total, done, making=name))
        )
        standing = require_startable(settled, out, options)
        amounts = amounts_of(settled, options, place, {cell.network for cell in standing.to_run})
        write_over(out / _PLAN, (json.dumps(settled.to_json(), indent=1) + "\n").encode())
        work = _Work(settled, out, place, options, watch, amounts, standing)
        work.run()
    trained = len(work.done) - len(standing.done)
    return StudyRun(settled, len(work.done), trained, work.failures, time.monotonic() - began)


def _require_shared(plan: Plan, out: Path, options: RunOptions, place: RayPlace) -> None:
    """Every computer of a cluster sees what its cells read and write; phantoms lie in the study's folder."""
    if place.local:
        return
    cache = options.cache_in(out)
    make_folder(cache)
    named = [path for each in plan.all_datasets for path in (each.manifest, each.task_file) if path]
    first = [
        study.path
        for each in plan.all_datasets
        if each.manifest
        for study in Manifest.read(each.manifest).studies[:1]
    ]
    weights = [options.weights_dir] if options.weights_dir and options.weights_dir.exists() else []
    place.require_shared((out, cache), (*named, *first, *weights))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Only one process runs a study; the lock of one that was killed is free."""
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigurationError(
            f"{out}: this study runs already: {_who(out)}.", "Wait until it is done, or stop it first."
        ) from error
    try:
        who = {"process": f"{os.getpid()} on {platform.node()}", "begun": now()}
        write_over(out / _WHO, json.dumps(who).encode(), durable=False)
        yield
    finally:
        (out / _WHO).unlink(missing_ok=True)
        lock.release()


def _who(out: Path) -> str:
    try:
        record = json.loads((out / _WHO).read_text(encoding="utf-8"))
        return f"process {record['process']}, begun {record['begun']}"
    except (OSError, ValueError, KeyError):
        return "another process has just begun it"


def _remote_order(place: RayPlace) -> Any:
    """``run_order`` as Ray runs it.

    A process that has used a GPU keeps memory of it until it ends, which the next cell may need. Ray ends it
    by itself only where the GPU is asked for here already, and each cell asks for its own share later. On a
    CPU nothing is kept, and the next cell is spared the start of a process.
    """
    import ray

    return ray.remote(max_retries=_RETRIES, max_calls=1 if place.gpus else 0)(run_order)


def _lost(cell: Cell, error: Exception) -> Failure:
    """Why Ray has nothing to hand back."""
    from ray import exceptions

    ended = (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError)
    if not isinstance(error, ended):
        cause = error.cause if isinstance(error, exceptions.RayTaskError) else error
        return failure_of(cell, cause)
    return Failure(
        f"{cell.id}: its process ended {_RETRIES + 1} times before it was done: {type(error).__name__}.",
        "Most often the memory does not suffice: run fewer at a time with a larger --cpus, or train "
        "with a smaller batch; then try again with --retry-failed.",
        str(error),
    )


@dataclass
class _Work:
    """The cells of one run; arguments as of ``run_study``."""

    plan: Plan
    out: Path
    place: RayPlace
    options: RunOptions
    watch: Callable[[StudyProgress], None]
    amounts: Mapping[str, Amounts]
    standing: Standing
    done: set[str] = field(init=False)
    failures: dict[str, Failure] = field(init=False)
    # By Ray's reference to what it will say.
    submitted: dict[Any, Cell] = field(default_factory=dict)
    # What Ray runs.
    task: Any = None

    def __post_init__(self) -> None:
        self.done = set(self.standing.done)
        self.failures = dict(self.standing.failed)

    def run(self) -> None:
        """Submit what can be run, wait, and submit what can be run then, until nothing is left."""
        for cell in self.standing.to_run:
            CellFolder.of(self.out, cell.id).forget_failure()
            CellProgress.forget(self.out, cell.id)
        waiting, ended = self._submit(self.standing.to_run)
        self._look(ended)
        while self.submitted:
            found = self._wait()
            if found:
                waiting, more = self._submit(waiting)
                found += more
            self._look(found)

    def _submit(self, waiting: Sequence[Cell]) -> tuple[list[Cell], list[tuple[Cell, Failure | None]]]:
        """Hand out the cells that need nothing any more; those that wait still, and those that never will."""
        still: list[Cell] = []
        ended: list[tuple[Cell, Failure | None]] = []
        for cell in waiting:
            failure = waits_for(cell, self.failures)
            if failure is not None:
                self.failures[cell.id] = failure
                folder = CellFolder.of(self.out, cell.id)
                folder.write_cell(cell)
                folder.write_failure(failure)
                ended.append((cell, failure))
            elif is_ready(cell, self.done, self.failures):
                self.submitted[self._handed_out(cell)] = cell
            else:
                still.append(cell)
        return still, ended

    def _handed_out(self, cell: Cell) -> Any:
        given = self.amounts[cell.network]
        order = CellOrder(
            cell, self.plan, self.out, self.options.cache, self.options.weights_dir,
            threads=max(1, int(given.cpus)), device="auto" if given.gpus else "cpu",
        )  # fmt: skip
        if self.task is None:
            # One function for all: Ray keeps the order of a function's tasks, and of no others.
            self.task = _remote_order(self.place)
        return self.task.options(name=cell.id, num_cpus=given.cpus, num_gpus=given.gpus).remote(order)

    def _wait(self) -> list[tuple[Cell, Failure | None]]:
        """The cells that ended within half a second."""
        import ray

        ready, _ = ray.wait(
            list(self.submitted), num_returns=len(self.submitted), timeout=_SECONDS_BETWEEN_LOOKS
        )
        ended = []
        for each in ready:
            cell = self.submitted.pop(each)
            failure = self._outcome(each, cell)
            CellProgress.forget(self.out, cell.id)
            if failure is None:
                self.done.add(cell.id)
            else:
                self.failures[cell.id] = failure
            ended.append((cell, failure))
        return ended

    def _outcome(self, task: Any, cell: Cell) -> Failure | None:
        import ray

        try:
            found: Failure | None = ray.get(task)
        except ray.exceptions.RayError as error:
            found = _lost(cell, error)
            CellFolder.of(self.out, cell.id).write_failure(found)
        return found

    def _look(self, ended: Sequence[tuple[Cell, Failure | None]]) -> None:
        seen = ((cell, CellProgress.read(self.out, cell.id)) for cell in self.submitted.values())
        running = tuple((cell, progress) for cell, progress in seen if progress is not None)
        total = sum(map(len, (self.standing.done, self.standing.failed, self.standing.to_run)))
        self.watch(
            StudyProgress(
                total, len(self.done), failed=len(self.failures), running=running, ended=tuple(ended)
            )
        )
