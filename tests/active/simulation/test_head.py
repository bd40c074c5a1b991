"""The head alone, on features that stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from vpt_plugin.active.simulation.head import HeadLearner
from vpt_plugin.active.simulation.learners import clip_answers, study_means

MakeLearner = Callable[..., HeadLearner]


@pytest.mark.parametrize("marked", [True, False])
def test_a_finding_in_one_feature_is_learned_with_and_without_marked_slices(
    make_learner: MakeLearner, marked: bool
) -> None:
    learner = make_learner(marked=marked)
    answers = learner.trained(range(20), seed=0).answers(range(20, 40))
    assert answers.probabilities is not None
    shown = np.arange(20, 40) % 4 == 0
    assert answers.probabilities[shown].min() > answers.probabilities[~shown].max()


def test_clips_with_the_finding_count_as_much_as_all_others_together(make_learner: MakeLearner) -> None:
    # 5 clips with it and 35 without: unweighted, a clip half way between the two would be called negative.
    learner = make_learner()
    head = learner.trained(range(20), seed=0)
    logits = head.scaling(np.array([[0.5, 0.0, 0.0]])) @ head.weights + head.biases
    assert expit(logits)[0, 0] == pytest.approx(0.5, abs=0.1)


def test_what_is_said_of_a_study_comes_from_its_clips() -> None:
    features = np.array([[1.0, 0.0], [3.0, 4.0], [5.0, 6.0]])
    logits = np.array([[2.0], [-2.0], [0.0]])
    answers = clip_answers(features, logits, np.array([0, 0, 1]), "max")
    assert answers.embeddings.tolist() == [[2.0, 2.0], [5.0, 6.0]]
    assert answers.key_embeddings.tolist() == [[1.0, 0.0], [5.0, 6.0]]
    assert answers.probabilities is not None
    assert answers.disagreement is not None
    assert answers.probabilities[:, 0] == pytest.approx([expit(2), 0.5])
    assert answers.disagreement[:, 0] == pytest.approx([expit(2) - 0.5, 0])


def test_before_the_first_label_there_are_the_features_of_a_network_that_learned_something(
    make_learner: MakeLearner,
) -> None:
    learner = make_learner()
    answers = learner.untrained().answers([3, 1])
    assert answers.probabilities is None
    assert answers.disagreement is None
    assert answers.embeddings[1] == pytest.approx(study_means(*learner.features.of([1]))[0])


def test_before_the_first_label_image_statistics_stand_for_random_weights(make_learner: MakeLearner) -> None:
    learner = make_learner(untaught=True)
    assert learner.features.images is not None
    assert learner.untrained().answers([3, 1]).embeddings.tolist() == learner.features.images[[3, 1]].tolist()
