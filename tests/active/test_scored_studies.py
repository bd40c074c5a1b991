"""Which studies were looked at is known without reading their arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vpt_plugin.active.score_shard import FailedStudy, StudyScore
from vpt_plugin.active.scores import ScoredBy, ScoreFolder

BY = ScoredBy("nodule", "tiny", 3, "1a2b3c4d5e6f", ("lung_nodule",))


def score(study: str) -> StudyScore:
    features = np.arange(4.0)
    return StudyScore(study, "mark", features, features, np.array([0.5]), np.array([0.1]))


def test_the_later_look_counts_and_a_damaged_file_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    assert folder.studies() == {}
    with folder.scoring():
        folder.add([score("a"), score("b")], [])
        folder.add([score("c")], [FailedStudy("b", "mark", "no CT"), FailedStudy("d", "mark", "no CT")])
        folder.add([score("e")], [])
    (folder.path / "000003.npz").write_bytes(b"PK\x03\x04 cut")
    assert folder.studies() == {"a": True, "b": False, "c": True, "d": False}
    assert set(folder.read().studies) | set(folder.read().unreadable) == set(folder.studies())


def test_what_failed_for_a_passing_reason_is_looked_for_again_when_its_time_has_come(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    passing = FailedStudy("b", "mark", "away", again=True, again_at=1000.0)
    with folder.scoring():
        folder.add([score("a"), score("b")], [])
        folder.add([], [passing])
    assert folder.studies(now=999.0) == {"a": True, "b": False}
    assert folder.studies(now=1000.0) == {"a": True}
    with folder.scoring():
        folder.add([score("b")], [])
    assert folder.studies(now=1000.0) == {"a": True, "b": True}


def test_what_failed_for_a_passing_reason_is_not_unreadable(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.add([], [FailedStudy("a", "mark", "away", again=True), FailedStudy("b", "mark", "no CT")])
    assert dict(folder.read().unreadable) == {"b": "no CT"}
