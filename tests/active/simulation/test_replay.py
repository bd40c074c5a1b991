"""One strategy with one seed, from no label to the last one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vpt_plugin.acquisition.strategies import STRATEGIES, random_order
from vpt_plugin.active.simulation.head import HeadLearner
from vpt_plugin.active.simulation.replay import replay
from vpt_plugin.active.simulation.settings import SimulationSettings
from vpt_plugin.active.simulation.sides import draw_sides
from vpt_plugin.errors import ConfigurationError

MakeLearner = Callable[..., HeadLearner]
SETTINGS = SimulationSettings(batch=3, budget=12)


@dataclass(frozen=True)
class Watched:
    """A learner that notes what it is trained on and asked about."""

    learner: HeadLearner
    trained_on: list[list[int]] = field(default_factory=list)

    @property
    def studies(self) -> Any:
        return self.learner.studies

    def untrained(self) -> Any:
        return self.learner.untrained()

    def trained(self, rows: Sequence[int], seed: int) -> Any:
        self.trained_on.append(list(rows))
        return self.learner.trained(rows, seed)


def run(learner: HeadLearner, strategy: str, seed: int = 0, **facts: Any) -> tuple[Any, Any, Watched]:
    sides = draw_sides(learner.studies, seed, test_share=0.4)
    watched = Watched(learner)
    settings = facts.get("settings", SETTINGS)
    return replay(strategy, seed, sides, watched, ("lung_nodule",), settings), sides, watched


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_labels_a_batch_a_round_each_study_once_and_none_that_is_held_out(
    make_learner: MakeLearner, strategy: str
) -> None:
    rounds, sides, watched = run(make_learner(every=2), strategy)
    assert [each.labels for each in rounds] == [0, 3, 6, 9, 12]
    assert sum(rounds[-1].chosen_by.values()) == 12
    last = watched.trained_on[-1]
    assert len(set(last)) == len(last) == 12
    assert not set(last) & set(sides.test.tolist())
    assert all(set(early) < set(late) for early, late in pairwise(watched.trained_on))
    assert rounds[-1].auroc == 1.0


def test_before_both_states_are_labelled_the_auroc_is_that_of_chance(make_learner: MakeLearner) -> None:
    rounds, _, watched = run(make_learner(every=8), "random", seed=3)
    for each in rounds:
        assert each.trained == (0 < each.present["lung_nodule"] < each.labels)
        if not each.trained:
            assert each.auroc == 0.5
    assert len(watched.trained_on) == sum(each.trained for each in rounds)
    assert not rounds[1].trained


def test_random_takes_the_order_of_the_server(make_learner: MakeLearner) -> None:
    learner = make_learner()
    rounds, sides, watched = run(learner, "random", seed=5)
    order = sides.pool[random_order([learner.studies[row].study for row in sides.pool], 5)]
    assert watched.trained_on[-1] == sorted(order[:12].tolist())
    assert rounds[-1].chosen_by == {"random": 12}


def test_what_needs_probabilities_begins_as_random_does(make_learner: MakeLearner) -> None:
    learner = make_learner(every=8)
    by_chance, _, _ = run(learner, "random", seed=3)
    uncertain, _, _ = run(learner, "uncertain", seed=3)
    untrained = sum(not each.trained for each in by_chance)
    assert untrained >= 2
    assert uncertain[: untrained + 1] == by_chance[: untrained + 1]
    assert uncertain[-1].chosen_by == {"random": 3 * untrained, "uncertain": 12 - 3 * untrained}


def test_a_replay_is_the_same_again(make_learner: MakeLearner) -> None:
    for strategy in ("auto", "badge"):
        first, again = (run(make_learner(every=3, noise=0.4), strategy, seed=1)[0] for _ in range(2))
        assert first == again


def test_a_pool_smaller_than_the_budget_is_labelled_to_its_end(make_learner: MakeLearner) -> None:
    settings = SimulationSettings(batch=20, budget=100)
    rounds, sides, _ = run(make_learner(), "random", settings=settings)
    assert [each.labels for each in rounds] == [0, 20, 24] == [0, 20, len(sides.pool)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategies": ("psychic",)}, "there is no strategy 'psychic'"),
        ({"strategies": ()}, "at least one strategy"),
        ({"seeds": (1, 1)}, "a seed is named twice"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": 8, "budget": 7}, "budget must be at least the batch"),
        ({"target": 0.5}, "target must be above 0.5"),
        ({"test_share": 1.0}, "test_share must lie between 0 and 1"),
        ({"prevalence": 0.0}, "prevalence must lie between 0 and 1"),
        ({"learner": "teacher"}, "choose from head, network"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SimulationSettings(**wrong)


def test_the_pool_hides_the_labels_that_nobody_gave(
    make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def choose(name: str, pool: Any, n: int, rng: Any, **rest: Any) -> Any:
        seen.append(pool)
        return STRATEGIES_CHOOSE(name, pool, n, rng, **rest)

    from vpt_plugin.active.simulation import replay as module

    STRATEGIES_CHOOSE = module.choose  # noqa: N806
    monkeypatch.setattr(module, "choose", choose)
    run(make_learner(), "uncertain")
    for number, pool in enumerate(seen):
        assert np.isfinite(pool.states).sum() == 3 * number == pool.taken.sum() == (~pool.free).sum()
