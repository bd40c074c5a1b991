"""FinetuneConfig: every number a finetuning depends on, in one frozen place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args, get_type_hints

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import PRECISIONS
from vpt_plugin.training.comparison import comparison_rule
from vpt_plugin.training.metrics import threshold_rule
from vpt_plugin.training.pooling import POOLINGS

SITE_PRETRAININGS = ("ct", "kinetics+ct", "imagenet+ct")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "pretraining": ("auto", "none", "imagenet", "kinetics", *SITE_PRETRAININGS),
    "train": ("whole", "head", "head_first"),
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "plateau"),
    "augmentation": ("auto", "paper", "light", "none"),
    "pooling": tuple(POOLINGS),
    "precision": PRECISIONS,
}
_FINITE = (
    "learning_rate",
    "weight_decay",
    "layer_decay",
    "validation_share",
    "brightness_gain",
    "brightness_shift",
)
_AT_LEAST_1 = (
    "epochs",
    "steps_per_epoch",
    "batch",
    "patience",
    "head_epochs",
    "micro_batch",
    "plateau_patience",
    "bag_clips",
)
_NOT_NEGATIVE = ("weight_decay", "brightness_gain", "brightness_shift", "seed")
# AdamW's decay is taken off the weights directly; Adam's goes through its step sizes, so the paper's is tiny.
_WEIGHT_DECAYS: Mapping[str, float] = {"adamw": 1e-2, "adam": 1e-6}
# Names of folders: nothing that no disk could have.
_START = re.compile(r"[\w.+-]{1,100}_[\w.+-]{1,100}(:[1-9][0-9]{0,8})?")
_MOST = 1_000_000
# Far beyond what anybody trains with, and below what torch takes as a 32-bit number; brightness is a share.
_AT_MOST: Mapping[str, float] = {
    "learning_rate": 1e30,
    "weight_decay": 1000,
    "brightness_gain": 1,
    "brightness_shift": 1,
}
# What the generators of torch and NumPy both take, for every process of several.
_SEEDS = 2**32


@dataclass(frozen=True)
class FinetuneConfig:
    """The configuration of a finetuning.

    The length is counted in steps, not in seconds or passes over the data, so that the same seed gives the
    same model on a slow computer and a fast one.

    Attributes:
        pretraining: where the backbone starts: one of the model's own in the catalog; ``ct``,
            ``kinetics+ct`` or ``imagenet+ct``: a classifier of the site's own (``start``), which began from
            nothing, from Kinetics or from ImageNet; ``none``; or ``auto`` for the first of the catalog and
            ``none`` where it has none.
        start: with those three: which published classifier, ``<task>_<model>`` for the served version or
            ``<task>_<model>:<version>``. The same network; its head is left behind.
        train: ``whole`` network, the ``head`` alone on a frozen backbone, or ``head_first``: the head alone
            for ``head_epochs``, then the whole network.
        head_epochs: of ``head_first``.
        layer_decay: the learning rate of each stage is that of the stage after it times this; 1 is the same
            for all. Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018.
        epochs: at most; after each comes a validation.
        steps_per_epoch: optimizer steps from one validation to the next.
        batch: bags per step; a study with marked slices gives bags of one clip.
        micro_batch: clips in the network at once; the gradients of a step add up to those of its batch. None
            takes as many as fit into the device's memory. Where it is full, it is halved, and the step is
            done again with the same clips. Batch norm and dropout depend on it: give a number for the same
            result on computers with less and with more memory.
        gradient_checkpointing: compute the maps between the network's blocks a second time instead of
            keeping them: a fifth to a third slower, less memory.
        optimizer: ``adamw``, or the paper's ``adam``.
        schedule: ``cosine``: the rate rises over the first twentieth of the steps and falls as a cosine;
            or the paper's ``plateau``: it is halved when the validation loss has not improved for
            ``plateau_patience`` epochs.
        plateau_patience: of the schedule ``plateau``.
        learning_rate: the highest. None takes 0.0001 for a pretrained network as a whole, lest it forget, and
            0.001 for a head alone or a network from scratch.
        rate_search: choose the learning rate as the paper does: by short trainings on a tenth of the studies.
        weight_decay: of the optimizer. None takes 0.01 for ``adamw`` and the paper's 0.000001 for ``adam``.
        patience: epochs without a better validation AUROC after which it stops early.
        augmentation: ``paper``: AutoAugment, rotation and random crop; ``light``: random crop and brightness;
            ``none``; ``auto``: ``paper`` for a pretrained network, ``light`` for one from nothing.
        brightness_gain, brightness_shift: how much ``light`` varies the brightness of training clips, as
            shares of the HU window.
        bag_clips: clips that are drawn from a study of which only the study is labelled.
        pooling: how their logits become the study's: see ``vpt_plugin.training.pooling``.
        folds: 0: one validation side; 2 to 10: every study is validated once, by a network that never saw it.
            None: 5 under 100 labelled studies where no sides are given, else 0.
        validation_share: share of the patients on the validation side, where no sides are given.
        threshold: the rule that chooses the threshold (``vpt_plugin.training.metrics.threshold_rule``); ""
            takes the task's.
        comparison: the rule by which the new version has to beat the served one
            (``vpt_plugin.training.comparison.RULES``).
        precision: ``auto``, ``float32`` or ``bfloat16``.
        seed: of the head's first weights, the clips, the sides and the dropout.
    """

    pretraining: str = "auto"
    start: str = ""
    train: str = "whole"
    head_epochs: int = 2
    layer_decay: float = 1.0
    epochs: int = 10
    steps_per_epoch: int = 100
    batch: int = 16
    micro_batch: int | None = None
    gradient_checkpointing: bool = False
    optimizer: str = "adamw"
    schedule: str = "cosine"
    plateau_patience: int = 5
    learning_rate: float | None = None
    rate_search: bool = False
    weight_decay: float | None = None
    patience: int = 5
    augmentation: str = "auto"
    brightness_gain: float = 0.1
    brightness_shift: float = 0.05
    bag_clips: int = 4
    pooling: str = "mean"
    folds: int | None = None
    validation_share: float = 0.15
    threshold: str = ""
    comparison: str = "better"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_numbers()
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(value in choices, name, f"one of {', '.join(choices)}", value)
        self._check_start()
        _require(
            self.train != "head_first" or self.head_epochs < self.epochs,
            "head_epochs", f"less than the {self.epochs} epochs", self.head_epochs,
        )  # fmt: skip
        if self.rate_search and self.learning_rate is not None:
            raise ConfigurationError(
                "training settings learning_rate and rate_search exclude each other.",
                "Leave one of them out.",
            )
        if self.threshold:
            threshold_rule(self.threshold)
        comparison_rule(self.comparison)

    def _check_numbers(self) -> None:
        for name in _FINITE:
            value = getattr(self, name)
            _require(value is None or math.isfinite(value), name, "a finite number", value)
        for name in _AT_LEAST_1:
            value = getattr(self, name)
            _require(value is None or value >= 1, name, "at least 1", value)
            _require(value is None or value <= _MOST, name, f"at most {_MOST}", value)
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            _require(value is None or value >= 0, name, "at least 0", value)
        for name, most in _AT_MOST.items():
            value = getattr(self, name)
            _require(value is None or value <= most, name, f"at most {most}", value)
        _require(self.seed < _SEEDS, "seed", f"below {_SEEDS}", self.seed)
        _require(self.batch >= 2, "batch", "at least 2, a positive and a negative clip", self.batch)
        _require(self.rate > 0, "learning_rate", "above 0", self.learning_rate)
        _require(0 < self.layer_decay <= 1, "layer_decay", "above 0 and at most 1", self.layer_decay)
        share = self.validation_share
        _require(0 < share < 1, "validation_share", "above 0 and below 1", share)
        _require(self.folds in (None, 0, *range(2, 11)), "folds", "0, or from 2 to 10", self.folds)

    def _check_start(self) -> None:
        if self.pretraining in SITE_PRETRAININGS:
            wanted = "<task>_<model> or <task>_<model>:<version>, a published classifier to start from"
            _require(_START.fullmatch(self.start) is not None, "start", wanted, self.start)
        else:
            if self.start:
                raise ConfigurationError(
                    f"training setting start is {self.start!r}, but pretraining is {self.pretraining}.",
                    "Set pretraining to ct (--pretraining ct), or to kinetics+ct or imagenet+ct where that "
                    "one began from Kinetics or ImageNet; or leave start out.",
                )

    @property
    def steps(self) -> int:
        """Optimizer steps at most."""
        return self.epochs * self.steps_per_epoch

    @property
    def rate(self) -> float:
        """The highest learning rate: the one given, or the one that suits what is trained."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-4 if self.train != "head" and self.pretraining != "none" else 1e-3

    @property
    def decay(self) -> float:
        """The weight decay: the one given, or the one that suits the optimizer."""
        return _WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay

    def settled(self, published: Iterable[str]) -> FinetuneConfig:
        """The same with nothing left to be chosen but what the data, the memory or a search will choose.

        Args:
            published: the pretrainings that the model has, the preferred one first.
        """
        if self.pretraining == "auto":
            return replace(self, pretraining=next(iter(published), "none")).settled(published)
        augmentation = self.augmentation
        if augmentation == "auto":
            augmentation = "light" if self.pretraining == "none" else "paper"
        return replace(
            self,
            learning_rate=None if self.rate_search else self.rate,
            weight_decay=self.decay,
            augmentation=augmentation,
        )

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


def require_setting(name: str, value: Any) -> None:
    """Refuse a setting that there is not, or a value of the wrong kind or none of the choices.

    Raises:
        ConfigurationError: names the choices; what depends on other settings is not looked at.
    """
    hints = get_type_hints(FinetuneConfig)
    if name not in hints:
        raise ConfigurationError(f"unknown training setting {name!r};", f"choose from {', '.join(hints)}.")
    # YAML reads the words off, no, on and yes as truth values.
    if isinstance(value, bool) and bool not in (get_args(hints[name]) or (hints[name],)):
        meant = f"one of {', '.join(_CHOICES[name])}" if name in _CHOICES else "no truth value"
        raise ConfigurationError(
            f"training setting {name} must be {meant}, not {value!r}.",
            'YAML reads off, no, on and yes so; where such a word is meant, quote it: "off".',
        )
    value = _of_type(name, value, hints[name])
    if name in _CHOICES:
        _require(value in _CHOICES[name], name, f"one of {', '.join(_CHOICES[name])}", value)


def _of_type(name: str, value: Any, hint: Any) -> Any:
    wanted = get_args(hint) or (hint,)
    if float in wanted and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            _require(False, name, "a finite number", value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        kinds = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        _require(False, name, kinds[wanted[0]], value)
    return value


def _require(condition: bool, name: str, wanted: str, value: Any) -> None:
    if not condition:
        raise ConfigurationError(f"training setting {name} must be {wanted}, not {value!r}.")
