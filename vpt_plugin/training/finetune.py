"""finetune: from a manifest of labelled studies to a published classifier with its card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vpt_plugin import __version__
from vpt_plugin.ct.intensity import air
from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.bags import TrainingBags
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import ClipShapeError
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import choose_device, choose_dtype, keep_freed_memory
from vpt_plugin.models.weights import WeightsFolder, vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.loop import Observer, Placement, TrainingLoop
from vpt_plugin.training.metrics import bootstrap_auroc, youden_threshold
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.selection import TrainingData, select_studies
from vpt_plugin.training.validation import StudyAuroc, Validation


def finetune(
    manifest: Manifest,
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
) -> ModelCard:
    """Train a classifier on the manifest's training studies, validate it, publish its best state.

    Same manifest, configuration and kind of device: same result. The generators of torch and NumPy are left
    as they were.

    Args:
        manifest: studies, labels and sides; test studies are not touched.
        task: says how a study is read.
        spec: the network.
        config: of the training.
        store: where the classifier is published.
        weights: where pretrained weights lie; None takes the folder of this computer.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        device: as in ``choose_device``.
        progress: told of every study prepared, every step and every validation.
        cancelled: asked as often; nothing is published when it says so.

    Returns:
        The card of the published classifier.

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
    work = _Finetuning(
        task=task,
        spec=spec,
        config=config,
        shape=clip_shape(task, spec),
        placement=Placement(chosen, choose_dtype(chosen, config.precision)),
        observer=Observer(progress or (lambda _: None), cancelled or (lambda: False)),
    )
    # Before the studies are read, which takes long: missing weights are told at once.
    classifier = new_classifier(
        spec, task.findings, pretraining=config.pretraining, weights=weights, seed=config.seed
    )
    data = work.select(manifest, cache or vptct_home() / "prepared")
    loop = work.loop(classifier, data)
    best = loop.run()
    card = work.card(data, best, loop.history, seconds=time.monotonic() - began)
    work.observer.report(Progress(state="publishing", step=config.steps, steps=config.steps))
    card = store.publish(classifier, card)
    work.observer.report(Progress(state="done", step=config.steps, steps=config.steps, best_auroc=best.auroc))
    return card


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
class _Finetuning:
    """One finetuning: what was asked for, and the steps from a manifest to a card."""

    task: ReadingTask
    spec: ModelSpec
    config: FinetuneConfig
    shape: ClipShape
    placement: Placement
    observer: Observer

    def select(self, manifest: Manifest, cache: Path) -> TrainingData:
        """The studies that take part, prepared."""
        return select_studies(
            manifest,
            self.task,
            self.shape,
            PreparedStudies(cache, self.task.hu_window, pixels=self.spec.resize_px),
            progress=lambda done, total, note: self.observer.report(
                Progress(state="preparing", step=done, steps=total, note=note)
            ),
            cancelled=self.observer.cancelled,
        )

    def loop(self, classifier: Classifier, data: TrainingData) -> TrainingLoop:
        """The training and validation of a classifier on these studies."""
        jitter = Jitter(self.config.brightness_gain, self.config.brightness_shift)
        bags = TrainingBags(
            data.train,
            self.shape,
            bags=self.config.steps * self.config.batch,
            bag_clips=self.config.bag_clips,
            seed=self.config.seed,
            augmentation=make_augmentation(self.config.augmentation, self.shape, jitter),
        )
        return TrainingLoop(
            classifier,
            bags,
            CoveringClips(data.validation, self.shape),
            StudyAuroc(_states(data), self.task.aggregation),
            offset=self.task.offset,
            config=self.config,
            placement=self.placement,
            observer=self.observer,
        )

    def card(
        self, data: TrainingData, best: Validation, history: Sequence[Validation], *, seconds: float
    ) -> ModelCard:
        """What is known about the classifier in its best state."""
        scored = {}
        for index, finding in enumerate(self.task.findings):
            states = _states(data)[:, index]
            known = ~np.isnan(states)
            scored[finding] = (states[known], best.probabilities[known, index])
        return ModelCard(
            task=self.task.name,
            model=self.spec.name,
            findings=self.task.findings,
            pretraining=self.config.pretraining,
            clip_slices=self.shape.length,
            trained_on=len(data.train),
            synthetic=data.synthetic,
            validation_auroc={finding: bootstrap_auroc(*pair) for finding, pair in scored.items()},
            thresholds={finding: youden_threshold(*pair) for finding, pair in scored.items()},
            ranges=data.ranges(),
            reading=reading_facts(self.task, self.spec),
            training={
                "config": self.config.to_dict(),
                "best_epoch": best.epoch,
                "history": [each.to_json() for each in history],
                "device": self.placement.device.type,
                "seconds": round(seconds, 1),
            },
            counts=data.counts(self.task),
            split_hash=data.split_hash(),
            labels_hash=data.labels_hash(self.task),
            code_version=__version__,
            created=now(),
        )


def _states(data: TrainingData) -> NDArray[np.float64]:
    """What the labels of the validation studies say, (studies, findings)."""
    return np.stack([study.states for study in data.validation])
