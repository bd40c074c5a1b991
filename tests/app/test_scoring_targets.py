"""What the server wants scored: of each task the version that chooses, and the studies that lack scores."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lib.conf import read_conf
from lib.scoring.orders import scoring_job
from lib.scoring.targets import Target, Targets

from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.score_shard import FailedStudy, StudyScore
from vpt_plugin.active.scores import ScoredBy, ScoreFolder
from vpt_plugin.errors import ModelCardError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore


class Site:
    """Folders of a site and what a server would want of them."""

    def __init__(self, root: Path) -> None:
        self.studies, self.weights = root / "studies", root / "weights"
        self.studies.mkdir()
        self.source = StudyFolder(self.studies, fresh_seconds=0)
        self.weights.mkdir()
        self.labels = LabelFolder(self.studies / "labels")
        self.now = "2026-11-21T10:00:00Z"
        self.store = ModelStore(root / "models", clock=lambda: self.now)

    def targets(self, **conf: str) -> Targets:
        given = read_conf({"tasks": "nodule,pe", "models": "tiny,swin_t", "device": "cpu", **conf})
        return Targets(
            given,
            self.store,
            self.labels,
            lambda: self.source,
            partial(scoring_job, str(self.studies), given, self.labels, self.store),
            weights=WeightsFolder(self.weights),
        )

    def publish(self, model: str = "tiny", task: str = "nodule") -> ModelCard:
        findings = TASKS[task].findings
        card = ModelCard(task, model, findings, "none", get_model(model).clip_slices)
        # The weights of another network would do, too: nothing here loads them.
        return self.store.publish(new_classifier(get_model("tiny"), findings, seed=0), card)

    def add(self, *studies: str) -> None:
        for study in studies:
            (self.studies / study).touch()

    def score(
        self,
        by: ScoredBy,
        *studies: str,
        failed: tuple[str, ...] = (),
        end: bool = True,
        compared_at: float | None = None,
    ) -> None:
        folder = ScoreFolder(scores_root(self.store.root, self.source), by)
        features = np.ones(4)
        with folder.scoring():
            folder.begin(len(studies) + len(failed))
            folder.add(
                [StudyScore(each, "mark", features, features) for each in studies],
                [FailedStudy(each, "mark", "no CT") for each in failed],
            )
            if end:
                folder.end(compared_at=time.time() if compared_at is None else compared_at)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def names(targets: Targets) -> list[str]:
    return [str(each) for each in targets.wanted()]


def test_without_any_version_a_quick_network_is_wanted_for_each_task(site: Site) -> None:
    assert names(site.targets()) == ["nodule_tiny, not trained yet", "pe_tiny, not trained yet"]
    assert names(site.targets(models="swin_t", tasks="pe")) == ["pe_swin_t, not trained yet"]


def test_without_any_version_a_network_with_pretrained_weights_is_preferred(site: Site) -> None:
    source = get_model("swin_t").weights["kinetics"][0]
    (site.weights / source.filename).touch()
    assert names(site.targets())[0] == "nodule_swin_t, not trained yet"
    assert names(site.targets(active_model="tiny"))[0] == "nodule_tiny, not trained yet"


def test_what_is_served_last_is_wanted_whoever_published_or_chose_it(site: Site) -> None:
    targets = site.targets()
    assert names(targets)[0] == "nodule_tiny, not trained yet"
    card = site.publish()
    assert targets.wanted()[0] == Target("nodule", "tiny", 1, ScoredBy.of_card(card))
    site.now = "2026-11-21T11:00:00Z"
    site.publish("swin_t")
    assert names(targets)[0] == "nodule_swin_t version 1"
    site.now = "2026-11-21T12:00:00Z"
    site.publish()
    site.store.rollback("nodule", "tiny", why="a test")
    assert names(targets) == ["nodule_tiny version 1", "pe_tiny, not trained yet"]


def test_the_network_that_is_to_choose_is_wanted_whatever_else_is_served(site: Site) -> None:
    site.publish("swin_t")
    assert names(site.targets(active_model="tiny"))[0] == "nodule_tiny, not trained yet"


def test_nothing_is_read_again_while_nothing_has_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish()
    targets = site.targets()
    wanted = targets.wanted()

    def refuse(*args: object) -> Callable[..., None]:
        raise AssertionError("nothing has changed")

    monkeypatch.setattr("lib.scoring.targets.served_versions", refuse)
    assert targets.wanted() == wanted


def test_a_card_that_cannot_be_read_for_a_moment_is_looked_at_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    card = site.publish()
    targets = site.targets()

    def away(*_: object) -> None:
        raise ModelCardError("the card cannot be read: Input/output error.")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "card", away)
        assert [targets.wanted()[0].version for _ in range(3)] == [0, 0, 0]
        assert caplog.text.count("Input/output error") == 1
    # No file has changed since.
    assert targets.wanted()[0] == Target("nodule", "tiny", 1, ScoredBy.of_card(card))


def test_what_has_scores_and_what_lacks_them_is_counted(site: Site) -> None:
    card = site.publish()
    targets = site.targets()
    site.add("a.nii", "b.nii", "c.nii")
    target = targets.wanted()[0]
    assert (targets.coverage(target).complete, targets.coverage(target).left) == (False, 3)
    by = ScoredBy.of_card(card)
    site.score(by, "a.nii", end=False)
    assert (targets.coverage(target).complete, targets.coverage(target).left) == (False, 2)
    # One that is gone counts no more, one that gave nothing is done with.
    site.score(by, "b.nii", "gone.nii", failed=("c.nii",))
    found = targets.coverage(target)
    assert (found.complete, found.done, found.total, found.unreadable, found.left) == (True, 3, 3, 1, 0)
    site.add("d.nii")
    assert targets.coverage(target).left == 1


def test_once_a_day_it_is_looked_whether_studies_changed(site: Site) -> None:
    card = site.publish()
    targets = site.targets()
    site.add("a.nii")
    site.score(ScoredBy.of_card(card), "a.nii", compared_at=time.time() - 25 * 3600)
    assert not targets.coverage(targets.wanted()[0]).complete
    site.score(ScoredBy.of_card(card), "a.nii", compared_at=time.time() - 23 * 3600)
    assert targets.coverage(targets.wanted()[0]).complete


def test_what_failed_for_a_passing_reason_lacks_scores_when_its_time_has_come(site: Site) -> None:
    card = site.publish()
    targets = site.targets()
    site.add("a.nii", "b.nii")
    site.score(ScoredBy.of_card(card), "a.nii")
    folder = ScoreFolder(scores_root(site.store.root, site.source), ScoredBy.of_card(card))
    for minutes, left in ((10, 0), (0, 1)):
        with folder.scoring():
            again_at = time.time() + 60 * minutes
            folder.add([], [FailedStudy("b.nii", "mark", "away", again=True, again_at=again_at)])
        assert targets.coverage(targets.wanted()[0]).left == left


def test_beyond_the_limit_nothing_lacks_scores(site: Site) -> None:
    site.publish()
    targets = site.targets(scoring_studies="2")
    site.add("a.nii", "b.nii", "c.nii", "d.nii")
    label = StudyLabel("nodule", {"lung_nodule": FindingLabel("present")})
    site.labels.save("a.nii", label)
    # Two of the three without a label, and the labelled one.
    assert targets.coverage(targets.wanted()[0]).total == 3


def test_scores_without_a_trained_head_are_found_by_their_network(site: Site) -> None:
    targets = site.targets()
    site.add("a.nii")
    site.score(ScoredBy("nodule", "tiny", 0, "1a2b3c4d", ("lung_nodule",)), "a.nii")
    nodule, pe = targets.wanted()
    assert (targets.coverage(nodule).left, targets.coverage(pe).left) == (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="absolute paths of Unix")
def test_the_job_says_all_that_the_process_has_to_know(site: Site) -> None:
    card = site.publish()
    job = site.targets(scoring_studies="77").job(Target("nodule", "tiny", 1, ScoredBy.of_card(card)))
    assert (job.studies, job.labels_dir) == (str(site.studies), str(site.labels.root))
    assert (job.name, job.version, job.models_dir) == ("nodule_tiny", 1, str(site.store.root))
    assert (job.limit, job.device, Path(job.cache).name) == (77, "cpu", "prepared")


def test_scores_of_other_studies_with_the_same_names_do_not_count(site: Site, tmp_path: Path) -> None:
    card = site.publish()
    site.add("a.nii")
    site.score(ScoredBy.of_card(card), "a.nii")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.nii").touch()
    site.source = StudyFolder(tmp_path / "elsewhere", fresh_seconds=0)
    targets = site.targets()
    assert targets.coverage(targets.wanted()[0]).left == 1


@pytest.mark.parametrize("trained", [True, False])
def test_scores_that_were_deleted_are_noticed_without_looking_at_the_studies(
    site: Site, *, trained: bool
) -> None:
    by = ScoredBy.of_card(site.publish()) if trained else ScoredBy("nodule", "tiny", 0, "a" * 64, ("x",))
    targets = site.targets()
    target = targets.wanted()[0]
    site.add("a.nii")
    assert not targets.are_deleted(target)  # there never were any
    site.score(by, "a.nii")
    targets.coverage(target)
    assert not targets.are_deleted(target)
    shutil.rmtree(site.store.root / ".scores")
    assert targets.are_deleted(target)
    assert not targets.coverage(target).complete
