"""finetune: from labelled studies to a published classifier with its card, served only where it is better."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vpt_plugin.ct.intensity import air
from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.data.prepared import DEFAULT_LIMIT_GB, PreparedStudies
from vpt_plugin.errors import ClipShapeError
from vpt_plugin.labels import now
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.device import choose_device, choose_dtype, heed_cpu_quota, keep_freed_memory
from vpt_plugin.models.weights import WeightsFolder, vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import joined_team
from vpt_plugin.training.evidence import reference_of
from vpt_plugin.training.final_look import look_at_final
from vpt_plugin.training.keeping import keeping, run_facts
from vpt_plugin.training.loop import Observer
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import HeldOut, Outcome, measure
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.precision_gate import PrecisionGate
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.publishing import FinetuneResult, Publication, published_before
from vpt_plugin.training.readiness import check_source_ready
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import TrainingSource
from vpt_plugin.training.start import Start, find_start
from vpt_plugin.training.tracking import Tracking, TrackingPlaces
from vpt_plugin.training.tracking import tracking as track
from vpt_plugin.training.trained import Trained
from vpt_plugin.training.training_data import TrainingData
from vpt_plugin.training.verdict import Judge

__all__ = ["FinetuneResult", "clip_shape", "finetune"]


def finetune(
    source: TrainingSource,
    task: ReadingTask,
    spec: ModelSpec,
    config: FinetuneConfig,
    *,
    store: ModelStore,
    weights: WeightsFolder | None = None,
    cache: Path | None = None,
    prepared_gb: float = DEFAULT_LIMIT_GB,
    prepared_hu: bool = True,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    tracking: TrackingPlaces | None = None,
    report: bool = True,
    by: str = "",
) -> FinetuneResult:
    """Train a classifier, validate it on studies it never saw, publish it, and serve it if it is better.

    On the CPU the same studies, labels, configuration, number of threads and micro batch give the same
    network, bit for bit. On CUDA cuDNN is held to algorithms that repeat themselves; torch's own kernels need
    not, such as the way back through a pooling, which add in no fixed order. How far two trainings come apart
    there was not measured. The generators of torch and NumPy are left as they were.

    Args:
        source: studies, labels and sides; test studies are not opened.
        task: says how a study is read.
        spec: the network.
        config: of the training.
        store: where the classifier is published, and where the served one lies that it is compared with.
        weights: where pretrained weights lie; None takes the folder of this computer.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        prepared_gb: how large that folder may become, in 10^9 bytes; what this training uses always stays.
        prepared_hu: whether studies are kept there in HU, too, as long as there is room: another task with
            another window then reads none of them again.
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
    cache = cache or vptct_home() / "prepared"
    shape = clip_shape(task, spec)
    settled = config.settled(spec.weights)
    with joined_team(choose_device(device)) as team:
        team.from_first(lambda: team.check(config.batch))
        # What is missing is told at once, before the studies are read, which takes long.
        team.from_first(
            lambda: check_source_ready(source, task, spec, config, store=store, cache=cache, weights=weights)
        )
        if team.device.type == "cpu":
            keep_freed_memory()
            heed_cpu_quota()
        observer = Observer(progress or (lambda _: None), cancelled or (lambda: False))
        places = (tracking if team.first else None) or TrackingPlaces()
        name = f"{task.name}_{spec.name}"
        with track(places, name=name, run=now(), settings=settled.to_dict()) as tracked:
            observer = _tracked(observer, tracked) if team.first else Observer()
            placement = Placement(team.device, choose_dtype(team.device, config.precision))
            start = find_start(store, spec, settled)
            rounds = Rounds(
                task, spec, settled, shape, placement, observer, weights,
                partial(start.classifier, store, task.findings, seed=config.seed) if start else None, team,
            )  # fmt: skip
            with PreparedStudies(
                cache, task.hu_window, pixels=spec.resize_px, limit_gb=prepared_gb, masters=prepared_hu
            ) as prepared:
                work = _Finetuning(source, rounds, store, start, began)
                result = work.run(prepared, report=report, by=by)
            tracked.finished(result.card)
            return result


def clip_shape(task: ReadingTask, spec: ModelSpec) -> ClipShape:
    """The numbers of the task's clip rule for this network.

    Raises:
        ClipShapeError: the network cannot take such clips, or none of them could be positive.
    """
    numbers = spec.clip_numbers(task.clips)
    if numbers.length < numbers.min_positive_slices:
        raise ClipShapeError(
            f"{spec.name} sees clips of {numbers.length} slices; for the task {task.name} a clip is positive "
            f"only from {numbers.min_positive_slices} slices on.",
            "Lower min_positive_slices in the task file, or choose a model with longer clips.",
        )
    spec.check_clip(numbers.length, spec.crop_px, spec.crop_px)
    return ClipShape(
        length=numbers.length,
        stride=numbers.stride,
        crop_px=spec.crop_px,
        min_positive_slices=numbers.min_positive_slices,
        min_slices=numbers.min_slices,
        air=air(task.hu_window),
    )


@dataclass(frozen=True)
class _Finetuning:
    """One finetuning: the steps from studies to a published version.

    Attributes:
        source: of the studies.
        rounds: train.
        store: where the classifier is published.
        start: the classifier of the site that it begins from; None for none.
        began: when, on the clock that only grows.
        notes: what was said while the studies were prepared, and of interruptions.
    """

    source: TrainingSource
    rounds: Rounds
    store: ModelStore
    start: Start | None
    began: float
    notes: list[str] = field(default_factory=list)

    def run(self, prepared: PreparedStudies, *, report: bool, by: str) -> FinetuneResult:
        """Prepare, train, measure, compare, publish. All but the training is done by the first process."""
        rounds, team = self.rounds, self.rounds.team
        fresh = rounds.fresh()
        data = team.from_first(lambda: self._select(prepared))
        team.require_shared([each.prepared.file for each in data.everything], "the prepared studies")
        facts = run_facts(rounds.task, fresh, rounds.config, data, rounds.placement)
        with keeping(
            team, self.store.root, f"{rounds.task.name}_{rounds.spec.name}", facts, self._note
        ) as kept:
            result = team.from_first(lambda: self._published_before(kept.number, by))
            if result is None:
                trained = rounds.train(data, kept)
                result = team.from_first(
                    lambda: self._conclude(data, trained, kept.number, report=report, by=by)
                )
            kept.remove()
        return result

    def _published_before(self, run: str, by: str) -> FinetuneResult | None:
        """What this very training had come to, where it was interrupted when all but its end was done."""
        task, model = self.rounds.task.name, self.rounds.spec.name
        result = published_before(self.store, task, model, run, by=by, notes=self.notes)
        if result is not None:
            self._tell_done([each.value for each in result.card.validation_auroc.values()])
        return result

    def _conclude(
        self, data: TrainingData, trained: Trained, run: str, *, report: bool, by: str
    ) -> FinetuneResult:
        """Measure, compare, publish."""
        outcome, checks = self._gate(trained).settle(data, trained, self._measure(data, trained))
        self._tell("comparing")
        verdict = self._judge().decide(outcome, synthetic=data.synthetic)
        reference = reference_of(
            self.rounds, data, trained.classifier,
            told=lambda done, studies: self._tell("comparing", done, studies), note=self._note,
        )  # fmt: skip
        self._tell("publishing")
        publication = Publication(
            self.rounds, data, trained, outcome, verdict, self.start,
            run, self.source.name, self.notes, time.monotonic() - self.began, checks, reference,
        )  # fmt: skip
        result = publication.publish(self.store, report=report, by=by)
        self._tell_done([each.value for each in outcome.auroc().values()])
        return result

    def _select(self, prepared: PreparedStudies) -> TrainingData:
        """The studies that take part, prepared."""
        task = self.rounds.task

        def told(done: int, total: int, note: str) -> None:
            if note:
                self.notes.append(note)
            self._tell("preparing", done, total, note=note)

        data = select_studies(
            self.source,
            task,
            self.rounds.shape,
            prepared,
            self.rounds.config,
            progress=told,
            cancelled=self.rounds.observer.cancelled,
        )
        if self.start is not None:
            self.start.require_unseen(study for each in data.rounds for study in each.validation)
        return data

    def _measure(self, data: TrainingData, trained: Trained) -> Outcome:
        held_out = HeldOut.of(
            [
                (each.validation, result.best.logits, result.best.clip_studies)
                for each, result in zip(data.rounds, trained.rounds, strict=True)
            ],
            self.rounds.shape,
        )
        outcome = self._measured(trained, held_out)
        if not data.folds:
            return outcome
        return look_at_final(
            outcome, trained.classifier, data.everything, self.rounds.shape,
            task=self.rounds.task, placement=self.rounds.placement,
            told=lambda done, clips: self._tell("comparing", done, clips),
            cancelled=self.rounds.observer.cancelled,
        )  # fmt: skip

    def _measured(self, trained: Trained, held_out: HeldOut) -> Outcome:
        task = self.rounds.task
        rule = self.rounds.config.threshold or task.threshold_rule
        losses = [[each.train_loss for each in result.history] for result in trained.rounds]
        return measure(held_out, task, threshold_rule=rule, losses=losses)

    def _gate(self, trained: Trained) -> PrecisionGate:
        return PrecisionGate(
            self.rounds,
            partial(self._measured, trained),
            told=lambda done, studies: self._tell("comparing", done, studies),
            note=self._note,
        )

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

    def _note(self, note: str) -> None:
        """What is to be known of an interruption, for whoever watches and for the report."""
        self.notes.append(note)
        self._tell("training", note=note)

    def _tell_done(self, aurocs: Sequence[float]) -> None:
        self._tell("done", best=sum(aurocs) / len(aurocs))

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
