"""What an optimizer steps on: learning rates per stage, their course over a training, what is frozen when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vpt_plugin.models.backbones import always_frozen, stages
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.config import FinetuneConfig

_WARM_UP_SHARE = 0.05
_LAST_RATE_SHARE = 0.01
_OPTIMIZERS: Mapping[str, type[torch.optim.AdamW] | type[torch.optim.Adam]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
}


def make_optimizer(classifier: Classifier, config: FinetuneConfig) -> torch.optim.Optimizer:
    """The optimizer of all that will ever be trained, also of what is still frozen in the first epochs."""
    groups = parameter_groups(classifier, config)
    return _OPTIMIZERS[config.optimizer](groups, lr=config.rate, betas=(0.9, 0.999))


def parameter_groups(classifier: Classifier, config: FinetuneConfig) -> list[dict[str, Any]]:
    """The parameters by stage, with their learning rate and weight decay.

    Weight decay is for weights; none for biases and normalisation, which it would only push off centre.

    Returns:
        Per stage that is trained a group of weights and one of the rest, where there are any; each has
        ``rate_share``: its share of the learning rate, 1 at the head.
    """
    parts = stages(classifier)
    groups: list[dict[str, Any]] = []
    for above, part in enumerate(reversed(parts)):
        if above and config.train == "head":
            break
        share = config.layer_decay**above
        for is_weight in (True, False):
            parameters = [each for each in part.parameters() if (each.ndim > 1) == is_weight]
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "lr": config.rate * share,
                        "rate_share": share,
                        "weight_decay": config.decay if is_weight else 0.0,
                    }
                )
    return groups


class RateSchedule:
    """The learning rate over the steps and epochs.

    Args:
        optimizer: of ``make_optimizer``; the rates of its groups are set.
        config: of the training.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: FinetuneConfig) -> None:
        self._optimizer = optimizer
        self._config = config
        self._plateau: ReduceLROnPlateau | None = None
        if config.schedule == "plateau":
            # torch waits for more than `patience` epochs without a gain.
            self._plateau = ReduceLROnPlateau(
                optimizer, factor=0.5, patience=config.plateau_patience - 1, threshold=0.0
            )

    def before_step(self, step: int) -> None:
        """Set the rates of a step, from 0."""
        if self._plateau is None:
            share = learning_rate_share(step, self._config.steps)
            for group in self._optimizer.param_groups:
                group["lr"] = self._config.rate * group["rate_share"] * share

    def after_epoch(self, loss: float) -> None:
        """Take note of the validation loss, or of the training loss where nothing is validated."""
        if self._plateau is not None:
            self._plateau.step(loss)

    def state_dict(self) -> dict[str, Any]:
        """What has to be known to go on; the rates themselves are the optimizer's."""
        return {} if self._plateau is None else dict(self._plateau.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        if self._plateau is not None:
            self._plateau.load_state_dict(dict(state))


def learning_rate_share(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step, from 0: a straight rise, then half a cosine down."""
    warm_up = max(1, round(steps * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    down = (step - warm_up) / max(1, steps - warm_up)
    return _LAST_RATE_SHARE + (1 - _LAST_RATE_SHARE) * (1 + math.cos(math.pi * down)) / 2


def freeze(classifier: Classifier, config: FinetuneConfig, epoch: int) -> tuple[nn.Module, ...]:
    """Freeze what is not trained in an epoch, from 1, and train the rest.

    Returns:
        The frozen parts, which have to stay in evaluation mode, or their batch norms would drift.
    """
    head_alone = config.train == "head" or (config.train == "head_first" and epoch <= config.head_epochs)
    frozen = (classifier.backbone,) if head_alone else always_frozen(classifier)
    classifier.requires_grad_(True)
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def thaws(config: FinetuneConfig, epoch: int) -> bool:
    """Whether in this epoch, from 1, more is trained than in the one before."""
    return config.train == "head_first" and epoch == config.head_epochs + 1
