"""FinetuneConfig: every number a finetuning depends on, in one frozen place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import PRECISIONS

PARTS = ("whole", "head")


@dataclass(frozen=True)
class FinetuneConfig:
    """The configuration of a finetuning.

    The length is counted in steps, not in seconds or passes over the data, so that the same seed gives the
    same model on a slow computer and a fast one.

    Attributes:
        pretraining: where the backbone starts: one of the model's own in the catalog, or ``none``.
        train: ``whole`` network, or the ``head`` alone on a frozen backbone.
        epochs: at most; after each comes a validation.
        steps_per_epoch: optimizer steps from one validation to the next.
        batch: clips per step.
        learning_rate: highest one; it rises over the first twentieth of the steps and falls as a cosine.
            0.001 suits a head alone and ``tiny``; a pretrained network as a whole wants about 0.0001.
        weight_decay: of AdamW.
        patience: epochs without a better validation AUROC after which it stops early.
        brightness_gain, brightness_shift: how much the brightness of training clips varies, as shares of the
            HU window.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        seed: of the head's first weights, the clips and the dropout.
    """

    pretraining: str = "none"
    train: str = "whole"
    epochs: int = 10
    steps_per_epoch: int = 100
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    patience: int = 5
    brightness_gain: float = 0.1
    brightness_shift: float = 0.05
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch", "patience"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(self.batch >= 2, "batch", "at least 2, a positive and a negative clip", self.batch)
        _require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        for name in ("weight_decay", "brightness_gain", "brightness_shift", "seed"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _require(self.train in PARTS, "train", f"one of {', '.join(PARTS)}", self.train)
        _require(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}", self.precision)

    @property
    def steps(self) -> int:
        """Optimizer steps at most."""
        return self.epochs * self.steps_per_epoch

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FinetuneConfig:
        """The configuration from names and values, for example of a request.

        Raises:
            ConfigurationError: an unknown name, or a value of the wrong type or out of range.
        """
        types = get_type_hints(cls)
        if unknown := sorted(set(values) - set(types)):
            raise ConfigurationError(
                f"unknown training setting {unknown[0]!r};", f"choose from {', '.join(types)}."
            )
        checked = {name: _of_type(name, value, types[name]) for name, value in values.items()}
        return cls(**checked)

    def to_dict(self) -> dict[str, Any]:
        """Names and values, as ``from_dict`` takes them."""
        return asdict(self)


def _of_type(name: str, value: Any, wanted: type) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or isinstance(value, bool):
        kinds = {int: "a whole number", float: "a number", str: "a text"}
        _require(False, name, kinds[wanted], value)
    return value


def _require(condition: bool, name: str, wanted: str, value: Any) -> None:
    if not condition:
        raise ConfigurationError(f"training setting {name} must be {wanted}, not {value!r}.")
