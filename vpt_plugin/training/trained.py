"""What training rounds came to: figures, states, and the classifier that is published."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.loop_state import validation_from_state, validation_state
from vpt_plugin.training.rate_search import RateSearch
from vpt_plugin.training.validation import Validation


@dataclass(frozen=True)
class RoundResult:
    """What a round came to.

    Attributes:
        best: the validation whose network was kept.
        history: all validations, in their order.
    """

    best: Validation
    history: tuple[Validation, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, for the model card."""
        return {"best_epoch": self.best.epoch, "history": [each.to_json() for each in self.history]}

    def to_state(self) -> dict[str, Any]:
        """As tensors, numbers and words, for whoever goes on after an interruption."""
        return {
            "best_epoch": self.best.epoch,
            "history": [validation_state(each) for each in self.history],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RoundResult:
        """The result that ``to_state`` took apart."""
        history = tuple(validation_from_state(each) for each in state["history"])
        return cls(next(each for each in history if each.epoch == state["best_epoch"]), history)


@dataclass(frozen=True)
class Trained:
    """What all rounds came to.

    Attributes:
        classifier: in the state that is published.
        rounds: one result, or one per fold.
        epochs: after how many the published network was as it is.
        final_losses: with folds, of every epoch of the final training; mean over its steps.
        rate_search: by which the learning rate was chosen; None where it was given.
    """

    classifier: Classifier
    rounds: tuple[RoundResult, ...]
    epochs: int
    final_losses: tuple[float, ...] = ()
    rate_search: RateSearch | None = None

    def ran_to_the_end(self, epochs: int) -> bool:
        """Whether the last of so many epochs was the best one, in the median of the rounds."""
        return statistics.median(result.best.epoch for result in self.rounds) >= epochs > 1

    def to_json(self) -> dict[str, Any]:
        """The figures, for the model card."""
        searched = {"rate_search": self.rate_search.to_json()} if self.rate_search else {}
        if len(self.rounds) == 1:
            return searched | self.rounds[0].to_json()
        return searched | {
            "best_epoch": self.epochs,
            "folds": [result.to_json() for result in self.rounds],
            "final_losses": list(self.final_losses),
        }
