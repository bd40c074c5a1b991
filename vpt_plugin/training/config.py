"""FinetuneConfig: every number a finetuning depends on, in one frozen place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args, get_type_hints

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import PRECISIONS

PARTS = ("whole", "head")


@dataclass(frozen=True)
class FinetuneConfig:
    """The configuration of a finetuning.

    The length is counted in steps, not in seconds or passes over the data, so that the same seed gives the
    same model on a slow computer and a fast one.

    Attributes:
        pretraining: where the backbone starts: one of the model's own in the catalog, ``none``, or ``auto``
            for the first of its own and ``none`` where it has none.
        train: ``whole`` network, or the ``head`` alone on a frozen backbone.
        epochs: at most; after each comes a validation.
        steps_per_epoch: optimizer steps from one validation to the next.
        batch: clips per step.
        learning_rate: the highest; it rises over the first twentieth of the steps and falls as a cosine. None
            takes 0.0001 for a pretrained network as a whole, lest it forget, and 0.001 for a head alone or a
            network from scratch.
        weight_decay: of AdamW.
        patience: epochs without a better validation AUROC after which it stops early.
        brightness_gain, brightness_shift: how much the brightness of training clips varies, as shares of the
            HU window.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        seed: of the head's first weights, the clips and the dropout.
    """

    pretraining: str = "auto"
    train: str = "whole"
    epochs: int = 10
    steps_per_epoch: int = 100
    batch: int = 16
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    patience: int = 5
    brightness_gain: float = 0.1
    brightness_shift: float = 0.05
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay", "brightness_gain", "brightness_shift"):
            value = getattr(self, name)
            _require(value is None or math.isfinite(value), name, "a finite number", value)
        for name in ("epochs", "steps_per_epoch", "batch", "patience"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(self.batch >= 2, "batch", "at least 2, a positive and a negative clip", self.batch)
        _require(self.rate > 0, "learning_rate", "above 0", self.learning_rate)
        for name in ("weight_decay", "brightness_gain", "brightness_shift", "seed"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _require(self.train in PARTS, "train", f"one of {', '.join(PARTS)}", self.train)
        _require(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}", self.precision)

    @property
    def steps(self) -> int:
        """Optimizer steps at most."""
        return self.epochs * self.steps_per_epoch

    @property
    def rate(self) -> float:
        """The highest learning rate: the one given, or the one that suits what is trained."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-4 if self.train == "whole" and self.pretraining != "none" else 1e-3

    def settled(self, published: Iterable[str]) -> FinetuneConfig:
        """The same with nothing left to be chosen.

        Args:
            published: the pretrainings that the model has, the preferred one first.
        """
        if self.pretraining == "auto":
            return replace(self, pretraining=next(iter(published), "none")).settled(published)
        return replace(self, learning_rate=self.rate)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FinetuneConfig:
        """The configuration from names and values, for example of a request.

        Raises:
            ConfigurationError: an unknown name, or a value of the wrong type or out of range.
        """
        hints = get_type_hints(cls)
        if unknown := sorted(set(values) - set(hints)):
            raise ConfigurationError(
                f"unknown training setting {unknown[0]!r};", f"choose from {', '.join(hints)}."
            )
        return cls(**{name: _of_type(name, value, hints[name]) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Names and values, as ``from_dict`` takes them."""
        return asdict(self)


def _of_type(name: str, value: Any, hint: Any) -> Any:
    wanted = get_args(hint) or (hint,)
    if float in wanted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or isinstance(value, bool):
        kinds = {int: "a whole number", float: "a number", str: "a text"}
        _require(False, name, kinds[wanted[0]], value)
    return value


def _require(condition: bool, name: str, wanted: str, value: Any) -> None:
    if not condition:
        raise ConfigurationError(f"training setting {name} must be {wanted}, not {value!r}.")
