"""Who is held out in a simulation, and who may be chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vpt_plugin.active.simulation.head import HeadLearner
from vpt_plugin.active.simulation.sides import draw_sides
from vpt_plugin.errors import TrainingError

MakeLearner = Callable[..., HeadLearner]


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_on_both_sides_and_both_groups_give_their_share(
    make_learner: MakeLearner, seed: int
) -> None:
    # 40 studies of 20 patients, two each; every second patient has the finding in one of the two.
    studies = make_learner().studies
    sides = draw_sides(studies, seed, test_share=0.4)
    of = [{studies[row].patient for row in rows} for rows in (sides.pool, sides.test)]
    assert not of[0] & of[1]
    assert (len(sides.pool), len(sides.test)) == (24, 16)
    assert sum(studies[row].states[0] for row in sides.test) == 4
    assert sorted([*sides.pool, *sides.test]) == list(range(40))


def test_a_seed_draws_the_same_sides_again_and_another_seed_others(make_learner: MakeLearner) -> None:
    studies = make_learner().studies
    first, again, other = (draw_sides(studies, seed, test_share=0.4) for seed in (1, 1, 2))
    assert first.test.tolist() == again.test.tolist() != other.test.tolist()


@pytest.mark.parametrize(
    ("prevalence", "present", "absent"),
    [
        (0.1, 2, 18),  # of 6 with the finding 4 are left out: 18 * 0.1 / 0.9
        (0.5, 6, 6),  # and here 12 of those without it
    ],
)
def test_studies_of_one_state_are_left_out_until_the_finding_is_as_rare_as_asked(
    make_learner: MakeLearner, prevalence: float, present: int, absent: int
) -> None:
    studies = make_learner().studies
    sides = draw_sides(studies, 0, test_share=0.4, prevalence=prevalence)
    states = np.array([studies[row].states[0] for row in sides.pool])
    assert ((states == 1).sum(), (states == 0).sum()) == (present, absent)
    assert len(sides.test) == 16


def test_a_side_without_one_of_the_states_is_refused_with_the_way_out(make_learner: MakeLearner) -> None:
    # One patient of twenty has the finding, and a fifth of one is none to hold out.
    studies = make_learner(every=40).studies
    with pytest.raises(TrainingError, match="8 are held out, and of some finding one state is missing"):
        draw_sides(studies, 0, test_share=0.2)


def test_a_side_without_any_study_is_refused_like_one_without_a_state(make_learner: MakeLearner) -> None:
    with pytest.raises(TrainingError, match=r"0 are held out.*\(0 present, 0 absent\)"):
        draw_sides(make_learner().studies, 0, test_share=0.01)
