"""What training rounds came to: figures, states, and the classifier that is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.loop_state import validation_from_state, validation_state
from vpt_plugin.training.rate_search import RateSearch
from vpt_plugin.training.validation import Validation


@dataclass(frozen=True)
class RoundResult:
    """What a round came to.

    Attributes:
        best: the validation whose network was kept; with folds, that after the epoch at which the fold is
            measured.
        history: all validations, in their order.
        micro_batch: clips that went through the network at once in the last steps; None where nobody knows.
    """

    best: Validation
    history: tuple[Validation, ...]
    micro_batch: int | None = None

    def at(self, epoch: int) -> RoundResult:
        """The same round, measured after that epoch.

        Raises:
            ValueError: it was not validated then.
        """
        for each in self.history:
            if each.epoch == epoch:
                return replace(self, best=each)
        raise ValueError(f"there was no validation after epoch {epoch}")

    def to_json(self) -> dict[str, Any]:
        """The figures, for the model card."""
        return {
            "best_epoch": self.best.epoch,
            "history": [each.to_json() for each in self.history],
            "micro_batch": self.micro_batch,
        }

    def to_state(self) -> dict[str, Any]:
        """As tensors, numbers and words, for whoever goes on after an interruption."""
        return {
            "best_epoch": self.best.epoch,
            "history": [validation_state(each) for each in self.history],
            "micro_batch": self.micro_batch,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RoundResult:
        """The result that ``to_state`` took apart."""
        history = tuple(validation_from_state(each) for each in state["history"])
        # A round that was finished by an earlier version does not say how many clips went at once.
        return cls(history[0], history, state.get("micro_batch")).at(state["best_epoch"])


def common_epoch(folds: Sequence[RoundResult]) -> int:
    """The epoch that suits all folds: for so many all studies are trained on.

    Of the epochs that every fold came to, the one of the highest mean AUROC; between equals, the lowest mean
    log loss.
    """
    reached = min(len(fold.history) for fold in folds)
    return _best_epoch(folds, reached)


def measured(folds: Sequence[RoundResult]) -> tuple[RoundResult, ...]:
    """Each fold after the epoch that suits the other folds: its own studies have no say in it.

    Chosen and measured on the same few studies, chance looks like knowledge. Of networks that know nothing,
    over 20 studies in five folds and the best of ten epochs (whose answers are correlated by 0.7 from one to
    the next; 400 drawn trainings), the AUROC comes to 0.79 where each fold takes its own best epoch, to 0.64
    where all take one, and to 0.49 where each takes that of the others; over 80 studies to 0.67, 0.57 and
    0.50. Of networks that do know something, with an AUROC of 0.80, over 20 to 0.94, 0.89 and 0.80.

    Source: Cawley & Talbot, JMLR 2010, on choosing and measuring by the same studies.
    """
    reached = min(len(fold.history) for fold in folds)
    others = [[other for other in folds if other is not fold] for fold in folds]
    return tuple(fold.at(_best_epoch(rest, reached)) for fold, rest in zip(folds, others, strict=True))


def _best_epoch(folds: Sequence[RoundResult], reached: int) -> int:
    """Of the first epochs, the one of the highest mean AUROC over the folds, then the lowest log loss."""
    means = []
    for column in zip(*(fold.history[:reached] for fold in folds), strict=True):
        auroc, loss = fmean(each.auroc for each in column), fmean(each.log_loss for each in column)
        means.append((auroc, -loss))
    return folds[0].history[means.index(max(means))].epoch


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
        """Whether the last of so many epochs was the best one."""
        return self.epochs >= epochs > 1

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
