"""SimulationSettings: what is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from vpt_plugin.acquisition.strategies import STRATEGIES, AutoSettings
from vpt_plugin.errors import ConfigurationError

BASELINE = "random"
LearnerName = Literal["head", "network"]


@dataclass(frozen=True)
class SimulationSettings:
    """What is simulated; each strategy with each seed is one replay.

    Attributes:
        strategies: names of ``vpt_plugin.acquisition.strategies.STRATEGIES``.
        seeds: of the held-out patients, of what is drawn, and of the trainings; strategies of one seed have
            the same patients held out.
        batch: labels per round; after each the learner learns anew.
        budget: labels in all.
        target: the AUROC of which is told how many labels it takes to reach and keep it.
        learner: ``head``: the head alone on frozen features; ``network``: the whole network is finetuned.
        test_share: of the patients of each state, to measure on; they are never chosen.
        prevalence: studies of one of the states are taken out of those to choose from, drawn at random, until
            this share of them shows a finding; None leaves them as they are.
        auto: of the strategy ``auto``.

    Raises:
        ConfigurationError: an unknown strategy or learner, none at all, or a number out of range.
    """

    strategies: Sequence[str] = tuple(STRATEGIES)
    seeds: Sequence[int] = tuple(range(5))
    batch: int = 8
    budget: int = 64
    target: float = 0.9
    learner: str = "head"
    test_share: float = 0.4
    prevalence: float | None = None
    auto: AutoSettings = field(default_factory=AutoSettings)

    def __post_init__(self) -> None:
        for name in self.strategies:
            if name not in STRATEGIES:
                raise ConfigurationError(
                    f"there is no strategy {name!r};", f"choose from {', '.join(STRATEGIES)}."
                )
        for what, each in (("strategy", self.strategies), ("seed", self.seeds)):
            _require(len(each) > 0, f"at least one {what} must be given.")
            _require(len(set(each)) == len(each), f"a {what} is named twice.")
        _require(min(self.seeds) >= 0, "seeds must be 0 or more.")
        _require(self.batch >= 1, f"batch must be at least 1, not {self.batch}.")
        _require(self.budget >= self.batch, f"budget must be at least the batch, not {self.budget}.")
        _require(0.5 < self.target <= 1, f"target must be above 0.5 and up to 1, not {self.target:g}.")
        _require(0 < self.test_share < 1, f"test_share must lie between 0 and 1, not {self.test_share:g}.")
        rare = self.prevalence
        _require(rare is None or 0 < rare < 1, f"prevalence must lie between 0 and 1, not {rare}.")
        names = get_args(LearnerName)
        _require(
            self.learner in names, f"there is no learner {self.learner!r}; choose from {', '.join(names)}."
        )

    def replay_facts(self) -> dict[str, Any]:
        """All that one replay depends on besides its strategy and its seed, as JSON."""
        return {
            "batch": self.batch,
            "budget": self.budget,
            "learner": self.learner,
            "test_share": self.test_share,
            "prevalence": self.prevalence,
            "auto": [self.auto.min_each, self.auto.random_share],
        }


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(otherwise)
