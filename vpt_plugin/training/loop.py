"""TrainingLoop: optimizer steps and the validations between them, on MONAI's engines and Ignite's events.

The loop knows clips, logits and studies; manifests, cards and versions are ``finetune``'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import SupervisedTrainer
from torch import Tensor

from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import CancelledError, DeviceMemoryError, DivergedError, TrainingError, VptError
from vpt_plugin.models.backbones import blocks_to_recompute
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import arrange, memory_format, out_of_memory
from vpt_plugin.training.batches import Batches, Clips, bag_loader
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.loop_state import (
    generator_states,
    network_state,
    set_generator_states,
    validation_from_state,
    validation_state,
)
from vpt_plugin.training.observer import Observer
from vpt_plugin.training.optimization import RateSchedule, freeze, make_optimizer, thaws
from vpt_plugin.training.placement import MixedPrecision, Placement, repeatable_convolutions
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.step import TrainingStep
from vpt_plugin.training.validation import Validation
from vpt_plugin.training.validator import ValidationSide, Validator, failure_of

__all__ = ["Observer", "Placement", "TrainingLoop"]


class TrainingLoop:
    """Trains a classifier and brings it back to its best state.

    Attributes:
        history: all validations, in their order.
        losses: of every epoch, mean over its steps.
        best: the validation whose network is kept; None before the first.

    Args:
        classifier: is trained in place, on the device.
        train: gives ``image`` and ``label``, as ``TrainingBags``; as many bags as all the steps need.
        validation: the studies it is validated on; None trains for a fixed number of epochs.
        offset: the task's, taken from every clip.
        config: of the training.
        placement: of the network.
        observer: of the training.
        stop_after: the last epoch, of the schedule of all ``config.epochs``; None goes on to their end.
        after_epoch: called at the end of every epoch, when ``state_dict`` says all that is needed to go on.
        team: the processes that train together, each with a loop like this one; None where it is alone.
    """

    def __init__(
        self,
        classifier: Classifier,
        train: Clips,
        validation: ValidationSide | None = None,
        *,
        offset: float,
        config: FinetuneConfig,
        placement: Placement,
        observer: Observer,
        stop_after: int | None = None,
        after_epoch: Callable[[TrainingLoop], None] = lambda loop: None,
        team: Team | None = None,
    ) -> None:
        self.history: list[Validation] = []
        self.losses: list[float] = []
        self.best: Validation | None = None
        self._classifier = classifier
        self._offset = offset
        self._config = config
        self._placement = placement
        self._observer = observer
        self._after_epoch = after_epoch
        self._team = team or Team()
        self._epochs = stop_after or config.epochs
        self._steps = self._epochs * config.steps_per_epoch
        self._failure: VptError | None = None
        self._best_network: Mapping[str, Tensor] = {}
        self._generators: Sequence[Mapping[str, Tensor]] = ()
        self._losses: list[float] = []
        self._finished = False
        self._resumed_at = 0
        self._began = 0.0
        arrange(classifier.to(placement.device), placement.dtype)
        self._team.prepare(classifier)
        self._inferer = MixedPrecision(placement)
        self._optimizer = make_optimizer(classifier, config)
        self._schedule = RateSchedule(self._optimizer, config)
        self._step = self._make_step()
        self._trainer = self._make_trainer(train)
        self._stopping = EarlyStopping(config.patience, self._score, self._trainer)
        self._validator = None if validation is None else self._make_validator(validation)

    def run(self) -> Validation | None:
        """Train to the end, or until validation no longer gets better.

        Returns:
            The best validation, and the classifier is in the state that made it; None where nothing is
            validated, and the classifier is as the last epoch left it.

        Raises:
            DivergedError: the loss, a gradient or a probability is no longer a number.
            DeviceMemoryError: the memory does not take a single clip, or what the optimizer keeps.
            TrainingError: of some finding there is no validation study with it, or none without.
            CancelledError: the observer said so.
        """
        self._began = time.monotonic()
        if not self._finished:
            self._train()
        if self._failure is not None:
            # Memory is full in one process, and the others only see it go.
            alone = isinstance(self._failure, DeviceMemoryError)
            raise self._failure if alone else self._team.agreed(self._failure)
        if self.best is not None:
            self._classifier.load_state_dict(self._best_network)
        return self.best

    @property
    def diverged(self) -> bool:
        """Whether it ended because the loss or a gradient was no longer a number."""
        return isinstance(self._failure, DivergedError)

    @property
    def micro_batch(self) -> int | None:
        """Clips that go through the network at once now; None before the first step."""
        return self._step.micro_batch

    def state_dict(self) -> dict[str, Any]:
        """All that is known at the end of an epoch: tensors, numbers and words. Asked by the whole team.

        To be saved before the next step, which goes on with the same tensors.
        """
        return {
            "epoch": self._trainer.state.epoch,
            "finished": self._finished,
            "network": network_state(self._classifier),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "micro_batch": self._step.micro_batch,
            "losses": list(self.losses),
            "history": [validation_state(each) for each in self.history],
            "best_epoch": self.best.epoch if self.best else None,
            "best_network": dict(self._best_network),
            "stopping": dict(self._stopping.state_dict()),
            "generators": self._team.gathered(generator_states(self._placement.device)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let ``run`` go on from the end of an epoch, as if it had never been interrupted."""
        self._trainer.state.epoch = state["epoch"]
        self._trainer.state.iteration = self._resumed_at = state["epoch"] * self._config.steps_per_epoch
        self._finished = state["finished"]
        self._classifier.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._step.micro_batch = state["micro_batch"]
        self.losses = list(state["losses"])
        self.history = [validation_from_state(each) for each in state["history"]]
        self.best = next((each for each in self.history if each.epoch == state["best_epoch"]), None)
        self._best_network = state["best_network"]
        self._stopping.load_state_dict(state["stopping"])
        self._generators = state["generators"]

    def _train(self) -> None:
        device = self._placement.device
        # Dropout: each process draws its own for its own clips.
        rank, seed = self._team.rank, self._config.seed + self._team.rank
        forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with forked, repeatable_convolutions():
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            if rank < len(self._generators):
                set_generator_states(self._generators[rank], device)
            try:
                self._trainer.run()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                # Steps and validations halve their pieces themselves; what is left is the batch as loaded.
                raise DeviceMemoryError(
                    f"the memory of {device} does not take all clips of a batch; nothing was published.",
                    "Close other programs that use it, or set a smaller batch or fewer bag_clips.",
                ) from error

    def _make_step(self) -> TrainingStep:
        step = TrainingStep(
            self._classifier,
            self._optimizer,
            self._inferer,
            pooling=self._config.pooling,
            recompute=blocks_to_recompute(self._classifier) if self._config.gradient_checkpointing else (),
            told=lambda note: self._report("training", note),
            team=self._team,
        )
        step.micro_batch = self._config.micro_batch
        return step

    def _make_trainer(self, bags: Clips) -> SupervisedTrainer:
        batch = self._config.batch
        batches = Batches(self._first_step, self._steps, batch, self._team.stretch(batch))
        trainer = SupervisedTrainer(
            device=self._placement.device,
            max_epochs=self._epochs,
            epoch_length=self._config.steps_per_epoch,
            train_data_loader=bag_loader(bags, batches),
            network=self._classifier,
            optimizer=self._optimizer,
            loss_function=None,
            iteration_update=self._one_step,
            decollate=False,
        )
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        return trainer

    def _make_validator(self, side: ValidationSide) -> Validator:
        return Validator(
            self._classifier,
            side,
            self._inferer,
            device=self._placement.device,
            scaled=self._scaled,
            batch=self._config.batch,
            clips_at_once=lambda: self._step.micro_batch,
            after_batch=self._stop_if_cancelled,
            told=lambda note: self._report("validating", note),
            team=self._team,
        )

    def _one_step(self, engine: Engine, batch: Mapping[str, Tensor]) -> dict[str, float]:
        device = self._placement.device
        labels, bag = (batch[name].to(device, non_blocking=True) for name in ("label", "bag"))
        try:
            return {"loss": self._step(self._scaled(batch["image"]), labels, bag)}
        except (TrainingError, DeviceMemoryError) as error:
            where = f"{error.message} at step {engine.state.iteration}; nothing was published."
            self._stop(type(error)(where, error.hint))
        return {"loss": math.nan}

    def _scaled(self, clips: Tensor) -> Tensor:
        clips = scale_clips(clips.to(self._placement.device, non_blocking=True), self._offset)
        return clips.to(memory_format=memory_format(self._placement.dtype))

    def _start_epoch(self, engine: Engine) -> None:
        self._losses.clear()
        frozen = freeze(self._classifier, self._config, engine.state.epoch)
        if self._config.micro_batch is None and thaws(self._config, engine.state.epoch):
            # More is trained from now on, which takes more memory per clip.
            self._step.micro_batch = None
        self._inferer.frozen = frozen

    def _after_step(self, engine: Engine) -> None:
        if self._failure is None:
            self._losses.append(engine.state.output["loss"])
            self._report("training")
            self._stop_if_cancelled()

    def _end_epoch(self, engine: Engine) -> None:
        loss = self._mean_loss()
        if self._validator is not None:
            self._report("validating")
            found = self._validator(epoch=engine.state.epoch, train_loss=loss)
            if found is not None:
                self._take(found)
        if self._failure is not None:
            return
        self.losses.append(loss)
        self._schedule.after_epoch(self.history[-1].log_loss if self.history else loss)
        self._finished = engine.should_terminate or engine.state.epoch >= self._epochs
        self._report("training")
        self._after_epoch(self)

    def _take(self, found: Validation) -> None:
        """Take note of a validation, and of the network where it is the best so far."""
        if (failure := failure_of(found)) is not None:
            self._stop(failure)
            return
        self.history.append(found)
        self._stopping(self._trainer)
        if found.better_than(self.best):
            self.best = found
            self._best_network = network_state(self._classifier)

    def _report(self, state: str, note: str = "") -> None:
        done = self._trainer.state.iteration
        steps = self._steps
        seconds_per_step = (time.monotonic() - self._began) / max(1, done - self._resumed_at)
        self._observer.report(
            Progress(
                state=state,
                step=done,
                steps=steps,
                epoch=self._trainer.state.epoch,
                epochs=self._epochs,
                loss=self._mean_loss() if self._losses else None,
                validation_auroc=self.history[-1].auroc if self.history else None,
                best_auroc=self.best.auroc if self.best else None,
                seconds_left=seconds_per_step * (steps - done),
                note=note,
            )
        )

    def _mean_loss(self) -> float:
        return sum(self._losses) / len(self._losses)

    def _first_step(self) -> int:
        return int(self._trainer.state.iteration)

    def _score(self, _: Engine) -> float:
        return self.history[-1].auroc

    def _stop_if_cancelled(self) -> None:
        if self._team.any(self._observer.cancelled()):
            self._stop(CancelledError())

    def _stop(self, failure: VptError) -> None:
        # Raised after the engines have ended: raised in here, Ignite would log it as a crash first.
        self._failure = failure
        self._trainer.terminate()
        if self._validator is not None:
            self._validator.stop()
