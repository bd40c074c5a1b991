"""What holds for every strategy, and for all of them by ``choose``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpt_plugin.acquisition.pool import Pool
from vpt_plugin.acquisition.strategies import MAX_PICKS, STRATEGIES, AutoSettings, Geometry, choose
from vpt_plugin.errors import ConfigurationError

NewPool = Callable[..., Pool]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Small pools of every kind: alike studies, few features, unscored rows, one finding or two."""
    count, features, findings = draw(st.integers(1, 30)), draw(st.integers(1, 5)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    embeddings = rng.integers(-draw(st.integers(0, 3)), 4, size=(count, features)).astype(np.float32)
    probabilities = rng.choice([0.0, 0.02, 0.5, 0.9, 1.0], size=(count, findings))
    disagreement = rng.choice([0.0, 0.2, np.nan], size=(count, findings))
    states = rng.choice([0.0, 1.0, np.nan], size=(count, findings))
    unscored = rng.random(count) < draw(st.sampled_from([0.0, 0.3]))
    embeddings[unscored], probabilities[unscored] = np.nan, np.nan
    kind = rng.integers(3, size=count)  # free, taken, neither
    states[kind != 1] = np.nan
    names = tuple(f"f{number}" for number in range(findings))
    studies = tuple(f"s{row}" for row in range(count))
    return Pool(
        studies, names, embeddings, embeddings, probabilities, disagreement, states, kind == 0, kind == 1
    )


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=40, deadline=None)
@given(pool=pools(), n=st.integers(1, 35), seed=st.integers(0, 99))
def test_every_strategy_gives_free_studies_once_each_and_as_many_as_there_are(
    name: str, pool: Pool, n: int, seed: int
) -> None:
    able = (
        pool.free if STRATEGIES[name].needs == "nothing" else pool.free & np.isfinite(pool.embeddings[:, 0])
    )
    if not able.any():
        if pool.free.any():
            with pytest.raises(ConfigurationError):
                choose(name, pool, n, np.random.default_rng(seed))
        return

    choices = choose(name, pool, n, np.random.default_rng(seed), seed=seed)

    rows = [choice.row for choice in choices]
    assert len(set(rows)) == len(rows) == min(n, able.sum())
    assert able[rows].all()
    assert np.isfinite([choice.score for choice in choices]).all()
    assert all(choice.why.endswith(".") and choice.strategy in STRATEGIES for choice in choices)
    assert choices == choose(name, pool, n, np.random.default_rng(seed), seed=seed)


@settings(max_examples=60, deadline=None)
@given(pool=pools())
def test_the_nearest_labelled_study_is_labelled_and_none_is_nearer(pool: Pool) -> None:
    scored = np.isfinite(pool.embeddings[:, 0])
    labelled = np.flatnonzero(np.isfinite(pool.states).any(axis=1) & scored)
    geometry = Geometry(pool.embeddings, pool.key_embeddings)
    for choice in choose("random", pool, 30, np.random.default_rng(0), geometry=geometry):
        if not len(labelled) or not scored[choice.row]:
            assert choice.nearest_labelled is None
            assert choice.nearest_distance is None
            continue
        points = geometry.whole.points
        distances = np.linalg.norm(points[labelled] - points[choice.row], axis=1)
        assert choice.nearest_labelled in labelled
        assert choice.nearest_distance == pytest.approx(distances.min(), abs=1e-5)


def test_studies_of_which_only_another_finding_is_known_are_not_labelled_for_this_one(
    new_pool: NewPool,
) -> None:
    states = [[np.nan, np.nan], [1, np.nan], [np.nan, 0]]
    pool = new_pool([[0.0], [1.0], [5.0]], states=states, taken=[1, 2], findings=("nodule", "effusion"))
    [choice] = choose("random", pool, 1, np.random.default_rng(0), finding="effusion")
    assert choice.nearest_labelled == 2
    [choice] = choose("random", pool, 1, np.random.default_rng(0))
    assert choice.nearest_labelled == 1


def test_auto_comes_first_since_clients_take_the_first_as_their_default() -> None:
    assert list(STRATEGIES) == ["auto", "random", "typical", "uncertain", "diverse-uncertain", "badge"]
    assert all(spec.name == name and spec.title for name, spec in STRATEGIES.items())
    assert all(len(spec.description) <= 110 and "\n" not in spec.description for spec in STRATEGIES.values())


@pytest.mark.parametrize(
    ("name", "n", "finding", "said"),
    [
        ("first", 1, "", "There is no strategy 'first'. Choose from auto, random, typical, uncertain,"),
        ("auto", 0, "", "0 studies were asked for; it must be 1 to 1000"),
        ("auto", MAX_PICKS + 1, "", "1001 studies were asked for"),
        ("auto", 1, "pe", "The task has no finding 'pe'. Choose from nodule."),
    ],
)
def test_a_wrong_question_names_the_right_ones(
    new_pool: NewPool, name: str, n: int, finding: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        choose(name, new_pool(np.eye(3)), n, np.random.default_rng(0), finding=finding)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["uncertain", "diverse-uncertain", "badge"])
def test_without_a_trained_network_strategies_that_ask_it_say_what_to_ask_for(
    new_pool: NewPool, name: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        choose(name, new_pool(np.eye(3)), 1, np.random.default_rng(0))
    assert f"'{name}' needs a trained network's probabilities" in raised.value.message
    assert "'auto', 'typical' or 'random'" in raised.value.hint


def test_before_anything_is_scored_only_auto_and_random_choose(new_pool: NewPool) -> None:
    pool = new_pool(np.zeros((5, 0)))
    for name in ("auto", "random"):
        assert len(choose(name, pool, 3, np.random.default_rng(0))) == 3
    with pytest.raises(ConfigurationError, match="none of those to choose from is scored yet"):
        choose("typical", pool, 3, np.random.default_rng(0))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_pool_with_nothing_free_gives_nothing(new_pool: NewPool, name: str) -> None:
    assert choose(name, new_pool(np.eye(3), taken=[0, 1], closed=[2]), 1, np.random.default_rng(0)) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_geometry_that_was_kept_gives_the_same_choices(
    new_pool: NewPool, four_groups: np.ndarray, name: str
) -> None:
    pool = new_pool(four_groups, probabilities=np.linspace(0.01, 0.6, 80), states=np.arange(80) % 2)
    geometry = Geometry(pool.embeddings, pool.key_embeddings)
    for taken in (0, 5):
        states = np.where(np.arange(80) < taken, pool.states[:, 0], np.nan)[:, None]
        now = replace(pool, states=states, free=np.arange(80) >= taken, taken=np.arange(80) < taken)
        kept = choose(name, now, 6, np.random.default_rng(1), geometry=geometry)
        assert kept == choose(name, now, 6, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("values", "said"),
    [({"min_each": -1}, "min_each is -1"), ({"random_share": 1.5}, "random_share is 1.5"),
     ({"random_share": float("nan")}, "random_share is nan")],
)  # fmt: skip
def test_settings_of_auto_out_of_their_range_are_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AutoSettings(**values)
