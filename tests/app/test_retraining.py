"""A training that is due is ordered once, with its reason; one that came to nothing is not tried at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lib.training.desk import BY_RULE
from lib.training.folder import JobFolder
from lib.training.queue import Trainings
from stand_in import stand_in, wait_until

from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.scores import ScoredBy, ScoreFolder, StudyScore
from vpt_plugin.errors import TrainingError
from vpt_plugin.labels import FindingLabel, StudyLabel, now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier

if TYPE_CHECKING:
    from conftest import InProcess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are for Unix")
QUICK = "say(progress=PROGRESS); say(result=RESULT)"
LONG = "say(progress=PROGRESS); time.sleep(60)"
TERMINATED = "say(progress=PROGRESS); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"
FAILS = "say(error={'message': 'it diverged.', 'hint': ''}); sys.exit(1)"


class Site:
    """A server in this process that trains by a stand-in, where four labels make a training due."""

    def __init__(self, server: InProcess, studies: Path) -> None:
        self.server = server
        self.studies = studies
        self.count = 0

    def train_by(self, body: str) -> None:
        desk = self.server.app.desk
        desk.trainings.close()
        desk.trainings = Trainings(JobFolder(self.studies.parent / "models"), command=stand_in(body))
        desk.trainings.open()

    def label(self, count: int) -> None:
        """So many studies more, present and absent in turn."""
        for _ in range(count):
            study = f"p{self.count:02d}.nii"
            (self.studies / study).touch()
            label = StudyLabel("nodule", {"lung_nodule": FindingLabel(("present", "absent")[self.count % 2])})
            self.server.app.labels_folder.save(study, label)
            self.count += 1
        self.server.app.datastore().studies.refresh()

    def look(self) -> list[dict[str, Any]]:
        """What is told of all trainings after another look, once none runs any more."""
        self.server.app.retraining.look()
        trainings = self.server.app.desk.trainings
        wait_until(lambda: not any(each.waits_or_runs for each in trainings.records()))
        return self.told()

    def told(self) -> list[dict[str, Any]]:
        return self.server.ask("GET", "/train/").json()["last"]


@pytest.fixture
def site(serve: Callable[..., InProcess], tmp_path: Path) -> Iterator[Site]:
    conf = {"tasks": "nodule", "retrain": "start", "retrain_every": "4", "min_each": "2"}
    made = Site(serve(conf), tmp_path / "studies")
    made.train_by(QUICK)
    yield made
    made.server.app.desk.trainings.close()


def test_a_training_is_ordered_when_it_is_due_and_says_who_ordered_it_and_why(site: Site) -> None:
    site.label(3)
    assert site.look() == []
    site.label(1)
    (training,) = site.look()
    assert (training["by"], training["state"], training["settings"]) == (BY_RULE, "done", {})
    assert training["notes"][0].startswith("There are 4 labels")


def test_while_one_runs_none_is_ordered(site: Site) -> None:
    site.train_by(LONG)
    site.label(4)
    for _ in range(3):
        site.server.app.retraining.look()
    assert [each.number for each in site.server.app.desk.trainings.records()] == [1]


def test_a_training_that_runs_or_waits_is_told_and_none_is_due_meanwhile(site: Site) -> None:
    def told() -> dict[str, Any]:
        retrain = site.server.ask("GET", "/activelearning/").json()["tasks"][0]["retrain"]
        offered = site.server.ask("POST", "/activelearning/random", json={}).json()["vptct"]["retrain"]
        assert offered == retrain
        return {name: retrain[name] for name in ("due", "ordered", "why", "problem")}

    site.train_by(LONG)
    site.label(4)
    assert (told()["due"], told()["ordered"]) == (True, False)
    name = f"nodule_{site.server.app.served.models[0].name}"
    site.server.app.retraining.look()
    wait_until(lambda: told()["why"].endswith("runs."))
    assert told() == {"due": False, "ordered": True, "why": f"Training 1 of {name} runs.", "problem": None}
    site.server.app.desk.stop(1, by="", plain=str)
    assert (told()["due"], told()["ordered"]) == (True, False)


@pytest.mark.parametrize(
    "body", [FAILS, TERMINATED, QUICK],
    ids=["failed", "was ended from outside", "came to a version that knows none of them"],
)  # fmt: skip
def test_labels_that_were_there_at_the_last_training_make_none_due(site: Site, body: str) -> None:
    site.train_by(body)
    site.label(4)
    assert len(site.look()) == 1
    (training,) = site.look()
    # A training knows the second of its order: what is saved within it counts as there before.
    wait_until(lambda: now() > training["created"])
    site.label(3)
    assert len(site.look()) == 1
    site.label(1)
    assert len(site.look()) == 2


def test_a_server_that_starts_again_is_no_reason_to_order_what_its_end_interrupted(site: Site) -> None:
    site.train_by(LONG)
    site.label(4)
    site.server.app.retraining.look()
    wait_until(lambda: bool(site.server.app.desk.trainings.records()[0].progress))
    # The machine may have gone down because of the training: the next server would, too.
    site.train_by(QUICK)
    for _ in range(5):
        assert [each["state"] for each in site.look()] == ["interrupted"]
    ordered = site.server.ask("POST", "/train/nodule_tiny", json={})
    assert ordered.status_code == 200
    assert {each["state"] for each in site.look()} == {"done", "interrupted"}


def test_corrections_of_labels_that_a_failed_training_had_make_none_due(site: Site) -> None:
    site.train_by(FAILS)
    site.label(4)
    (training,) = site.look()
    wait_until(lambda: now() > training["created"])
    for study in ("p00.nii", "p01.nii", "p02.nii", "p03.nii"):
        label = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent" if study > "p01" else "present")})
        site.server.app.labels_folder.save(study, label)
    assert len(site.look()) == 1


class Networks:
    """A server of two networks, none of which chose anything yet, and what a person does there."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def told(self) -> dict[str, Any]:
        return dict(self.site.server.ask("GET", "/activelearning/").json()["tasks"][0]["retrain"])

    def publish(self, model: str) -> None:
        spec = get_model(model)
        card = ModelCard("nodule", model, ("lung_nodule",), pretraining="none", clip_slices=spec.clip_slices)
        self.site.server.app.model_store.publish(new_classifier(spec, card.findings, seed=0), card)


@pytest.fixture
def networks(serve: Callable[..., InProcess], tmp_path: Path) -> Iterator[Callable[..., Networks]]:
    made: list[Site] = []

    def start(**conf: str) -> Networks:
        rule = {"tasks": "nodule", "models": "slow_r50,tiny", "retrain": "start"}
        site = Site(serve({**rule, "retrain_every": "4", "min_each": "2", **conf}), tmp_path / "studies")
        site.train_by(QUICK)
        site.label(4)
        made.append(site)
        return Networks(site)

    yield start
    for site in made:
        site.server.app.desk.trainings.close()


def test_where_nobody_chose_a_network_none_is_trained_and_the_worklist_says_how_to_choose(networks) -> None:
    site = networks()
    told = site.told()
    assert (told["due"], told["new_labels"], told["version"]) == (False, 4, None)
    assert "POST /train/nodule_NETWORK" in told["why"]
    assert "--conf active_model" in told["why"]
    assert site.site.look() == []


def test_the_network_that_a_person_had_trained_last_is_the_one(networks) -> None:
    site = networks()
    site.site.train_by(FAILS)
    created = site.site.server.ask("POST", "/train/nodule_tiny", json={}).json()["created"]
    assert [each["name"] for each in site.site.look()] == ["nodule_tiny"]
    wait_until(lambda: now() > created)
    site.site.label(4)
    assert [each["name"] for each in site.site.look()] == ["nodule_tiny"] * 2


def test_the_network_that_the_site_names_is_the_one(networks) -> None:
    site = networks(active_model="tiny")
    assert [each["name"] for each in site.site.look()] == ["nodule_tiny"]


def test_what_is_served_is_trained_again_while_scores_of_another_network_choose(networks) -> None:
    site = networks()
    site.publish("tiny")
    app = site.site.server.app
    by = ScoredBy("nodule", "slow_r50", 0, "0" * 64, ("lung_nodule",))
    folder = ScoreFolder(scores_root(app.model_store.root, app.datastore().studies), by)
    with folder.scoring():
        folder.begin(1)
        folder.add([StudyScore("p00.nii", "x", np.ones(4), np.ones(4))], [])
        folder.end()
    (task,) = site.site.server.ask("GET", "/activelearning/").json()["tasks"]
    assert task["model"]["name"] == "slow_r50"
    assert "nodule_tiny" in task["retrain"]["why"]
    assert [each["name"] for each in site.site.look()] == ["nodule_tiny"]


def test_the_settings_are_those_of_the_last_training_that_ended_well(site: Site) -> None:
    site.label(4)
    created = site.server.ask("POST", "/train/nodule_tiny", json={"epochs": 3}).json()["created"]
    assert len(site.look()) == 1
    wait_until(lambda: now() > created)
    site.label(4)
    assert [each["settings"] for each in site.look()] == [{"epochs": 3}] * 2


def test_what_is_refused_is_told_with_the_worklist_until_it_is_ordered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise TrainingError("there is no room;", "make some.")

    def problem() -> str | None:
        state = site.server.ask("GET", "/activelearning/").json()
        return state["tasks"][0]["retrain"]["problem"]

    site.label(4)
    with monkeypatch.context() as patch:
        patch.setattr(site.server.app.desk, "order", refuse)
        assert (site.look(), problem()) == ([], "there is no room; make some.")
    assert (len(site.look()), problem()) == (1, None)
