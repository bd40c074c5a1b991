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

from vpt_plugin.cluster import RayPlace
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.labels import now
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.phantom_sets import make_phantom_sets
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.ready import require_ready
from vpt_plugin.study.results import CellFolder, Failure
from vpt_plugin.study.runner_cell import CellOrder, CellProgress, run_order
from vpt_plugin.study.runner_orders import Part, standing_of, waits_for
from vpt_plugin.training.readiness import check_room

_LOCK, _WHO, _PLAN = ".study.lock", ".study.json", "plan.json"
_SECONDS_BETWEEN_LOOKS = 0.5
# A worker that was killed, by the system for its memory for example, is replaced so often.
_RETRIES = 3


@dataclass(frozen=True)
class RunOptions:
    """How a study is run.

    Attributes:
        part: of the plan.
        cache: where prepared studies are kept; None takes ``prepared`` in the study's folder.
        weights_dir: where published weights lie; None takes the folder of this computer.
        retry_failed: whether what failed before is tried again.
        cpus: cores of each cell; None takes the plan's.
        gpus: share of a GPU of each cell; None takes the plan's.
    """

    part: Part = field(default_factory=Part)
    cache: Path | None = None
    weights_dir: Path | None = None
    retry_failed: bool = False
    cpus: float | None = None
    gpus: float | None = None


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
        ConfigurationError: another process runs this study, a result in the folder is of something else, or
            as of ``require_ready``.
        ManifestError, WeightsError: as of ``require_ready``.
        TrainingError: there is no room for the prepared studies.
        OSError: the disk is full, the folder is not writable.
    """
    began, options = time.monotonic(), options or RunOptions()
    make_folder(out)
    with _alone(out):
        place.require_shared(out)
        settled = make_phantom_sets(
            plan, out, progress=lambda name, done, total: watch(StudyProgress(total, done, making=name))
        )
        require_ready(settled, WeightsFolder(options.weights_dir))
        check_room(_to_prepare(settled), out, options.cache or out / "prepared")
        cells = options.part.of(settled.cells())
        standing = standing_of(settled, cells, out, retry_failed=options.retry_failed)
        write_over(out / _PLAN, (json.dumps(settled.to_json(), indent=1) + "\n").encode())
        work = _Work(settled, out, place, options, watch, len(cells), set(standing.done), {**standing.failed})
        work.run(list(standing.to_run))
    trained = len(work.done) - len(standing.done)
    return StudyRun(settled, len(work.done), trained, work.failures, time.monotonic() - began)


def _to_prepare(plan: Plan) -> int:
    """Studies that are prepared, each again for every size in pixels."""
    studies = sum(len(Manifest.read(each.manifest_file()).studies) for each in plan.all_datasets)
    return studies * len({plan.spec(network).resize_px for network in plan.networks})


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


@dataclass
class _Work:
    """The cells of one run; arguments as of ``run_study``."""

    plan: Plan
    out: Path
    place: RayPlace
    options: RunOptions
    watch: Callable[[StudyProgress], None]
    total: int
    done: set[str]
    failures: dict[str, Failure]
    # By Ray's reference to what it will say.
    submitted: dict[Any, Cell] = field(default_factory=dict)
    # What Ray runs.
    task: Any = None

    def run(self, waiting: list[Cell]) -> None:
        """Submit what can be run, wait, and submit what can be run then, until nothing is left."""
        for cell in waiting:
            CellFolder.of(self.out, cell.id).forget_failure()
            CellProgress.forget(self.out, cell.id)
        waiting, ended = self._submit(waiting)
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
            elif set(cell.needs) <= self.done:
                self.submitted[self._handed_out(cell)] = cell
            else:
                still.append(cell)
        return still, ended

    def _handed_out(self, cell: Cell) -> Any:
        cpus = min(self.options.cpus or self.plan.cpus_of(cell.network), self.place.cpus_of_one)
        gpus = 0.0
        if self.place.gpus:
            gpus = self.plan.gpus_of(cell.network) if self.options.gpus is None else self.options.gpus
        order = CellOrder(
            cell, self.plan, self.out, self.options.cache, self.options.weights_dir,
            threads=max(1, int(cpus)), device="auto" if gpus else "cpu",
        )  # fmt: skip
        if self.task is None:
            # One function for all: Ray keeps the order of a function's tasks, and of no others.
            self.task = _remote_order(self.place)
        return self.task.options(name=cell.id, num_cpus=cpus, num_gpus=gpus).remote(order)

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
            found = Failure(
                f"{cell.id}: its process ended {_RETRIES + 1} times before it was done: "
                f"{type(error).__name__}.",
                "Most often the memory does not suffice: run fewer at a time with a larger --cpus, or train "
                "with a smaller batch; then try again with --retry-failed.",
                str(error),
            )
            CellFolder.of(self.out, cell.id).write_failure(found)
        return found

    def _look(self, ended: Sequence[tuple[Cell, Failure | None]]) -> None:
        seen = ((cell, CellProgress.read(self.out, cell.id)) for cell in self.submitted.values())
        running = tuple((cell, progress) for cell, progress in seen if progress is not None)
        self.watch(
            StudyProgress(
                self.total, len(self.done), failed=len(self.failures), running=running, ended=tuple(ended)
            )
        )
