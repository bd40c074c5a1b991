"""Predictor: a classifier, made ready on one device, that answers for whole studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.intensity import air, centre_crop, window_hu
from vpt_plugin.ct.reduced import ReducedStudy, reduce_volume
from vpt_plugin.ct.suitability import Suitability
from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import ConfigurationError, TooFewSlicesError
from vpt_plugin.inference.batch_size import BatchSize
from vpt_plugin.inference.batches import in_batches, require_numbers
from vpt_plugin.inference.coarse_to_fine import TASK_STRIDE, AnswerClips, EveryClip, choose_look
from vpt_plugin.inference.conformal import DEFAULT_ERROR_RATE, check_error_rate, with_decisions
from vpt_plugin.inference.engines import Engine, make_engine
from vpt_plugin.inference.fitness import (
    REFUSE,
    check_unsuitable,
    fitness_of,
    further_warnings,
    warnings_of,
)
from vpt_plugin.inference.heat import HIRES_CAM, Explainer, HeatMap, Method
from vpt_plugin.inference.prediction import Prediction
from vpt_plugin.inference.said import said_of_findings
from vpt_plugin.inference.typicality import KeptReference, LostReference, check_features
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import memory_needed
from vpt_plugin.tasks import ReadingTask


@dataclass(frozen=True)
class ClipAnswers:
    """What a classifier says of every clip of one study, in their order.

    Attributes:
        probabilities: (clips, findings), calibrated.
        features: float32 (clips, features), the vectors before the head.
    """

    probabilities: NDArray[np.float64]
    features: NDArray[np.float32]


class Predictor:
    """A classifier, made ready on one device, that answers for whole studies.

    The study is resized once; clips are cut from it as they are needed. The answer does not depend on how
    many clips the network sees at once. Several threads may call ``predict``; the caller sees to it that a
    device works for one of them at a time.

    Attributes:
        spec: what is known about the network.
        engine: computes what the network says.

    Args:
        classifier: is left as it is; the engine has a copy of its own.
        task: says how a study is read.
        card: of the classifier; its temperature, thresholds and ranges are used.
        device, precision, backend, cache, many_studies: as in ``make_engine``.
        clips_per_batch: None takes what the device's memory allows (on the CPU one at a time, or
            16 single slices).
        stride: which clips ``predict`` looks at, as of ``choose_look``; ``score`` always takes the task's.
        unsuitable: what ``predict`` does with a study for which an answer would mean nothing: ``refuse`` it,
            or answer and ``warn``.
        reference: what the features of its training studies are like, as ``ModelStore.reference`` has it;
            None where nobody knows, which ``predict`` then says.
        error_rate: at which ``predict`` decides, see ``vpt_plugin.inference.conformal``.

    Raises:
        ConfigurationError: unknown device, precision, backend, stride or ``unsuitable``, no error rate, or a
            classifier of another task.
        ClipShapeError: the network cannot take the task's clips.
        DeviceMemoryError: the network does not fit into the device's memory.
    """

    def __init__(
        self,
        classifier: Classifier,
        task: ReadingTask,
        card: ModelCard,
        *,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        clips_per_batch: int | None = None,
        cache: Path | None = None,
        many_studies: bool = False,
        stride: str = TASK_STRIDE,
        unsuitable: str = REFUSE,
        reference: KeptReference = None,
        error_rate: float = DEFAULT_ERROR_RATE,
    ) -> None:
        if not classifier.findings == task.findings == card.findings:
            raise ConfigurationError(
                f"the model {card.model} answers for {', '.join(card.findings)}, "
                f"the task {task.name} asks for {', '.join(task.findings)}.",
                "Train it for this task, or give the task file it was trained with.",
            )
        if clips_per_batch is not None and clips_per_batch < 1:
            raise ConfigurationError(f"clips_per_batch must be at least 1, not {clips_per_batch}.")
        self._unsuitable = check_unsuitable(unsuitable)
        self._reference = reference
        self._error_rate = check_error_rate(error_rate)
        self.task = task
        self.card = card
        self.spec = classifier.spec
        self._classifier = classifier
        self._explainers: dict[Method, Explainer] = {}
        numbers = classifier.spec.clip_numbers(task.clips)
        self._length, self._stride = numbers.length, numbers.stride
        self.spec.check_clip(self._length, self.spec.crop_px, self.spec.crop_px)
        self._look = choose_look(stride, task, self.spec, card)
        self._clips_per_batch = clips_per_batch
        self.engine: Engine = make_engine(
            classifier, task, card,
            device=device, precision=precision, backend=backend, cache=cache, many_studies=many_studies,
        )  # fmt: skip

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.engine.device

    def warm_up(self) -> None:
        """Do once what is slow the first time only, so that the first study is as fast as the next.

        Raises:
            DeviceMemoryError: not even one clip fits into the device's memory.
        """
        with memory_needed(self.device, "not even one clip fits"):
            self.engine.warm_up()

    def predict(
        self,
        study: Volume | ReducedStudy,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        read_seconds: float = 0.0,
        unsuitable: str | None = None,
    ) -> Prediction:
        """The answer for one study.

        Args:
            study: as ``read_study`` or, of this network's ``resize_px``, as ``read_reduced`` gives it.
            progress: called after every batch with the clips done and the clips in all.
            cancelled: asked before every batch.
            read_seconds: what reading the study took, for the account of seconds.
            unsuitable: for this study, instead of what the predictor was made with.

        Raises:
            ConfigurationError: the study was reduced for networks of another size.
            UnsuitableStudyError: an answer would mean nothing, and such studies are refused.
            TooFewSlicesError: fewer slices than the network needs.
            CancelledError: ``cancelled`` said so.
            WeightsError: the network gave something that is no number.
            DeviceMemoryError: the study or even one clip does not fit into the device's memory.
        """
        began = perf_counter()
        reduced = self._reduced(study)
        suitability = fitness_of(reduced, self.task, self.card, unsuitable=unsuitable or self._unsuitable)
        slices = self._placed(window_hu(reduced.hu, self.task.hu_window))
        prepared = perf_counter()
        said: list[ClipAnswers] = []
        seen = self._look.look(reduced.slices, self._answer_clips(slices, progress, cancelled, said))
        task_clips = isinstance(self._look, EveryClip)
        # Of other clips than the task's, the mean is that of another study.
        features = said[0].features if task_clips else None
        (familiar,), distance = check_features(self._reference, features)
        suitability = suitability.with_checks([familiar], distance)
        lost = [familiar.sentence] if isinstance(self._reference, LostReference) else []
        finished = perf_counter()
        prediction = Prediction(
            card=self.card,
            findings=said_of_findings(reduced, seen, self.task, self.card, length=self._length),
            warnings=self._warnings(reduced, suitability),
            seconds={
                "read": read_seconds,
                "prepare": prepared - began,
                "network": finished - prepared,
                "total": read_seconds + finished - began,
            },
            notes=(*reduced.provenance.notes, *suitability.notes, *filter(None, [self._look.note]), *lost),
            computed={
                "backend": self.engine.name,
                "precision": self.engine.precision,
                "device": str(self.device),
            },
            suitability=suitability,
            task_clips=task_clips,
        )
        return with_decisions(prediction, self._error_rate)

    def explain(
        self,
        volume: Volume,
        *,
        findings: Sequence[str] | None = None,
        method: Method = HIRES_CAM,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[HeatMap, ...]:
        """Where in a study the network sees what it says; see docs/evidence.md.

        It looks at all of the task's clips and computes in float32 by torch, whatever ``predict`` does.
        For it the classifier that the predictor was made from stays in memory.

        Args:
            volume: as ``read_study`` gives it.
            findings: of which; None takes all of the task's.
            method: how maps are made.
            progress, cancelled: as of ``predict``.

        Returns:
            A map per finding, in the order asked for.

        Raises:
            ConfigurationError: no such finding.
            NotExplainableError: where this network looks cannot be computed.
            TooFewSlicesError, CancelledError, WeightsError, DeviceMemoryError: as ``predict``.
        """
        if method not in self._explainers:
            made = Explainer(self._classifier, self.task, self.card, device=self.device, method=method)
            self._explainers = {method: made}
        slices = self._placed(window_hu(self._reduced(volume).hu, self.task.hu_window))
        return self._explainers[method].explain(
            volume, slices, findings, progress=progress, cancelled=cancelled
        )

    def score(
        self, slices: NDArray[np.uint8], *, study: str, cancelled: Callable[[], bool] | None = None
    ) -> ClipAnswers:
        """What the network says of every clip of a prepared study; the same as ``predict`` computes.

        Args:
            slices: (slices, resize_px, resize_px), as ``prepare_slices`` gives them.
            study: its name, for messages.
            cancelled: asked before every batch.

        Raises:
            TooFewSlicesError, CancelledError, WeightsError, DeviceMemoryError: as ``predict``.
        """
        require_slices(study, len(slices), self.task, self.spec)
        starts = clip_starts(len(slices), length=self._length, stride=self._stride)
        return self._clip_answers(self._placed(slices), starts, None, cancelled)

    def _reduced(self, study: Volume | ReducedStudy) -> ReducedStudy:
        """The study in this network's size; refused where a clip cannot honestly be made of it."""
        require_slices(study.study, study.slices, self.task, self.spec)
        if isinstance(study, Volume):
            return reduce_volume(study, pixels=self.spec.resize_px)
        if study.pixels != self.spec.resize_px:
            raise ConfigurationError(
                f"{study.study}: its slices were reduced to {study.pixels} pixels, {self.spec.name} takes "
                f"{self.spec.resize_px}.",
                f"Read it with pixels={self.spec.resize_px}.",
            )
        return study

    def _placed(self, slices: NDArray[np.uint8]) -> torch.Tensor:
        """Prepared slices, cropped and filled up to a clip, on the device."""
        missing = max(0, self._length - len(slices))
        slices = centre_crop(slices, self.spec.crop_px)
        filling = air(self.task.hu_window)
        slices = np.pad(slices, ((0, missing), (0, 0), (0, 0)), constant_values=filling)
        with memory_needed(self.device, "the study does not fit"):
            return torch.from_numpy(slices).to(self.device)

    def _warnings(self, study: ReducedStudy, suitability: Suitability) -> tuple[str, ...]:
        """All that the reader must know, what speaks against the study first."""
        return (*warnings_of(suitability), *further_warnings(study, self.card, clip_slices=self._length))

    def _answer_clips(
        self,
        slices: torch.Tensor,
        progress: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
        said: list[ClipAnswers],
    ) -> AnswerClips:
        """Answers for clips of one study, as often as it is asked; the progress counts all of them.

        All that the network says of them goes into ``said``, too.
        """
        asked = 0

        def tell(before: int, done: int, total: int) -> None:
            if progress is not None:
                progress(before + done, before + total)

        def answer(starts: Sequence[int]) -> NDArray[np.float64]:
            nonlocal asked
            before, asked = asked, asked + len(starts)
            said.append(self._clip_answers(slices, starts, partial(tell, before), cancelled))
            return said[-1].probabilities

        return answer

    def _clip_answers(
        self,
        slices: torch.Tensor,
        starts: Sequence[int],
        progress: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> ClipAnswers:
        batch = BatchSize(self.device, self._clips_per_batch, single_slices=self._length == 1)
        answers = partial(self._batch, slices)
        parts = list(in_batches(batch, starts, answers, progress=progress, cancelled=cancelled))
        return ClipAnswers(
            np.concatenate([each.probabilities for each in parts]),
            np.concatenate([each.features for each in parts]),
        )

    def _batch(self, slices: torch.Tensor, starts: Sequence[int]) -> ClipAnswers:
        """What the network says of some clips."""
        logits, features = self.engine.answer(slices, starts)
        require_numbers(logits, self.card)
        return ClipAnswers(torch.sigmoid(logits / self.card.temperature).numpy(), features.numpy())


def require_slices(study: str, slices: int, task: ReadingTask, spec: ModelSpec) -> None:
    """Refuse a study that a clip cannot honestly be made of.

    Raises:
        TooFewSlicesError: names what the network needs.
    """
    numbers = spec.clip_numbers(task.clips)
    if slices < numbers.min_slices:
        raise TooFewSlicesError(
            study,
            f"it has {slices} slices; {spec.name} sees {numbers.length} at once "
            f"and needs at least {numbers.min_slices}.",
            "Choose a thinner reconstruction, or a model with shorter clips.",
        )
