"""What the first reader of the day would wait for is done ahead, where there is anything to choose by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from lib.worklist import warming
from lib.worklist.warming import warm_in_background

from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.scores import ScoredBy, ScoreFolder, StudyScore
from vpt_plugin.tasks import TASKS


@pytest.mark.parametrize(
    ("scoring", "scored", "imported", "ranked"),
    [(False, False, False, 0), (True, False, True, 0), (False, True, False, 1)],
    ids=["nothing to choose by", "scores will come", "scores are there"],
)
def test_what_chooses_is_read_or_imported_before_anybody_asks_and_nothing_is_kept(
    site, monkeypatch: pytest.MonkeyPatch, scoring: bool, scored: bool, imported: bool, ranked: int
) -> None:
    running = site(count=3)
    if scored:
        by = ScoredBy("nodule", "tiny", 0, "0" * 64, ("lung_nodule",))
        folder = ScoreFolder(scores_root(running.app.model_store.root, running.app.datastore().studies), by)
        rows = np.random.default_rng(0).normal(size=(3, 4))
        with folder.scoring():
            folder.begin(3)
            folder.add([StudyScore(f"s0{number}.nii", "x", row, row) for number, row in enumerate(rows)], [])
            folder.end()
    worklist = running.app.worklists.worklist
    names: list[str] = []
    offers = []
    real = worklist.ranked

    def watched(wish):
        offers.append(real(wish))
        return offers[-1]

    # Not importlib's own function: what imports lazily meanwhile would get None.
    monkeypatch.setattr(warming, "importlib", SimpleNamespace(import_module=names.append))
    monkeypatch.setattr(worklist, "ranked", watched)
    warm_in_background(worklist, [TASKS["nodule"]], scoring=scoring, after_seconds=0).join()
    assert ("skactiveml.pool" in names) == imported
    assert [each.proposals[0].strategy for each in offers] == ["typical"] * ranked
    assert running.app.worklists.leases.history().offers == ()
