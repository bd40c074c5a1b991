"""Batch inference: one network asked about many studies, one line per study as its answer comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from vpt_plugin.ct.reduced import ReducedStudy, read_reduced
from vpt_plugin.errors import CancelledError
from vpt_plugin.inference import Prediction
from vpt_plugin.inference.conformal import with_decisions
from vpt_plugin.inference.pipeline import Answered, answer_studies

from .answers.desk import Gone
from .answers.key import AnswerKey, content_of
from .datastore import StudyDatastore
from .infer_task import ClassifyTask

_ASK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class _InHand:
    """A study of a batch, when its files were looked at.

    Attributes:
        answer: gives the answer: the one that was kept, or computes it from what was read.
        notes: what came up when the study was fetched.
    """

    answer: Callable[[Gone], Prediction]
    notes: tuple[str, ...]


class Batch:
    """Asks one network about many studies, as a reader would about each.

    While the network looks at one, the next ones are fetched and read. Before each study it waits for its
    turn at the device like everybody else, so that who asks about a single study waits for one of the batch
    and not for all of them. What it computes is kept for those who ask later.

    Args:
        task: which network; its version is settled when the batch begins.
        store: of the studies.
        told: what a client is told of an error; the second text says what was done.
        error_rate: at which it is decided what is unsure.
    """

    def __init__(
        self,
        task: ClassifyTask,
        store: StudyDatastore,
        told: Callable[[Exception, str], dict[str, str]],
        *,
        error_rate: float,
    ) -> None:
        self._task = task
        self._store = store
        self._told = told
        self._error_rate = error_rate
        self._desk = task.workplace.answers
        self._predictor = task.predictor()

    def lines(self, studies: Sequence[str], cancelled: Gone) -> Generator[bytes, None, None]:
        """A line of JSON per study, in their order, and a last one with ``summary``.

        Args:
            studies: their ids.
            cancelled: asked now and then by several threads; ends the batch.

        Raises:
            CancelledError: it was ended.
        """
        began, answered = perf_counter(), 0
        for outcome in answer_studies(studies, self._read, self._answer, cancelled=cancelled):
            if not isinstance(outcome, Answered):
                yield self._error_line(outcome.study, outcome.error)
                continue
            try:
                line = as_line({"image": outcome.study, "result": outcome.answer.to_json()})
            except ValueError as error:
                # A number that is none has no JSON; the other studies are answered all the same.
                yield self._error_line(outcome.study, error)
            else:
                answered += 1
                yield line
        card = self._predictor.card
        yield as_line({
            "summary": {
                "model": self._task.name,
                "version": card.version,
                "studies": len(studies),
                "answered": answered,
                "failed": len(studies) - answered,
                "seconds": perf_counter() - began,
            }
        })  # fmt: skip

    def _error_line(self, study: str, error: Exception) -> bytes:
        return as_line({"image": study, "error": self._told(error, f"{self._task.name} of {study}")})

    def _read(self, study: str, cancelled: Gone) -> _InHand:
        with self._store.opened(study, cancelled=cancelled) as opened:
            key = AnswerKey.of(study, content_of(opened.path, study), self._predictor.card)
            if (kept := self._desk.kept(key)) is not None:
                return _InHand(lambda _: kept, opened.notes)
            began = perf_counter()
            reduced = read_reduced(opened.path, pixels=self._task.spec.resize_px, name=study)
            read_seconds = perf_counter() - began
        compute = partial(self._computed, reduced, read_seconds)
        return _InHand(partial(self._together, key, compute), opened.notes)

    def _answer(self, study: _InHand, cancelled: Gone) -> Prediction:
        began = perf_counter()
        decided = with_decisions(study.answer(cancelled), self._error_rate)
        return decided.for_question(perf_counter() - began, study.notes)

    def _together(self, key: AnswerKey, compute: Callable[[Gone], Prediction], cancelled: Gone) -> Prediction:
        """The answer, computed for all who ask for it at the moment, by whoever came first."""
        question, is_first = self._desk.ask(key)
        if is_first:
            return self._desk.work(question, compute, cancelled)
        while not wait((question.answer,), _ASK_AGAIN_SECONDS).done:
            if cancelled():
                self._desk.leave(question)
                raise CancelledError
        return question.answer.result()

    def _computed(self, reduced: ReducedStudy, read_seconds: float, cancelled: Gone) -> Prediction:
        with self._task.workplace.device.turn(cancelled):
            return self._predictor.predict(reduced, cancelled=cancelled, read_seconds=read_seconds)


def as_line(said: dict[str, Any]) -> bytes:
    """A line of JSON.

    Raises:
        ValueError: there is a NaN or an infinity in it.
    """
    return json.dumps(said, allow_nan=False).encode() + b"\n"


class Pulled:
    """Lines that are made while somebody pulls them, each in whatever thread, and that can be ended.

    Args:
        make: gives the lines; its argument tells whether they are still wanted.
    """

    def __init__(self, make: Callable[[Gone], Generator[bytes, None, None]]) -> None:
        self._ended = threading.Event()
        self._lines = make(self._ended.is_set)
        self._pulling = threading.Lock()

    def next(self) -> bytes | None:
        """The next line; None where there is none any more.

        Raises:
            CancelledError: it was ended.
        """
        with self._pulling:
            return next(self._lines, None)

    def end(self) -> None:
        """Make no more of them; no thread of theirs is left when this returns."""
        self._ended.set()
        with self._pulling:
            self._lines.close()
