"""Validator: what a network that is being trained makes of whole studies that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from vpt_plugin.errors import DeviceMemoryError, DivergedError, TrainingError
from vpt_plugin.models.device import out_of_memory
from vpt_plugin.training.batches import Clips, clip_loader
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.placement import MixedPrecision
from vpt_plugin.training.validation import StudyAuroc, Validation


@dataclass(frozen=True)
class ValidationSide:
    """The studies that a training is validated on.

    Attributes:
        clips: give ``image`` and, as ``label``, the number of the study, as ``CoveringClips``.
        auroc: of these studies.
    """

    clips: Clips
    auroc: StudyAuroc


class Validator:
    """Validates a network after the epochs of its training, on MONAI's evaluator.

    Args:
        network: is validated, on the device.
        side: the studies.
        inferer: calls the network.
        device: of the network.
        scaled: loaded clips as the network sees them, on the device.
        batch: clips that are loaded together.
        clips_at_once: as many as go through the network together in a step; asked anew for every batch, None
            where there is no limit.
        after_batch: called between batches, and may ``stop``.
        told: what the user should know.
        team: the processes that share out the clips.
    """

    def __init__(
        self,
        network: nn.Module,
        side: ValidationSide,
        inferer: MixedPrecision,
        *,
        device: torch.device,
        scaled: Callable[[Tensor], Tensor],
        batch: int,
        clips_at_once: Callable[[], int | None],
        after_batch: Callable[[], None],
        told: Callable[[str], None],
        team: Team,
    ) -> None:
        self._auroc = side.auroc
        self._inferer = inferer
        self._scaled = scaled
        self._clips_at_once = clips_at_once
        self._told = told
        self._fitting: int | None = None
        self._stopped = False
        self._evaluator = SupervisedEvaluator(
            device=device,
            val_data_loader=clip_loader(side.clips, batch, team),
            network=network,
            prepare_batch=self._prepare,
            inferer=self._logits,
            key_val_metric={"study_auroc": side.auroc},
            decollate=False,
        )
        # Others of a team may have a batch less to validate: they are asked after the next step.
        if team.size == 1:
            self._evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda _: after_batch())

    def __call__(self, *, epoch: int, train_loss: float) -> Validation | None:
        """Validate the network as it is after an epoch; None where it was stopped.

        Raises:
            DeviceMemoryError: not even one clip fits into the memory.
        """
        self._stopped = False
        self._evaluator.run(epoch)
        return None if self._stopped else self._auroc.found(epoch=epoch, train_loss=train_loss)

    def stop(self) -> None:
        """End the validation that runs, if one does, after its batch."""
        self._stopped = True
        self._evaluator.terminate()

    def _prepare(
        self, batch: Mapping[str, Tensor], device: torch.device, non_blocking: bool, **_: Any
    ) -> tuple[Tensor, Tensor]:
        return self._scaled(batch["image"]), batch["label"].to(device, non_blocking=non_blocking)

    def _logits(self, clips: Tensor, network: nn.Module) -> Tensor:
        """Of the clips of a batch, no more at once than the memory takes."""
        while True:
            limits = (len(clips), self._clips_at_once(), self._fitting)
            at_once = min(each for each in limits if each is not None)
            try:
                pieces = [self._inferer(each, network) for each in torch.split(clips, at_once)]
                return torch.cat(pieces)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if at_once == 1:
                    raise DeviceMemoryError(
                        f"the memory of {clips.device} does not take a single clip in a validation; nothing "
                        "was published.",
                        "Close other programs that use it, or choose a smaller network.",
                    ) from error
            # Only here: as long as the error is handled, it holds on to the maps of the pass that failed.
            self._halve(at_once, clips.device)

    def _halve(self, tried: int, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self._fitting = tried // 2
        self._told(
            f"the memory of {device} is full: from now on clips are validated {self._fitting} at a time, "
            f"not {tried}."
        )


def failure_of(found: Validation) -> TrainingError | None:
    """Why a training cannot go on after this validation; None where it can."""
    if not np.isfinite(found.probabilities).all():
        return DivergedError(
            f"a probability became nan in epoch {found.epoch}; nothing was published.",
            "Try a lower learning rate, or precision float32.",
        )
    if math.isnan(found.auroc):
        return TrainingError(
            "the AUROC of the validation is undefined: of some finding it has no study with it, or none "
            "without; nothing was published.",
            "Label more studies of that finding, or leave the choice of the validation side to the training.",
        )
    return None
