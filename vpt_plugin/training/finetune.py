"""finetune: from labelled studies to a published classifier with its card, served only where it is better."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vpt_plugin import __version__
from vpt_plugin.ct.intensity import air
from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import ClipShapeError
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import choose_device, choose_dtype, keep_freed_memory
from vpt_plugin.models.weights import WeightsFolder, vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.comparison import Comparison
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.loop import Observer, Placement
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import HeldOut, Outcome, measure
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.report import ReportFacts, write_report
from vpt_plugin.training.report.writing import REPORT
from vpt_plugin.training.reporting import learning_curves, report_studies
from vpt_plugin.training.rounds import RoundResult, Rounds
from vpt_plugin.training.selection import TrainingData, select_studies
from vpt_plugin.training.tracking import Tracking, TrackingPlaces
from vpt_plugin.training.tracking import tracking as track
from vpt_plugin.training.validation_record import record_of
from vpt_plugin.training.verdict import Judge, Verdict


@dataclass(frozen=True)
class FinetuneResult:
    """What a finetuning came to.

    Attributes:
        card: of the published version.
        served: whether it is what is served now; else it is a candidate.
        decision: what is served and why, in a sentence or two, for whoever waits.
        comparison: with the version that was served before; None where there was none, or none was possible.
        warnings: what to know before relying on it; sentences, the gravest first.
        report: the HTML report beside the version; None where none was asked for.
    """

    card: ModelCard
    served: bool
    decision: str
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    report: Path | None = None


def finetune(
    source: Manifest,
    task: ReadingTask,
    spec: ModelSpec,
    config: FinetuneConfig,
    *,
    store: ModelStore,
    weights: WeightsFolder | None = None,
    cache: Path | None = None,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    tracking: TrackingPlaces | None = None,
    report: bool = True,
    by: str = "",
) -> FinetuneResult:
    """Train a classifier, validate it on studies it never saw, publish it, and serve it if it is better.

    Same studies, labels, configuration and kind of device: same result. The generators of torch and NumPy are
    left as they were.

    Args:
        source: studies, labels and sides; test studies are not touched.
        task: says how a study is read.
        spec: the network.
        config: of the training.
        store: where the classifier is published, and where the served one lies that it is compared with.
        weights: where pretrained weights lie; None takes the folder of this computer.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        device: as in ``choose_device``.
        progress: told of every study prepared, every step and every validation.
        cancelled: asked as often; nothing is published when it says so.
        tracking: where the training is tracked besides; None for nowhere.
        report: whether figures and the HTML report are written beside the version.
        by: who ordered it, for the record of what is served.

    Raises:
        TrainingError: too few studies of a state, or a loss that is no number.
        ConfigurationError, WeightsError: what was asked for is not there.
        ClipShapeError: the task's clips do not suit the network.
        CancelledError: ``cancelled`` said so.
    """
    began = time.monotonic()
    config = config.settled(spec.weights)
    chosen = choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    shape = clip_shape(task, spec)
    with ExitStack() as stack:
        observer = Observer(progress or (lambda _: None), cancelled or (lambda: False))
        tracked = None
        if tracking is not None:
            settings = config.to_dict()
            name = f"{task.name}_{spec.name}"
            tracked = stack.enter_context(track(tracking, name=name, run=now(), settings=settings))
            observer = _tracked(observer, tracked)
        placement = Placement(chosen, choose_dtype(chosen, config.precision))
        rounds = Rounds(task, spec, config, shape, placement, observer, weights)
        # Before the studies are read, which takes long: missing weights are told at once.
        rounds.fresh()
        work = _Finetuning(rounds, store, report=report, by=by, began=began)
        result = work.run(work.select(source, cache or vptct_home() / "prepared"))
        if tracked is not None:
            tracked.finished(result.card)
        return result


def clip_shape(task: ReadingTask, spec: ModelSpec) -> ClipShape:
    """The numbers of the task's clip rule for this network.

    Raises:
        ClipShapeError: the network cannot take such clips, or none of them could be positive.
    """
    length = task.clips.length(spec.clip_slices)
    if length < task.clips.min_positive_slices:
        raise ClipShapeError(
            f"{spec.name} sees clips of {length} slices; for the task {task.name} a clip is positive only "
            f"from {task.clips.min_positive_slices} slices on.",
            "Lower min_positive_slices in the task file, or choose a model with longer clips.",
        )
    spec.check_clip(length, spec.crop_px, spec.crop_px)
    return ClipShape(
        length=length,
        stride=task.clips.stride(spec.clip_slices),
        crop_px=spec.crop_px,
        min_positive_slices=task.clips.min_positive_slices,
        air=air(task.hu_window),
    )


@dataclass(frozen=True)
class _Trained:
    """What all rounds came to: the classifier to be published, and what was measured.

    Attributes:
        classifier: in the state that is published.
        rounds: one result, or one per fold.
        outcome: over the validation studies of all rounds.
    """

    classifier: Classifier
    rounds: tuple[RoundResult, ...]
    outcome: Outcome

    @property
    def best_auroc(self) -> float:
        """Of whole studies, mean over the findings and, with folds, over these."""
        return float(np.mean([each.best.auroc for each in self.rounds]))


@dataclass(frozen=True)
class _Finetuning:
    """One finetuning: the steps from studies to a published version.

    Attributes:
        rounds: train.
        store: where the classifier is published.
        report: whether one is written.
        by: who ordered it.
        began: when, on the clock that only grows.
    """

    rounds: Rounds
    store: ModelStore
    report: bool
    by: str
    began: float
    notes: list[str] = field(default_factory=list)

    def select(self, source: Manifest, cache: Path) -> TrainingData:
        """The studies that take part, prepared."""
        task, spec = self.rounds.task, self.rounds.spec

        def told(done: int, total: int, note: str) -> None:
            if note:
                self.notes.append(note)
            self._tell("preparing", done, total, note=note)

        return select_studies(
            source,
            task,
            self.rounds.shape,
            PreparedStudies(cache, task.hu_window, pixels=spec.resize_px),
            progress=told,
            cancelled=self.rounds.observer.cancelled,
        )

    def run(self, data: TrainingData) -> FinetuneResult:
        """Train, measure, compare, publish."""
        trained = self._train(data)
        self._tell("comparing")
        verdict = self._judge().decide(trained.outcome, synthetic=data.synthetic)
        card = self._card(data, trained, verdict)
        self._tell("publishing")
        published = self.store.publish(
            trained.classifier,
            card,
            serve=verdict.serve,
            why=verdict.why,
            by=self.by,
            instead_of=verdict.instead_of or 0,
            beside=lambda folder: self._write_beside(folder, data, trained, verdict, card),
        )
        self._tell("done", best=trained.best_auroc)
        return self._result(published, trained, verdict)

    def _result(self, card: ModelCard, trained: _Trained, verdict: Verdict) -> FinetuneResult:
        served = verdict.serve and self.store.current_version(card.task, card.model) == card.version
        decision = verdict.why
        if verdict.serve and not served:
            decision += (
                " Meanwhile another version came to be served, with which this one was not compared. So it "
                "is kept as a candidate."
            )
        report = self.store.place(card.task, card.model, card.version) / REPORT
        return FinetuneResult(
            card=card,
            served=served,
            decision=decision,
            comparison=verdict.comparison,
            warnings=trained.outcome.warnings,
            report=report if self.report else None,
        )

    def _train(self, data: TrainingData) -> _Trained:
        classifier, result = self.rounds.run(data.train, data.validation)
        held_out = HeldOut.of(
            [(data.validation, result.best.logits, result.best.clip_studies)], self.rounds.shape
        )
        task, config = self.rounds.task, self.rounds.config
        outcome = measure(held_out, task, threshold_rule=config.threshold or task.threshold_rule)
        return _Trained(classifier, (result,), outcome)

    def _judge(self) -> Judge:
        return Judge(
            self.store,
            self.rounds.task,
            self.rounds.spec,
            self.rounds.shape,
            self.rounds.placement,
            self.rounds.config.comparison,
            told=lambda done, clips: self._tell("comparing", done, clips),
            cancelled=self.rounds.observer.cancelled,
        )

    def _write_beside(
        self, folder: Path, data: TrainingData, trained: _Trained, verdict: Verdict, card: ModelCard
    ) -> None:
        """What lies beside the weights: who was validated and how, and the report."""
        task, outcome = self.rounds.task, trained.outcome
        validated = outcome.held_out.studies
        record_of(task.findings, validated, outcome.probabilities, data.train).write(folder)
        if self.report:
            facts = ReportFacts(
                card=card,
                task=task,
                decision=verdict.why,
                served=verdict.serve,
                studies=report_studies(outcome, self.rounds.shape),
                curves=learning_curves(trained.rounds),
                comparison=verdict.comparison,
                warnings=outcome.warnings,
                notes=tuple(self.notes),
            )
            write_report(facts, folder)

    def _card(self, data: TrainingData, trained: _Trained, verdict: Verdict) -> ModelCard:
        """What is known about the classifier."""
        task, spec, config, outcome = self.rounds.task, self.rounds.spec, self.rounds.config, trained.outcome
        return ModelCard(
            task=task.name,
            model=spec.name,
            findings=task.findings,
            pretraining=config.pretraining,
            clip_slices=self.rounds.shape.length,
            trained_on=len(data.train),
            synthetic=data.synthetic,
            validation_auroc=outcome.auroc(),
            thresholds=outcome.thresholds,
            temperature=outcome.calibration.temperature,
            calibrated=outcome.calibration.calibrated,
            ranges=data.ranges(),
            reading=reading_facts(task, spec),
            training={
                "config": config.to_dict(),
                **trained.rounds[0].to_json(),
                "device": self.rounds.placement.device.type,
                "seconds": round(time.monotonic() - self.began, 1),
                "warnings": list(outcome.warnings),
            },
            counts=data.counts(task),
            split_hash=data.split_hash(),
            labels_hash=data.labels_hash(task),
            code_version=__version__,
            created=now(),
            metrics=outcome.metrics,
            threshold_rule=outcome.threshold_rule,
            calibration=outcome.calibration.explanation,
            comparison=verdict.to_json(),
        )

    def _tell(
        self, state: str, step: int = 0, steps: int = 0, *, best: float | None = None, note: str = ""
    ) -> None:
        self.rounds.observer.report(Progress(state=state, step=step, steps=steps, best_auroc=best, note=note))


def _tracked(observer: Observer, tracked: Tracking) -> Observer:
    """The same observer; the trackers hear of all progress, too."""

    def report(now: Progress) -> None:
        tracked.progress(now)
        observer.report(now)

    return replace(observer, report=report)
