"""Studies that exist as features only: two clips each, the second one shows what there is to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.active.simulation.features import FrozenFeatures
from vpt_plugin.active.simulation.head import HeadLearner
from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudy

MakeLearner = Callable[..., HeadLearner]


@pytest.fixture(scope="session")
def make_learner() -> MakeLearner:
    """``make_learner(studies=40, every=4, marked=True, noise=0.0)``: every fourth study shows the finding."""

    def make(
        *, studies: int = 40, every: int = 4, marked: bool = True, noise: float = 0.0, untaught: bool = False
    ) -> HeadLearner:
        rng = np.random.default_rng(0)
        facts = StudyFacts(*[0.0] * 12)
        prepared = PreparedStudy(Path("nowhere"), np.arange(16.0), facts)
        made, values, states = [], [], []
        for number in range(studies):
            shown = number % every == 0
            clips = rng.normal(0, 1, (2, 3))
            clips[:, 0] = noise * clips[:, 0]
            clips[1, 0] += shown
            values.append(clips)
            known = [[0.0], [1.0]] if marked else [[np.nan], [np.nan]]
            states.append(np.array(known) if shown else np.zeros((2, 1)))
            positive = np.zeros((16, 1), dtype=bool)
            positive[8:] = shown and marked
            made.append(
                LabelledStudy(
                    f"study-{number:03d}", prepared, np.array([float(shown)]), positive,
                    np.array([marked or not shown]), f"patient-{number // 2:03d}",
                )
            )  # fmt: skip
        images = rng.normal(0, 1, (studies, 4)) if untaught else None
        return HeadLearner(made, FrozenFeatures(values, images, states), "max")

    return make
