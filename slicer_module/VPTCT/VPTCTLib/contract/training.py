"""Trainings: what runs, what waits, and how the last ones ended (``vptct.training/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .comparison import Comparison, read_comparison
from .estimate import Estimate, read_estimate
from .fields import Fields

SCHEMA = "vptct.training/1"
WAITS_OR_RUNS = ("queued", "running")


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        state: ``preparing``, ``searching``, ``training``, ``validating``, ``comparing``, ``publishing`` or
            ``done``; a newer server may know more.
        step, steps: done and in all; studies while preparing, optimizer steps later.
        epoch, epochs: the running one, from 1, and how many at most.
        loss: mean over the running epoch; None before the first step.
        validation_auroc: of the last validation; None before the first, or undefined.
        best_auroc: the best so far.
        seconds_left: at the present speed; None while nobody knows.
        note: what the reader should know, such as a study that was left out; else "".
        fold, folds: the running one, from 1, and how many; 0 where there are none.
    """

    state: str
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None
    validation_auroc: float | None
    best_auroc: float | None
    seconds_left: float | None
    note: str
    fold: int
    folds: int


@dataclass(frozen=True)
class Outcome:
    """What a training that is done came to.

    Attributes:
        version: that it published.
        served: whether that one answers from now on; else it is a candidate.
        decision: the sentence that says why.
        validation_auroc: by finding.
        comparison: with the served version; None where there was none.
        warnings: what to know of the figures.
        report: whether there is a page to look at.
    """

    version: int
    served: bool
    decision: str
    validation_auroc: Mapping[str, Estimate]
    comparison: Comparison | None
    warnings: tuple[str, ...]
    report: bool


@dataclass(frozen=True)
class Failure:
    """Why a training did not come to its end.

    Attributes:
        detail: what happened.
        hint: what to do.
        last_words: the last lines of its process.
    """

    detail: str
    hint: str
    last_words: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        id: its number.
        name: ``<task>_<network>``.
        task, network: the two apart.
        state: ``queued``, ``running``, ``done``, ``failed``, ``stopped`` or ``interrupted``.
        settings: that were asked for.
        by: who ordered it.
        created, started, ended: UTC; None where that is still to come.
        progress: None before it runs.
        notes: what the reader should know.
        outcome: where it is done.
        failure: where it is not, and does not run.
    """

    id: int
    name: str
    task: str
    network: str
    state: str
    settings: Mapping[str, Any]
    by: str
    created: str
    started: str | None
    ended: str | None
    progress: Progress | None
    notes: tuple[str, ...]
    outcome: Outcome | None
    failure: Failure | None

    @property
    def waits_or_runs(self) -> bool:
        """Whether there is still something to watch."""
        return self.state in WAITS_OR_RUNS


@dataclass(frozen=True)
class TrainingState:
    """The trainings of a server.

    Attributes:
        offered: whether this server trains.
        problem: why not; None where it does.
        running: at most one.
        queue: those that wait, in their order.
        last: the last that ended, newest first.
    """

    offered: bool
    problem: str | None
    running: Training | None
    queue: tuple[Training, ...]
    last: tuple[Training, ...]


def read_trainings(data: object) -> TrainingState:
    """The answer of ``GET /train/``, and the same block of ``GET /info/``.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields.of_schema(data, SCHEMA)
    return TrainingState(
        offered=fields.flag("offered"),
        problem=fields.maybe(fields.text, "problem"),
        running=fields.part_or_none("running", _training),
        queue=fields.parts("queue", _training),
        last=fields.parts("last", _training),
    )


def read_training(data: object) -> Training:
    """The answer of ``POST /train/{model}``, ``GET`` and ``DELETE /train/{id}``, which names no schema."""
    return _training(Fields(data, "the training"))


def _training(fields: Fields) -> Training:
    return Training(
        id=fields.whole("id"),
        name=fields.text("name"),
        task=fields.text("task"),
        network=fields.text("network"),
        state=fields.text("state"),
        settings=fields.inner("settings").data,
        by=fields.text("by"),
        created=fields.text("created"),
        started=fields.maybe(fields.text, "started"),
        ended=fields.maybe(fields.text, "ended"),
        progress=fields.part_or_none("progress", _progress),
        notes=fields.texts("notes"),
        outcome=fields.part_or_none("outcome", _outcome),
        failure=fields.part_or_none("error", _failure),
    )


def _progress(fields: Fields) -> Progress:
    return Progress(
        state=fields.text("state"),
        step=fields.whole("step"),
        steps=fields.whole("steps"),
        epoch=fields.whole("epoch"),
        epochs=fields.whole("epochs"),
        loss=fields.maybe(fields.number, "loss"),
        validation_auroc=fields.maybe(fields.number, "validation_auroc"),
        best_auroc=fields.maybe(fields.number, "best_auroc"),
        seconds_left=fields.maybe(fields.number, "seconds_left"),
        note=fields.text("note"),
        fold=fields.whole("fold"),
        folds=fields.whole("folds"),
    )


def _outcome(fields: Fields) -> Outcome:
    return Outcome(
        version=fields.whole("version"),
        served=fields.flag("served"),
        decision=fields.text("decision"),
        validation_auroc=fields.named("validation_auroc", read_estimate),
        comparison=fields.part_or_none("comparison", read_comparison),
        warnings=fields.texts("warnings"),
        report=fields.flag("report"),
    )


def _failure(fields: Fields) -> Failure:
    return Failure(fields.text("detail"), fields.text("hint"), fields.texts("last_words"))
