"""Tracking on request: losses and figures of a training in TensorBoard or in MLflow's own database.

Both write files on this computer and nothing else; MLflow's telemetry is turned off. What is written is
numbers, settings and names of folds and findings: no study's name and no picture of a patient.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vpt_plugin.errors import CancelledError, ConfigurationError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.training.progress import Progress

TRACKERS = ("tensorboard", "mlflow")
# Counts fit for learning curves; what a study is counted by while preparing is none of them.
_LEARNING = ("training", "validating")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackingPlaces:
    """Where a training is tracked; None: not there.

    Attributes:
        tensorboard: a folder; every training gets one of its own in it.
        mlflow: a SQLite file, made where it is not there; a task and model are an experiment in it.
    """

    tensorboard: Path | None = None
    mlflow: Path | None = None

    def check(self) -> None:
        """Whether what is asked for is installed; asked before a training starts.

        Raises:
            ConfigurationError: a package is missing; says how to install it.
        """
        for name in TRACKERS:
            if getattr(self, name) is not None and not _installed(name):
                raise ConfigurationError(
                    f"{name} is not installed, so the training cannot be tracked there.",
                    f"Install it with `pip install {name}`, or train without it.",
                )


class Tracker(Protocol):
    """One place where numbers are kept. Any method may raise ``OSError`` where they cannot be."""

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Keep these numbers of an epoch; ``nan`` is kept as such."""

    def close(self, state: str) -> None:
        """The training is ``FINISHED``, ``FAILED`` or, stopped by someone, ``KILLED``."""


class Tracking:
    """Turns progress into learning curves, in every tracker there is.

    A tracker that fails, for example on a full disk, is told and left; the training goes on.

    Args:
        trackers: by name.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)
        self._last: Progress | None = None

    def progress(self, now: Progress) -> None:
        """Take the progress of a training: each epoch's last loss and AUROC are kept."""
        last = self._last
        # The loss of an epoch is a mean over its steps so far: it is whole when the next one begins.
        if last is not None and (now.state not in _LEARNING or _place(now) != _place(last)):
            self._keep(last)
        self._last = now if now.state in _LEARNING else None

    def finished(self, card: ModelCard) -> None:
        """Keep the figures that the training came out with, at its best epoch."""
        values = {}
        for level, findings in card.metrics.items():
            for finding, figures in findings.items():
                for name, estimate in figures.items():
                    values[f"{level}/{finding}/{name}"] = estimate.value
                    values[f"{level}/{finding}/{name}_low"], values[f"{level}/{finding}/{name}_high"] = (
                        estimate.ci95
                    )
        self._each(lambda tracker: tracker.figures(values, int(card.training.get("best_epoch", 0))))

    def close(self, state: str) -> None:
        """End all; see ``Tracker.close``."""
        if self._last is not None:
            self._keep(self._last)
        self._each(lambda tracker: tracker.close(state))

    def _keep(self, last: Progress) -> None:
        fold = f"fold_{last.fold}/" if last.fold else ""
        values = {"loss": last.loss, "validation_auroc": last.validation_auroc}
        given = {f"{fold}{name}": value for name, value in values.items() if value is not None}
        if given:
            self._each(lambda tracker: tracker.figures(given, last.epoch))

    def _each(self, what: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                what(tracker)
            except OSError as error:
                _logger.warning("%s tracks no longer: %s. The training goes on.", name, error)
                del self._trackers[name]


@contextmanager
def tracking(
    places: TrackingPlaces, *, name: str, run: str, settings: Mapping[str, Any]
) -> Iterator[Tracking]:
    """Track one training; one process of several does so.

    Args:
        places: where.
        name: of the task and model: ``nodule_tiny``.
        run: of this training, for example when it began.
        settings: of the training.

    Raises:
        ConfigurationError: a package is missing, or the place cannot be written.
    """
    places.check()
    trackers: dict[str, Tracker] = {}
    if places.tensorboard is not None:
        trackers["tensorboard"] = _opened(
            places.tensorboard, lambda place: _TensorBoard(place, name, run, settings)
        )
    if places.mlflow is not None:
        trackers["mlflow"] = _opened(places.mlflow, lambda place: _MLflow(place, name, run, settings))
    tracked = Tracking(trackers)
    state = "FAILED"
    try:
        yield tracked
        state = "FINISHED"
    except (CancelledError, KeyboardInterrupt):
        state = "KILLED"
        raise
    finally:
        tracked.close(state)


class _TensorBoard:
    """Event files of one training, in a folder of their own."""

    def __init__(self, folder: Path, name: str, run: str, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Colons, as in a time, are no part of a file's name on Windows.
        self._writer = SummaryWriter(str(folder / f"{name}-{run.replace(':', '')}"))
        rows = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")
        self._writer.flush()

    def figures(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, state: str) -> None:
        self._writer.add_text("state", state)
        self._writer.close()


class _MLflow:
    """A run in an SQLite file; the client is used, so that nothing of MLflow's global state changes."""

    def __init__(self, database: Path, name: str, run: str, settings: Mapping[str, Any]) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        with _quietly():
            # MONAI imports MLflow before anybody could say so: with the variable alone, it would be too late.
            os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
            from mlflow.telemetry import set_telemetry_client

            set_telemetry_client()
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(tracking_uri=f"sqlite:///{database.absolute().as_posix()}")
            self._run = self._client.create_run(self._experiment(name, database), run_name=run).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def figures(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        with _quietly():
            self._client.log_batch(
                self._run, metrics=[Metric(name, value, now_ms, step) for name, value in values.items()]
            )

    def close(self, state: str) -> None:
        with _quietly():
            self._client.set_terminated(self._run, state)

    def _experiment(self, name: str, database: Path) -> str:
        """By name; its files, of which there are none, would else be looked for in the working folder."""
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        files = (database.absolute().parent / f"{database.stem}-files").as_uri()
        return str(self._client.create_experiment(name, artifact_location=files))


@contextmanager
def _quietly() -> Iterator[None]:
    """Inside, MLflow keeps its notes on tables to itself, and its errors are ``OSError``."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Of SQLAlchemy, about how MLflow uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except Exception as error:
        # Their classes are not to be had without importing both, which takes seconds.
        if type(error).__module__.split(".")[0] not in ("mlflow", "sqlalchemy", "alembic"):
            raise
        raise OSError(str(error).splitlines()[0]) from error
    finally:
        logger.setLevel(level)


def _opened(place: Path, opener: Callable[[Path], Tracker]) -> Tracker:
    try:
        return opener(place)
    except OSError as error:
        raise ConfigurationError(
            f"nothing can be tracked in {place}: {error}.", "Choose another place, or train without it."
        ) from error


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _place(now: Progress) -> tuple[int, int]:
    return now.fold, now.epoch
