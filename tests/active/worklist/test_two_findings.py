"""A task of several findings: one of them can be wished for, and each is counted by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_up_site import NODULE, MadeUpSite

from vpt_plugin.active.score_arrays import ScoredBy
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.score_shard import StudyScore
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.labels import FindingLabel, StudyLabel

EFFUSION = replace(NODULE, name="effusion", findings=("effusion_left", "effusion_right"))


@pytest.fixture
def site(make_site: Callable[..., MadeUpSite]) -> MadeUpSite:
    """Of p00 the left side is doubtful, of p01 the right one; p02 is labelled on the left only."""
    site = make_site(["p00", "p01", "p02"], task=EFFUSION)
    by: ScoredBy = site.publish()
    said = {"p00": [0.5, 0.01], "p01": [0.01, 0.4], "p02": [0.9, 0.1]}
    folder = ScoreFolder(scores_root(site.models.root, site.studies), by)
    with folder.scoring():
        folder.begin(3)
        rows = [
            StudyScore(study, "1", np.eye(3)[row], np.eye(3)[row], np.array(both), np.zeros(2))
            for row, (study, both) in enumerate(said.items())
        ]
        folder.add(rows, [])
        folder.end()
    site.labels.save("p02", StudyLabel("effusion", {"effusion_left": FindingLabel("present")}, "anna"))
    return site


@pytest.mark.parametrize(
    ("finding", "first"), [("", "p00"), ("effusion_left", "p00"), ("effusion_right", "p01")]
)
def test_the_finding_that_is_wished_for_chooses(site: MadeUpSite, finding: str, first: str) -> None:
    assert site.next(strategy="uncertain", finding=finding).proposals[0].study == first


def test_a_proposal_has_the_probability_of_every_finding(site: MadeUpSite) -> None:
    (proposal,) = site.next(strategy="uncertain").proposals
    assert proposal.probabilities == {"effusion_left": 0.5, "effusion_right": 0.01}


def test_a_label_on_one_side_counts_there_and_the_study_counts_as_labelled(site: MadeUpSite) -> None:
    state = site.worklist().state("effusion")
    assert state.labels == {
        "effusion_left": {"present": 1, "absent": 0, "indeterminate": 0},
        "effusion_right": {"present": 0, "absent": 0, "indeterminate": 0},
    }
    assert (state.counts.labelled, state.counts.free) == (1, 2)
