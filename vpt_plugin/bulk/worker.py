"""StudyWorker: reads and answers one study after the other with a network that it loads once.

Knows nothing of Ray, which makes one process of each worker. Nothing that is wrong with a study raises here:
it is returned as a ``Refusal``, so that whatever does end a worker is known to be serious. A worker ends
itself where its GPU can compute nothing any more.
"""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import perf_counter

import torch

from vpt_plugin.bulk.rows import AWAY, ENDS_THE_RUN, REFUSED_BY_ITSELF, AnsweredBy, Refusal, StudyAnswer
from vpt_plugin.bulk.source import Opener, Where, place_of
from vpt_plugin.ct.reduced import read_reduced
from vpt_plugin.errors import (
    ArchiveError,
    ConfigurationError,
    IncompleteSeriesError,
    StudyNotFoundError,
    VptError,
    WeightsError,
)
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.conformal import DEFAULT_ERROR_RATE
from vpt_plugin.inference.fitness import REFUSE
from vpt_plugin.labels import now
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.store.archive.failures import LoginRefusedError
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

# Exit status of a worker; the studies in its hands are then tried again, alone.
_DEVICE_LOST = 3


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker is made from; small, because it is sent to each.

    Attributes:
        models_dir: the store of models, under the same path on every computer.
        task: says how a study is read.
        by: the version that answers.
        opener: brings a study onto this computer.
        device, precision, backend, unsuitable, error_rate: as of ``Predictor``.
        threads: of the network on a CPU.
        in_hand: how many studies a worker has at a time; with several, the next is read while the network
            looks at the one before.
    """

    models_dir: Path
    task: ReadingTask
    by: AnsweredBy
    opener: Opener
    device: str
    precision: str
    backend: str = "auto"
    unsuitable: str = REFUSE
    error_rate: float = DEFAULT_ERROR_RATE
    threads: int = 1
    in_hand: int = 1


class StudyWorker:
    """Answers for studies.

    Args:
        settings: of all workers.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        # The device works for one study at a time, while others are read.
        self._turn: AbstractContextManager[object] = Lock() if settings.in_hand > 1 else nullcontext()

    def load(self) -> str:
        """Make the network ready, before the first study; where it runs.

        Raises:
            NotTrainedError, WeightsError: as ``ModelStore.load``.
            ConfigurationError: as ``Predictor``, or the version here is not the one of the driver.
            DeviceMemoryError, ClipShapeError: as ``Predictor``.
        """
        given = self._settings
        torch.set_num_threads(given.threads)
        store = ModelStore(given.models_dir)
        classifier, card = store.load(given.task, given.by.model, given.by.version)
        if card.weights_sha256 != given.by.weights_sha256:
            raise ConfigurationError(
                f"version {card.version} of {card.task}/{card.model} in {store.root} on {platform.node()} "
                "is not the one of the computer that this was started on.",
                "Every computer needs the same folder of models under the same path.",
            )
        self._predictor = Predictor(
            classifier, given.task, card,
            device=given.device, precision=given.precision, backend=given.backend, many_studies=True,
            unsuitable=given.unsuitable, error_rate=given.error_rate, reference=store.reference(card),
        )  # fmt: skip
        if self._predictor.device.type == "cpu":
            keep_freed_memory()
        return f"{platform.node()}, process {os.getpid()}, {self._predictor.device}"

    def answer(self, study: str, where: Where) -> StudyAnswer | Refusal:
        """The answer for a study, or why there is none."""
        try:
            return self._answer(study, where)
        # Among a hundred thousand studies there is one that nobody foresaw; it must not stop the others, and
        # its row says what happened. That memory does not suffice is one of these.
        except Exception as error:
            if not isinstance(error, VptError) and self._device_is_lost():
                os._exit(_DEVICE_LOST)
            return _refusal(study, error)

    def _device_is_lost(self) -> bool:
        """After some errors of CUDA nothing can be computed in this process any more, only in another one."""
        if self._predictor.device.type != "cuda":
            return False
        try:
            torch.cuda.synchronize(self._predictor.device)
        except RuntimeError:
            return True
        return False

    def _answer(self, study: str, where: Where) -> StudyAnswer:
        began = perf_counter()
        with self._settings.opener(study, where) as opened:
            reduced = read_reduced(opened.path, pixels=self._predictor.spec.resize_px, name=study)
        read_seconds = perf_counter() - began
        with self._turn:
            prediction = self._predictor.predict(reduced, read_seconds=read_seconds)
        return StudyAnswer(
            study=study,
            place=place_of(where),
            series_uid=reduced.provenance.series_uid,
            prediction=replace(prediction, warnings=(*prediction.warnings, *opened.notes)),
            device=str(self._predictor.device),
            precision=self._predictor.engine.precision,
            finished=now(),
        )


def _refusal(study: str, error: Exception) -> Refusal:
    message = str(error) if isinstance(error, VptError) else f"{type(error).__name__}: {error}".rstrip(": ")
    return Refusal(study, type(error).__name__, message.removeprefix(f"{study}: "), now(), _kind(error))


def _kind(error: Exception) -> str:
    """Whom an error concerns, as of ``Refusal``."""
    if isinstance(error, (WeightsError, LoginRefusedError)):
        # To ask again with a refused login may lock the account.
        return ENDS_THE_RUN
    if isinstance(error, IncompleteSeriesError):
        return REFUSED_BY_ITSELF
    may_pass = isinstance(error, (ArchiveError, StudyNotFoundError, OSError))
    return AWAY if may_pass or isinstance(error.__cause__, OSError) else REFUSED_BY_ITSELF
