"""classify_all: every study of a source answered once; what was stopped or killed goes on from there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from vpt_plugin import __version__
from vpt_plugin.bulk.away import AwayStudies
from vpt_plugin.bulk.job import BulkJob, BulkProgress, BulkResult
from vpt_plugin.bulk.pool import Lost, WorkerPool
from vpt_plugin.bulk.record import BulkFolder, BulkRecord
from vpt_plugin.bulk.rows import AWAY, ENDS_THE_RUN, AnsweredBy, Refusal, StudyAnswer
from vpt_plugin.bulk.source import BulkSource, open_bulk_source, place_of
from vpt_plugin.bulk.worker import WorkerSettings
from vpt_plugin.cluster import RayPlace
from vpt_plugin.errors import ConfigurationError, VptError
from vpt_plugin.inference.conformal import check_error_rate
from vpt_plugin.inference.engines import check_backend
from vpt_plugin.inference.fitness import check_unsuitable
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.training.model_store import ModelStore

_LOOK_SECONDS = 0.5
_WORKER_DIED = "WorkerDiedError"
Watch = Callable[[BulkProgress], None]


def classify_all(
    job: BulkJob, cluster: AbstractContextManager[RayPlace], watch: Watch = lambda now: None
) -> BulkResult:
    """Answer for all studies of a source that have no answer yet, and merge all answers into one file.

    Args:
        job: what is asked for.
        cluster: of Ray; it is started once it is clear that there is something to do.
        watch: told after every look at the workers.

    Raises:
        ConfigurationError: the source, the model, the device, the backend, the way with unsuitable studies,
            the error rate or the output folder cannot be used like this, an answered study now lies
            elsewhere, or Ray cannot be started.
        NotTrainedError, WeightsError: as ``ModelStore.load``.
        ArchiveUnreachableError: the archive, or the share, is away; what is answered is kept.
        VptError: workers cannot be started, or a part is damaged.
        OSError: the disk is full or the output folder has gone; what was written before is kept.
        KeyboardInterrupt: what is answered is written first.
    """
    check_unsuitable(job.unsuitable)
    check_error_rate(job.error_rate)
    folder = BulkFolder(job.out)
    card = _card(job, folder)
    job = replace(job, backend=check_backend(job.backend))
    source = open_bulk_source(job.source)
    with folder.writing(BulkRecord.of(source.origin, job, card)):
        return _Run(job, cluster, folder, source, card, watch).go()


def _card(job: BulkJob, folder: BulkFolder) -> ModelCard:
    """The card of the version that answers: the one asked for, that of the folder, or the served one."""
    version, before = job.version, folder.record()
    if version is None and before is not None and (before.task, before.model) == (job.task.name, job.model):
        version = before.version
    return ModelStore(job.models_dir).card(job.task.name, job.model, version)


class _Run:
    """One run of ``classify_all``."""

    def __init__(
        self,
        job: BulkJob,
        cluster: AbstractContextManager[RayPlace],
        folder: BulkFolder,
        source: BulkSource,
        card: ModelCard,
        watch: Watch,
    ) -> None:
        self._job = job
        self._cluster = cluster
        self._folder = folder
        self._source = source
        self._by = AnsweredBy(card.task, card.model, card.version, card.weights_sha256, __version__)
        self._watch = watch
        self._answers: list[StudyAnswer] = []
        self._refusals: list[Refusal] = []
        self._away = AwayStudies(())
        self._losses = folder.losses
        # Studies that were in the hands of a worker that ended, to be tried alone.
        self._suspects: deque[str] = deque()
        self._began_at = self._written_at = time.monotonic()
        self._ready_at: float | None = None
        self._progress = BulkProgress(0, 0)

    def go(self) -> BulkResult:
        settled = self._folder.parts.settled()
        self._require_same_places(settled.answered)
        kept = settled.answered if self._job.retry_refused else {*settled.answered, *settled.refused}
        todo = [study for study in self._source.studies if study not in kept]
        total = len(self._source.studies)
        self._progress = BulkProgress(total, total - len(todo))
        answered_before = [study for study in self._source.studies if study in settled.answered]
        self._away = AwayStudies(answered_before or list(self._source.studies))
        self._losses.read()
        for study in filter(self._losses.of, todo):
            self._suspect(study, "the whole command ended, too.")
        if todo:
            with self._cluster as place:
                self._progress = replace(self._progress, place=place.in_words())
                unsuspected = (study for study in todo if not self._losses.of(study))
                self._work(unsuspected, self._new_pool(place, len(todo)))
        refused = self._folder.parts.merge(self._job.out, as_csv=self._job.as_csv)
        answered = len(self._folder.parts.settled().answered)
        starting = (self._ready_at or self._began_at) - self._began_at
        return BulkResult(self._progress, starting, answered, dict(refused))

    def _require_same_places(self, answered: Mapping[str, str]) -> None:
        for study, where in self._source.studies.items():
            before, place = answered.get(study), place_of(where)
            if before is not None and before != place:
                raise ConfigurationError(
                    f"{self._source.origin}: {study} is at {place}, but its answer in {self._job.out} is of "
                    f"{before}.",
                    "Give it another name in the column study, or choose another folder with --out.",
                )

    def _work(self, todo: Iterator[str], pool: WorkerPool) -> None:
        try:
            following = next(todo, None)
            while following is not None or self._suspects or pool.busy or self._away.any_held:
                self._hand_out_suspects(pool)
                self._ask_a_witness(pool, at_the_end=not (following or self._suspects or pool.busy))
                while following is not None and self._others_may_go and self._hand_out(pool, following):
                    following = next(todo, None)
                for outcome in pool.take(wait_seconds=_LOOK_SECONDS):
                    self._take(outcome)
                self._keep(at_least=self._job.studies_of_a_part, after_seconds=self._job.seconds_of_a_part)
                self._tell(pool.ready)
        finally:
            try:
                pool.close()
            finally:
                self._keep()
                self._losses.end()

    def _new_pool(self, place: RayPlace, studies: int) -> WorkerPool:
        job = self._job
        gpus = gpu_share(job, place)
        fit = int(min(place.gpus / gpus, place.cpus) if gpus else place.cpus)
        settings = WorkerSettings(
            models_dir=ModelStore(job.models_dir).root.absolute(),
            task=job.task,
            by=self._by,
            opener=self._source.opener,
            device=("cuda" if gpus else "cpu") if job.device == "auto" else job.device,
            precision=job.precision,
            backend=job.backend,
            unsuitable=job.unsuitable,
            error_rate=job.error_rate,
            # A GPU waits for what is read; on a CPU reading and the network want the same core.
            in_hand=2 if gpus else 1,
        )
        return WorkerPool(settings, min(job.workers or max(fit, 1), studies), cpus=1, gpus=gpus)

    def _hand_out(self, pool: WorkerPool, study: str, *, alone: bool = False) -> bool:
        return pool.hand_out(study, self._source.studies[study], alone=alone)

    @property
    def _others_may_go(self) -> bool:
        """They wait until a worker is free for a suspect, or a witness has spoken; both are soon over."""
        return not self._suspects and self._away.asked is None

    def _hand_out_suspects(self, pool: WorkerPool) -> None:
        while self._suspects and self._hand_out(pool, self._suspects[0], alone=True):
            self._losses.try_alone(self._suspects.popleft())

    def _ask_a_witness(self, pool: WorkerPool, *, at_the_end: bool) -> None:
        witness = self._away.next_witness(at_the_end=at_the_end)
        if witness is not None and self._hand_out(pool, witness):
            self._away.ask(witness)

    def _take(self, outcome: StudyAnswer | Refusal | Lost) -> None:
        if isinstance(outcome, Refusal) and outcome.kind == ENDS_THE_RUN:
            raise VptError(
                f"{outcome.study}: {outcome.message}",
                "What is answered is kept; the same command goes on.",
            )
        if outcome.study == self._away.asked:
            for gone in self._away.hear(outcome):
                self._refuse(gone)
        elif isinstance(outcome, Lost):
            self._losses.add(outcome.study)
            self._suspect(outcome.study, outcome.why)
        elif isinstance(outcome, StudyAnswer):
            self._away.had(outcome.study)
            self._answers.append(outcome)
            self._progress = replace(self._progress, answered=self._progress.answered + 1)
        elif outcome.kind == AWAY:
            self._away.hold(outcome)
        else:
            self._away.had(outcome.study)
            self._refuse(outcome)

    def _suspect(self, study: str, why: str) -> None:
        """Try a study alone, or refuse it where that was done often enough."""
        times = self._losses.of(study)
        if times < self._job.lives:
            self._suspects.append(study)
            return
        message = (
            f"the process that read it ended {times} times: memory does not suffice, a library crashes, or "
            f"the GPU fails. The last time: {why}"
        )
        self._refuse(Refusal(study, _WORKER_DIED, message, now()))

    def _refuse(self, refusal: Refusal) -> None:
        self._refusals.append(refusal)
        self._progress = replace(self._progress, refused=self._progress.refused + 1)

    def _keep(self, *, at_least: int = 1, after_seconds: float = 0.0) -> None:
        """Write down what came, where it is so much or so old."""
        number = len(self._answers) + len(self._refusals)
        age_seconds = time.monotonic() - self._written_at
        if number == 0 or (number < at_least and age_seconds < after_seconds):
            return
        # Empty first: Ctrl+C may come when they are on the disk already, and no study may stand there twice.
        answers, self._answers = self._answers, []
        refusals, self._refusals = self._refusals, []
        self._folder.parts.add(answers, refusals, self._by)
        self._losses.forget([*(each.study for each in answers), *(each.study for each in refusals)])
        self._written_at = time.monotonic()

    def _tell(self, ready: int) -> None:
        if self._ready_at is None and ready:
            self._ready_at = time.monotonic()
        seconds = time.monotonic() - self._ready_at if self._ready_at is not None else 0.0
        self._progress = replace(self._progress, workers=ready, seconds=seconds)
        self._watch(self._progress)


def gpu_share(job: BulkJob, place: RayPlace) -> float:
    """What each worker has of a GPU; 0 for none.

    Args:
        job: names the device, and perhaps the share.
        place: what there is to share out.

    Raises:
        ConfigurationError: a GPU was asked for, and there is none, or one by its number.
    """
    if job.device.startswith("cuda:"):
        raise ConfigurationError(
            f"--device {job.device}: Ray gives each worker a GPU of its own, which is its only one;",
            "use --device cuda, and CUDA_VISIBLE_DEVICES to leave GPUs out.",
        )
    wanted = job.gpus
    if wanted is None:
        wanted = 0.0 if job.device in ("cpu", "mps") or not place.gpus else 1.0
    if wanted > place.gpus or (job.device == "cuda" and not wanted):
        raise ConfigurationError(
            f"each worker is to have {wanted or 1:g} of a GPU, and Ray has {place.gpus:g} to share out: "
            f"{place.in_words()}.",
            "Leave --gpus and --device out to take what there is.",
        )
    return wanted
