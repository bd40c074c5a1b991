"""TrainingLoop: optimizer steps and the validations between them, on MONAI's engines and Ignite's events.

The loop knows clips, logits and studies; manifests, cards and versions are ``finetune``'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vpt_plugin.data.bags import collate_bags
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import CancelledError, TrainingError, VptError
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import memory_format, out_of_memory
from vpt_plugin.training.bag_loss import bag_cross_entropy
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.validation import StudyAuroc, Validation

_KEY_METRIC = "study_auroc"
_WARM_UP_SHARE = 0.05
_LAST_RATE_SHARE = 0.01

Clips = Dataset[dict[str, Tensor]]


@dataclass(frozen=True)
class Placement:
    """Where the network is trained, and in which precision its products are computed."""

    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Observer:
    """Who is told how it goes, and who may end it.

    Attributes:
        report: told of every step and every validation.
        cancelled: asked after every step and every batch of a validation.
    """

    report: Callable[[Progress], None] = field(default=lambda progress: None)
    cancelled: Callable[[], bool] = field(default=lambda: False)


class TrainingLoop:
    """Trains a classifier and brings it back to its best state.

    Args:
        classifier: is trained in place, on the device.
        train: gives ``image`` and ``label``, as ``TrainingBags``; as many bags as all the steps need.
        validation: gives ``image`` and, as ``label``, the number of the study, as ``CoveringClips``.
        auroc: of the validation studies.
        offset: the task's, taken from every clip.
        config: of the training.
        placement: of the network.
        observer: of the training.
    """

    def __init__(
        self,
        classifier: Classifier,
        train: Clips,
        validation: Clips,
        auroc: StudyAuroc,
        *,
        offset: float,
        config: FinetuneConfig,
        placement: Placement,
        observer: Observer,
    ) -> None:
        self.history: list[Validation] = []
        self._classifier = classifier
        self._auroc = auroc
        self._offset = offset
        self._config = config
        self._placement = placement
        self._observer = observer
        self._failure: VptError | None = None
        self._best: Validation | None = None
        self._best_state: Mapping[str, Tensor] = {}
        self._losses: list[float] = []
        self._began = 0.0
        classifier.to(placement.device).to(memory_format=memory_format(placement.dtype))
        frozen = _freeze(classifier, config)
        self._optimizer = torch.optim.AdamW(_parameter_groups(classifier, config.decay), lr=config.rate)
        inferer = _MixedPrecision(placement, frozen)
        self._trainer = self._make_trainer(train, inferer)
        self._evaluator = self._make_evaluator(validation, inferer)

    def run(self) -> Validation:
        """Train to the end, or until validation no longer gets better.

        Returns:
            The best validation; the classifier is in the state that made it.

        Raises:
            TrainingError: the loss is no longer a number, or the memory is full.
            CancelledError: the observer said so.
        """
        self._began = time.monotonic()
        device = self._placement.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(self._config.seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(self._config.seed)
            try:
                self._trainer.run()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                raise TrainingError(
                    f"the memory of {device} does not take {self._config.batch} clips at once.",
                    "Use a smaller batch, or train the head alone.",
                ) from error
        if self._failure is not None:
            raise self._failure
        if self._best is None:
            raise TrainingError("the training ended before its first validation.")
        self._classifier.load_state_dict(self._best_state)
        return self._best

    def _make_trainer(self, clips: Clips, inferer: _MixedPrecision) -> SupervisedTrainer:
        trainer = SupervisedTrainer(
            device=self._placement.device,
            max_epochs=self._config.epochs,
            epoch_length=self._config.steps_per_epoch,
            train_data_loader=DataLoader(clips, batch_size=self._config.batch, collate_fn=collate_bags),
            network=self._classifier,
            optimizer=self._optimizer,
            loss_function=self._loss,
            prepare_batch=self._prepare_bags,
            inferer=inferer,
            decollate=False,
            optim_set_to_none=True,
        )
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: self._losses.clear())
        trainer.add_event_handler(Events.ITERATION_STARTED, self._set_learning_rate)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._validate)
        return trainer

    def _make_evaluator(self, clips: Clips, inferer: _MixedPrecision) -> SupervisedEvaluator:
        evaluator = SupervisedEvaluator(
            device=self._placement.device,
            val_data_loader=DataLoader(clips, batch_size=self._config.batch),
            network=self._classifier,
            prepare_batch=self._prepare_batch,
            inferer=inferer,
            key_val_metric={_KEY_METRIC: self._auroc},
            decollate=False,
        )
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: self._stop_if_cancelled())
        stopping = EarlyStopping(
            patience=self._config.patience,
            score_function=lambda engine: engine.state.metrics[_KEY_METRIC],
            trainer=self._trainer,
        )
        # Not COMPLETED: that comes after a cancelled validation too, which has no AUROC.
        evaluator.add_event_handler(Events.EPOCH_COMPLETED, stopping)
        return evaluator

    def _prepare_batch(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool, **_: Any
    ) -> tuple[Tensor, Tensor]:
        clips = batch["image"].to(device, non_blocking=non_blocking)
        clips = scale_clips(clips, self._offset).to(memory_format=memory_format(self._placement.dtype))
        return clips, batch["label"].to(device, non_blocking=non_blocking)

    def _prepare_bags(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool, **_: Any
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        clips, labels = self._prepare_batch(batch, device, non_blocking)
        return clips, (labels, batch["bag"].to(device, non_blocking=non_blocking))

    def _loss(self, logits: Tensor, bags: tuple[Tensor, Tensor]) -> Tensor:
        labels, bag = bags
        return bag_cross_entropy(logits, labels, bag, self._config.pooling)

    def _set_learning_rate(self, engine: Engine) -> None:
        share = learning_rate_share(engine.state.iteration - 1, self._config.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.rate * share

    def _after_step(self, engine: Engine) -> None:
        loss = float(engine.state.output["loss"].detach())
        if not math.isfinite(loss):
            self._stop(self._not_a_number(f"the loss became {loss} at step {engine.state.iteration}"))
            return
        self._losses.append(loss)
        self._report("training")
        self._stop_if_cancelled()

    def _validate(self, engine: Engine) -> None:
        self._report("validating")
        self._evaluator.run(engine.state.epoch)
        if self._failure is not None:
            return
        found = self._auroc.found(epoch=engine.state.epoch, train_loss=sum(self._losses) / len(self._losses))
        if math.isnan(found.auroc):
            self._stop(self._not_a_number(f"a probability became nan in epoch {found.epoch}"))
            return
        self.history.append(found)
        if found.better_than(self._best):
            self._best = found
            self._best_state = {
                name: entry.detach().clone() for name, entry in self._classifier.state_dict().items()
            }
        self._report("training")

    def _report(self, state: str) -> None:
        done = self._trainer.state.iteration
        seconds = time.monotonic() - self._began
        self._observer.report(
            Progress(
                state=state,
                step=done,
                steps=self._config.steps,
                epoch=self._trainer.state.epoch,
                epochs=self._config.epochs,
                loss=sum(self._losses) / len(self._losses),
                validation_auroc=self.history[-1].auroc if self.history else None,
                best_auroc=self._best.auroc if self._best else None,
                seconds_left=seconds / done * (self._config.steps - done),
            )
        )

    def _stop_if_cancelled(self) -> None:
        if self._observer.cancelled():
            self._stop(CancelledError())

    def _stop(self, failure: VptError) -> None:
        # Raised after the engines have ended: raised in here, Ignite would log it as a crash first.
        self._failure = failure
        self._trainer.terminate()
        self._evaluator.terminate()

    def _not_a_number(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what}; nothing was published.",
            f"Try a lower learning rate than {self._config.rate:g}, or precision float32.",
        )


class _MixedPrecision:
    """Calls the network in the placement's precision; what MONAI calls an inferer.

    MONAI's own mixed precision knows CUDA only.

    Args:
        placement: of the network.
        frozen: parts that are not trained; they stay in evaluation mode, or their batch norms would drift.
    """

    def __init__(self, placement: Placement, frozen: Sequence[nn.Module]) -> None:
        self._placement = placement
        self._frozen = frozen

    def __call__(self, clips: Tensor, network: nn.Module) -> Tensor:
        for part in self._frozen:
            part.eval()
        enabled = self._placement.dtype == torch.bfloat16
        with torch.autocast(self._placement.device.type, torch.bfloat16, enabled=enabled):
            logits: Tensor = network(clips)
        return logits.float()


def learning_rate_share(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step, from 0: a straight rise, then half a cosine down."""
    warm_up = max(1, round(steps * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    down = (step - warm_up) / max(1, steps - warm_up)
    return _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 + math.cos(math.pi * down)) / 2


def _freeze(classifier: Classifier, config: FinetuneConfig) -> tuple[nn.Module, ...]:
    """Freeze what is not to be trained, and say what that is."""
    classifier.requires_grad_(True)
    if config.train == "whole":
        return ()
    classifier.backbone.requires_grad_(False)
    return (classifier.backbone,)


def _parameter_groups(classifier: Classifier, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for weights; none for biases and normalisation, which it would only push off centre."""
    trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]
