"""The real server scores what it serves: once per version, whatever is killed in between."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from contract_files import differences, golden
from server_process import ServerProcess
from stand_in import alive, wait_until
from training_site import write_phantoms

from vpt_plugin.active.score_folders import scores_of, scores_root
from vpt_plugin.active.scores import ScoredBy
from vpt_plugin.labels import StudyLabel
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks /proc for processes")
TASK = TASKS["nodule"]
# Enough for a process to be killed in the middle; more than a shard, so that some are kept.
STUDIES = 112
_KEPT_AT_LEAST = 32
_BEGINS = re.compile(r"the scoring of nodule_tiny,? (?:version (\d+)|not trained yet) begins, process (\d+)")
_ENDS = re.compile(
    r"the scoring of nodule_tiny,? (?:version (\d+)|not trained yet) is complete: (\d+) computed, (\d+) kept"
)


@dataclass
class Site:
    """A server that scores, and its folders."""

    process: ServerProcess
    store: ModelStore
    labels: dict[str, StudyLabel]

    def publish(self) -> ModelCard:
        """The next version, as ``vpt finetune`` beside the server would."""
        slices = get_model("tiny").clip_slices
        card = ModelCard("nodule", "tiny", TASK.findings, pretraining="none", clip_slices=slices)
        seed = len(self.store.versions("nodule", "tiny"))
        return self.store.publish(new_classifier(get_model("tiny"), TASK.findings, seed=seed), card)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = requests.request(method, f"{self.process.url}{path}", timeout=60, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def scoring(self) -> dict[str, Any]:
        return self.ask("GET", "/activelearning/")["tasks"][0]["scoring"]

    def begun(self) -> list[tuple[int, int]]:
        """Version and process of every scoring so far; 0 where none was trained."""
        return [(int(version or 0), int(pid)) for version, pid in _BEGINS.findall(self.process.log)]

    def ended(self) -> list[tuple[int, int, int]]:
        """Version, computed and kept of every scoring that came to its end."""
        return [(int(each[0] or 0), int(each[1]), int(each[2])) for each in _ENDS.findall(self.process.log)]

    def scored(self, card: ModelCard) -> int:
        studies = StudyFolder(self.store.root.parent / "studies")
        return len(scores_of(scores_root(self.store.root, studies), ScoredBy.of_card(card)).studies())

    def running(self, version: int) -> int:
        """The process that scores this version, once some of what it computed is kept."""
        wait_until(lambda: version in [each for each, _ in self.begun()], 30)
        return self.begun()[-1][1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("scoring")
    for name in ("studies", "models", "home"):
        (root / name).mkdir()
    labels = write_phantoms(root / "studies", 4)
    for number in range(4, STUDIES):
        (root / "studies" / f"p{number:03d}.nii").hardlink_to(root / "studies" / f"p{number % 4:02d}.nii")
    conf = {"tasks": "nodule", "models": "tiny", "device": "cpu", "models_dir": str(root / "models")}
    # No test but the last one saves a label.
    conf |= {"retrain": "start", "retrain_every": "4"}
    with ServerProcess(
        root / "studies", conf=conf, environment={"VPTCT_HOME": str(root / "home")}
    ) as process:
        yield Site(process, ModelStore(root / "models"), labels)


def test_a_task_without_any_version_is_scored_at_the_start(site: Site) -> None:
    wait_until(lambda: [each[0] for each in site.ended()] == [0], 60)
    assert site.ended() == [(0, STUDIES, 0)]


def test_a_published_version_is_scored_once_and_asking_for_studies_begins_nothing(site: Site) -> None:
    before = len(site.begun())
    card = site.publish()
    pid = site.running(1)
    # While it runs, and after: five clients, five studies, no process more.
    offered = [
        site.ask("POST", "/activelearning/random", json={"task": "nodule", "client_id": f"reader {number}"})
        for number in range(5)
    ]
    assert len({each["id"] for each in offered}) == 5
    wait_until(lambda: site.scoring()["state"] == "done", 60)
    agreed = golden("active.json")
    assert differences(offered[0]["vptct"], agreed["next"]["vptct"], ".vptct") == []
    wait_until(lambda: site.ask("GET", "/activelearning/")["tasks"][0]["model"]["version"] == 1, 10)
    for strategy in ("auto", "typical", "uncertain", "diverse-uncertain", "badge"):
        told = site.ask("POST", f"/activelearning/{strategy}", json={"task": "nodule"})
        assert told["id"]
        assert told["vptct"]["model"] == {"name": "tiny", "version": 1, "pretraining": "none"}
        assert differences(told["vptct"], agreed["next"]["vptct"], ".vptct") == []
    assert differences(site.ask("GET", "/activelearning/"), agreed["state"], ".active") == []
    assert site.begun()[before:] == [(1, pid)]
    assert site.ended()[-1] == (1, STUDIES, 0)
    assert (site.scored(card), site.scoring()["complete"]) == (STUDIES, True)


def test_a_killed_scoring_goes_on_where_it_was_and_an_inference_comes_first(site: Site) -> None:
    before = len(site.begun())
    card = site.publish()
    pid = site.running(2)
    wait_until(lambda: site.scored(card) >= _KEPT_AT_LEAST, 60)
    os.kill(pid, signal.SIGKILL)
    kept = site.scored(card)
    assert kept < STUDIES
    wait_until(lambda: len(site.begun()) == before + 2, 30)
    wait_until(lambda: site.scoring()["state"] == "scoring", 30)
    site.ask("POST", "/infer/nodule_tiny", params={"image": "p00.nii"})
    wait_until(lambda: site.scoring()["state"] == "paused", 30)
    wait_until(lambda: len(site.ended()) == 3, 60)
    assert site.ended()[-1] == (2, STUDIES - kept, kept)
    assert site.scoring()["starts"] == 2


def test_a_killed_server_leaves_no_process_and_goes_on_after_its_start(site: Site) -> None:
    card = site.publish()
    pid = site.running(3)
    wait_until(lambda: site.scored(card) >= _KEPT_AT_LEAST, 60)
    site.process.kill()
    wait_until(lambda: not alive(pid), 5)
    kept = site.scored(card)
    assert kept < STUDIES
    site.process.start_again()
    wait_until(lambda: len(site.ended()) == 4, 60)
    assert site.ended()[-1] == (3, STUDIES - kept, kept)


def test_a_server_that_is_started_anew_scores_nothing_again_and_neither_does_a_rollback(site: Site) -> None:
    before = site.begun()
    site.process.kill()
    site.process.start_again()
    wait_until(lambda: site.scoring()["state"] == "done", 30)
    site.ask("POST", "/versions/nodule_tiny/rollback", params={"why": "a test"})
    wait_until(lambda: site.ask("GET", "/activelearning/")["tasks"][0]["model"]["version"] == 2, 30)
    wait_until(lambda: site.scoring()["state"] == "done", 30)
    assert (site.begun(), site.scoring()["starts"]) == (before, 0)


def test_the_label_that_makes_a_training_due_has_it_ordered(site: Site) -> None:
    for study, label in site.labels.items():
        content = json.dumps(label.to_json()).encode()
        site.ask("PUT", "/datastore/label", params={"image": study}, files={"label": ("label.json", content)})
    wait_until(lambda: site.ask("GET", "/train/")["running"] is not None, 30)
    (training,) = site.ask("DELETE", "/train/")["stopped"]
    assert (training["by"], training["name"]) == ("retrain rule", "nodule_tiny")
    assert training["notes"][0].startswith("There are 4 labels")
