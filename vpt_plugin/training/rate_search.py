"""The paper's search for the learning rate: {1e-1 ... 1e-5}, by short trainings on a tenth of the studies.

Ke et al., Video Pretraining Advances 3D Deep Learning on Chest CT Tasks, PMLR 227 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.splits import divide
from vpt_plugin.errors import DivergedError, TrainingError
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.validation import Validation

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_SHARE = 0.1
# Of the training side's patients, held out for the search: its own validation side would count later.
_HELD_OUT = 1 / 3
# A tenth of a small site's studies would be a handful, and its AUROC chance.
_LEAST_PER_STATE = 8
_EPOCHS = 3
_LEAST_STEPS = 10

# Trains on some studies and validates on others; None where the loss was no longer a number.
TryOut = Callable[[FinetuneConfig, Sequence[LabelledStudy], Sequence[LabelledStudy]], Validation | None]


@dataclass(frozen=True)
class TriedRate:
    """A learning rate and the best validation of a short training with it; nan where that diverged."""

    rate: float
    auroc: float
    log_loss: float


@dataclass(frozen=True)
class RateSearch:
    """What was tried.

    Attributes:
        tried: the rates in the order of ``RATES``.
        train, validation: numbers of studies that each training learned from and was validated on.
        steps: of each training.
    """

    tried: tuple[TriedRate, ...]
    train: int
    validation: int
    steps: int

    @property
    def chosen(self) -> float:
        """The rate with the highest AUROC, and of equal ones with the lowest loss.

        Raises:
            DivergedError: no rate kept the loss a number.
        """
        kept = [each for each in self.tried if not math.isnan(each.auroc)]
        if not kept:
            raise DivergedError(
                "no learning rate that was tried kept the loss a number; nothing was published.",
                "Try precision float32, and look at the studies with vpt studies.",
            )
        return max(kept, key=lambda each: (each.auroc, -each.log_loss)).rate

    def to_json(self) -> dict[str, Any]:
        """For the model card; the AUROC of a rate that diverged is null."""
        tried = [{name: _or_null(value) for name, value in asdict(each).items()} for each in self.tried]
        return {**asdict(self), "tried": tried, "chosen": self.chosen}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RateSearch:
        """The search that ``to_json`` wrote down."""
        tried = tuple(
            TriedRate(**{name: math.nan if value is None else value for name, value in each.items()})
            for each in data["tried"]
        )
        return cls(tried, data["train"], data["validation"], data["steps"])


def search_rate(
    config: FinetuneConfig,
    train: Sequence[LabelledStudy],
    validation: Sequence[LabelledStudy],
    try_out: TryOut,
    *,
    told: Callable[[str], None] = lambda note: None,
) -> RateSearch:
    """Try every rate on a tenth of the studies, a tenth of the steps each.

    Args:
        config: of the training that the rate is for.
        train, validation: as of ``search_sides``.
        try_out: does a short training.
        told: what came out of every rate.

    Raises:
        DivergedError: no rate kept the loss a number.
    """
    short = short_config(config)
    few, few_validated = a_tenth(train, config.seed), a_tenth(validation, config.seed)
    tried = []
    for rate in RATES:
        found = try_out(replace(short, learning_rate=rate), few, few_validated)
        tried.append(
            TriedRate(rate, found.auroc if found else math.nan, found.log_loss if found else math.nan)
        )
        figure = f"AUROC {found.auroc:.3f}, log loss {found.log_loss:.3f}" if found else "the loss diverged"
        told(f"learning rate {rate:g}: {figure}")
    search = RateSearch(tuple(tried), len(few), len(few_validated), short.steps)
    told(f"learning rate {search.chosen:g} is taken")
    return search


def search_sides(
    studies: Sequence[LabelledStudy],
) -> tuple[tuple[LabelledStudy, ...], tuple[LabelledStudy, ...]]:
    """What a search learns from and is validated on: two parts of a training side, divided by patient.

    The validation side is left alone: what chose the rate would flatter the figures.

    Args:
        studies: of the training side.

    Returns:
        Two thirds and a third of the patients, by hash, with a share of every state of every finding; in the
        order in which they came.

    Raises:
        TrainingError: a state is not on both parts.
    """
    strata: dict[str, set[str]] = {}
    for study in studies:
        strata.setdefault(study.patient, set()).update(_states(study))
    parts = divide(strata, {"learned": 1 - _HELD_OUT, "held out": _HELD_OUT})
    sides = [tuple(s for s in studies if parts[s.patient] == part) for part in ("learned", "held out")]
    learned, held_out = ({state for study in side for state in _states(study)} for side in sides)
    if learned != held_out:
        raise TrainingError(
            "the search for a learning rate needs two patients of each state on the training side.",
            "Give learning_rate instead, or label more studies.",
        )
    return sides[0], sides[1]


def _states(study: LabelledStudy) -> set[str]:
    return {f"{index}={state:g}" for index, state in enumerate(study.states) if not math.isnan(state)}


def short_config(config: FinetuneConfig) -> FinetuneConfig:
    """A tenth of a training's steps, in at most three epochs; all that is ever trained is trained at once."""
    steps = max(_LEAST_STEPS, math.ceil(_SHARE * config.steps))
    epochs = min(_EPOCHS, config.epochs)
    return replace(
        config,
        rate_search=False,
        train="head" if config.train == "head" else "whole",
        epochs=epochs,
        steps_per_epoch=math.ceil(steps / epochs),
        patience=epochs,
    )


def a_tenth(studies: Sequence[LabelledStudy], seed: int) -> tuple[LabelledStudy, ...]:
    """A tenth of the studies of each state of each finding, but no fewer than eight where there are so many.

    Args:
        studies: to choose from.
        seed: of the choice.

    Returns:
        In the order in which they came.
    """
    order = np.random.default_rng((seed, len(studies))).permutation(len(studies))
    chosen: set[int] = set()
    for finding in range(len(studies[0].states)):
        for state in (1.0, 0.0):
            of_state = [int(number) for number in order if studies[number].states[finding] == state]
            chosen.update(of_state[: max(_LEAST_PER_STATE, math.ceil(_SHARE * len(of_state)))])
    return tuple(study for number, study in enumerate(studies) if number in chosen)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
