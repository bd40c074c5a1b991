"""What is scored a second time: what changed, and what failed for a reason that may pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from vpt_plugin.active.pool_reader import PoolReader
from vpt_plugin.errors import IncompleteSeriesError
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


def write_nrrd_over(pool: Any, number: int, *, seed: int) -> None:
    pool.path(number).unlink()
    pool.add(seed)
    pool.path(seed).rename(pool.path(number))


def test_a_study_whose_file_changed_is_scored_again_and_the_newer_score_counts(pool) -> None:
    pool.score()
    before = pool.folder.read().probabilities.copy()
    write_nrrd_over(pool, 2, seed=99)
    assert pool.score().scored == 1
    after_change = pool.folder.read().probabilities
    assert after_change[1] != before[1]
    np.testing.assert_array_equal(np.delete(after_change, 1, 0), np.delete(before, 1, 0))


def test_an_unreadable_study_is_tried_again_only_when_its_file_has_changed(pool) -> None:
    pool.path(3).write_bytes(b"NRRD0004\nthis is none")
    pool.score()
    pool.told.clear()
    result = pool.score()
    assert (result.scored, result.kept, result.unreadable, pool.notes) == (0, 5, 1, [])
    write_nrrd_over(pool, 3, seed=98)
    assert (pool.score().scored, pool.folder.read().unreadable) == (1, {})


def test_what_may_pass_is_tried_again_the_next_time(pool) -> None:
    class Half(PoolReader):
        def read(self, study: str, identity: str, cancelled: Any) -> Any:
            if study == "s004.nrrd":
                raise IncompleteSeriesError("s004.nrrd: 3 of 12 slices came")
            return super().read(study, identity, cancelled)

    half = Half(pool.source, NODULE.hu_window, pixels=112)
    for _ in range(2):
        assert pool.score(reader=half, now=lambda: 1000.0).unreadable == 1
    assert pool.folder.read().unreadable == {}, "chance may choose it"
    # After the first time it waited for 10 minutes, now it does for 20.
    assert "s004.nrrd" in pool.folder.studies(now=1000 + 1199)
    assert "s004.nrrd" not in pool.folder.studies(now=1000 + 1200)
    assert pool.score().scored == 1
    assert pool.folder.studies()["s004.nrrd"]


def test_a_new_study_has_no_other_looked_at_for_changes(pool, monkeypatch) -> None:
    asked: list[str] = []
    identity = PoolReader.identity
    monkeypatch.setattr(
        PoolReader, "identity", lambda reader, study: asked.append(study) or identity(reader, study)
    )
    pool.score(now=lambda: 1000.0)
    write_nrrd_over(pool, 2, seed=99)
    pool.add(6)
    asked.clear()
    assert pool.score(now=lambda: 2000.0, compare_seconds=5000.0).scored == 1
    assert asked == ["s006.nrrd"]
    pool.add(7)
    asked.clear()
    assert pool.score(now=lambda: 6000.0, compare_seconds=5000.0).scored == 2
    assert (asked[0], set(asked[1:])) == ("s007.nrrd", {f"s00{number}.nrrd" for number in range(1, 7)})
