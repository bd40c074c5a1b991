"""WorkerPool: study workers as Ray actors, each with a bounded number of studies in hand.

Each worker reads and answers its studies itself. Slices that one process reads for the network of another
would go through Ray's object store, tens of megabytes a study, and a study that ends its process could not be
told from the one beside it. Several workers to a GPU (``gpus=0.25``) read while others compute.

A worker whose process ended is replaced by a new one; what it had in hand comes back as ``Lost``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vpt_plugin.bulk.rows import Refusal, StudyAnswer
from vpt_plugin.bulk.source import Where
from vpt_plugin.bulk.worker import StudyWorker, WorkerSettings
from vpt_plugin.errors import VptError

# One after the other: then it is due to the computer or the model, not to a study.
_STARTS_THAT_MAY_FAIL = 3
_LONGEST_REASON = 300
# Of a worker that ended, every answer is there or an error.
_SETTLING_SECONDS = 30.0


@dataclass(frozen=True)
class Lost:
    """A study whose worker ended before it answered.

    Attributes:
        study: its id.
        why: how the worker ended, in Ray's words.
    """

    study: str
    why: str


@dataclass(eq=False)
class _Worker:
    """An actor and the studies in its hands, by what Ray calls their answers."""

    actor: Any
    loading: Any
    in_hand: dict[Any, str] = field(default_factory=dict)
    alone: bool = False

    @property
    def ready(self) -> bool:
        return self.loading is None

    @property
    def references(self) -> list[Any]:
        """What is waited for."""
        return list(self.in_hand) if self.ready else [self.loading]


class WorkerPool:
    """Workers on a running Ray; give them back with ``close``.

    Args:
        settings: of all workers.
        workers: how many.
        cpus, gpus: what each needs of its computer.
    """

    def __init__(self, settings: WorkerSettings, workers: int, *, cpus: float, gpus: float) -> None:
        import ray

        # One more waits in the worker's queue, so that it never waits for the driver.
        self._in_hand = settings.in_hand + 1
        self._settings = settings
        self._actor_class = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=settings.in_hand
        )(StudyWorker)
        self._failed_starts = 0
        self._workers = [self._new_worker() for _ in range(workers)]

    @property
    def ready(self) -> int:
        """Workers that have loaded the network."""
        return sum(each.ready for each in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a study is in anybody's hands."""
        return any(each.in_hand for each in self._workers)

    def hand_out(self, study: str, where: Where, *, alone: bool = False) -> bool:
        """Give a study to the worker that has the fewest; whether one had room for it.

        Args:
            study, where: as of ``BulkSource.studies``.
            alone: only to a worker that has none, which gets no other until this one is answered.
        """
        limit = 1 if alone else self._in_hand
        free = [
            each
            for each in self._workers
            if each.ready and len(each.in_hand) < limit and not (each.alone and each.in_hand)
        ]
        if not free:
            return False
        worker = min(free, key=lambda each: len(each.in_hand))
        worker.alone = alone
        worker.in_hand[worker.actor.answer.remote(study, where)] = study
        return True

    def take(self, *, wait_seconds: float) -> list[StudyAnswer | Refusal | Lost]:
        """What came back meanwhile; waits for the first.

        Raises:
            VptError: the network cannot be loaded.
        """
        import ray

        waited_for = {reference: worker for worker in self._workers for reference in worker.references}
        came, _ = ray.wait(list(waited_for), num_returns=1, timeout=wait_seconds)
        if came:
            came, _ = ray.wait(list(waited_for), num_returns=len(waited_for), timeout=0)
        outcomes: list[StudyAnswer | Refusal | Lost] = []
        for reference in came:
            worker = waited_for[reference]
            if worker in self._workers:
                outcomes += self._came(worker, reference)
        return outcomes

    def close(self) -> None:
        """End all workers at once, whatever they have in hand."""
        import ray

        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []

    def _came(self, worker: _Worker, reference: Any) -> Iterator[StudyAnswer | Refusal | Lost]:
        """What came of a study; of all of a worker's studies where it ended; nothing where it is ready."""
        import ray

        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            # A worker returns what is wrong with a study, so this is about all of them.
            if isinstance(error.cause, VptError):
                raise error.cause from error
            raise
        except ray.exceptions.RayError as error:
            yield from self._ended(worker, error)
            return
        if reference == worker.loading:
            worker.loading, self._failed_starts = None, 0
        else:
            del worker.in_hand[reference]
            yield outcome

    def _ended(self, worker: _Worker, error: Exception) -> Iterator[StudyAnswer | Refusal | Lost]:
        """Put another worker in the place of one that ended; what it had answered before still counts."""
        import ray

        ray.kill(worker.actor)
        if worker.loading is not None:
            self._count_failed_start(error)
        self._workers[self._workers.index(worker)] = self._new_worker()
        for reference, study in worker.in_hand.items():
            try:
                yield ray.get(reference, timeout=_SETTLING_SECONDS)
            except ray.exceptions.RayError as why:
                yield Lost(study, _in_short(why))

    def _count_failed_start(self, error: Exception) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _STARTS_THAT_MAY_FAIL:
            raise VptError(
                f"{self._failed_starts} workers in a row ended while they loaded the network; "
                f"the last: {_in_short(error)}",
                "Perhaps memory does not suffice for so many: try fewer with --workers, or a larger --gpus.",
            ) from error

    def _new_worker(self) -> _Worker:
        actor = self._actor_class.remote(self._settings)
        return _Worker(actor, actor.load.remote())


def _in_short(error: Exception) -> str:
    """How a worker ended, of all that Ray says of it."""
    text = " ".join(str(error).split())
    detail = text.partition("Worker exit detail: ")[2] or text
    return detail.partition(" Some common causes")[0][:_LONGEST_REASON]
