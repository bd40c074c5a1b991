"""A site with 10,000 scored studies: a pick takes less than a second, and the scores are read once."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from made_up_site import MadeUpSite

from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.active.offers import Wish
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.score_shard import StudyScore
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.active.worklist import Worklist

STUDIES, FEATURES, LABELLED = 10_000, 512, 200


@pytest.fixture
def worklist(make_site: Callable[..., MadeUpSite], monkeypatch: pytest.MonkeyPatch) -> Worklist:
    """Scored by a version, with labels of both states; its scores can be read a single time."""
    site = make_site([f"p{number:05d}" for number in range(STUDIES)])
    by, rng = site.publish(), np.random.default_rng(0)
    embeddings = rng.normal(size=(STUDIES, FEATURES)).astype(np.float32)
    probabilities = rng.random((STUDIES, 1))
    rows = [
        StudyScore(study, "1", vector, vector, probability, np.array([0.1]))
        for study, vector, probability in zip(site.studies.listed, embeddings, probabilities, strict=True)
    ]
    folder = ScoreFolder(scores_root(site.models.root, site.studies), by)
    with folder.scoring():
        folder.begin(STUDIES)
        folder.add(rows, [])
        folder.end()
    for place in range(LABELLED):
        site.label(site.studies.listed[place * 7], ("present", "absent")[place % 2])
    read, reads = ScoreFolder.read, iter([None])

    def read_once(folder: ScoreFolder) -> object:
        next(reads)  # a second time raises StopIteration
        return read(folder)

    monkeypatch.setattr(ScoreFolder, "read", read_once)
    return site.worklist()


def test_a_pick_of_each_strategy_takes_less_than_a_second(worklist: Worklist) -> None:
    # Reads the scores and, for the one that needs it, imports scikit-activeml.
    worklist.ranked(Wish("nodule", "typical"))
    seconds = {}
    for strategy in STRATEGIES:
        # The better of two: other tests may be running beside this one.
        times = []
        for _ in range(2):
            began = time.perf_counter()
            assert worklist.next(Wish("nodule", strategy, reader="anna")).proposals
            times.append(time.perf_counter() - began)
        seconds[strategy] = min(times)
    assert max(seconds.values()) < 1, seconds
