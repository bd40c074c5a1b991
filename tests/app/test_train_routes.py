"""Trainings and versions over HTTP, with processes that stand in for trainings: orders, refusals, roles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lib.training.folder import JobFolder
from lib.training.orders import Orders
from lib.training.queue import Trainings
from stand_in import RESULT, stand_in, wait_until

from vpt_plugin.data.split_file import NotedStudy, SplitFile
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.tokens import TokenFile
from vpt_plugin.training.job import TrainingJob
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.version_folder import VersionFolder

if TYPE_CHECKING:
    from conftest import InProcess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are for Unix")
QUICK = "say(progress=PROGRESS); say(result=RESULT)"
OWN_TASK = "name: effusion\nfindings: [pleural_effusion]\nhu_window: {centre: 40, width: 400}\n"
LONG = "say(progress=PROGRESS); time.sleep(60)"
START = "Callable[..., InProcess]"


@pytest.fixture
def site(serve: Callable[..., InProcess], tmp_path: Path) -> Iterator[START]:
    """Starts a server with some labels, whose trainings are done by a stand-in."""
    made: list[InProcess] = []

    def start(body: str = QUICK, *, present: int = 2, absent: int = 2, **conf: str) -> InProcess:
        states = ["present"] * present + ["absent"] * absent
        labels = LabelFolder(tmp_path / "studies" / "labels")
        for number, state in enumerate(states):
            study = f"p{number:02d}.nii"
            (tmp_path / "studies").mkdir(exist_ok=True)
            (tmp_path / "studies" / study).touch()
            labels.save(study, StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}))
        made.append(serve(conf))
        desk = made[-1].app.desk
        desk.trainings = Trainings(
            JobFolder(tmp_path / "models"), command=stand_in(body), labels_of=desk._orders.labels_of
        )
        return made[-1]

    yield start
    for each in made:
        each.app.desk.trainings.close()


def train(site: InProcess, settings: Any = None, *, name: str = "nodule_tiny", token: str = "") -> Any:
    return site.ask("POST", f"/train/{name}", json={} if settings is None else settings, token=token)


def publish(models: Path, *, serve: bool, seed: int = 0) -> int:
    classifier = new_classifier(get_model("tiny"), ("lung_nodule",), seed=seed)
    auroc = {"lung_nodule": Estimate(0.91, (0.83, 0.97), 15)}
    card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8, validation_auroc=auroc)
    return ModelStore(models).publish(classifier, card, serve=serve).version


def test_an_order_is_answered_with_the_training_and_its_end_is_told(site: START) -> None:
    server = site()
    ordered = train(server, {"epochs": 2, "client_id": "slicer"})
    assert ordered.status_code == 200
    told = ordered.json()
    assert (told["id"], told["name"], told["settings"]) == (1, "nodule_tiny", {"epochs": 2})
    assert told["state"] in ("queued", "running")
    wait_until(lambda: server.ask("GET", "/train/1").json()["state"] == "done")
    assert server.ask("GET", "/train/1").json()["outcome"] == RESULT
    info = server.ask("GET", "/info/").json()
    assert [each["id"] for each in info["vptct"]["training"]["last"]] == [1]
    assert info["trainers"]["nodule_tiny"]["config"]["epochs"] == 10
    assert info["train_stats"]["nodule_tiny"]["total_epochs"] == 2


def test_the_job_says_all_that_its_process_has_to_know_and_no_password(
    site: START, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_PASSWORD", "hunter2")
    own = tmp_path / "own.yaml"
    own.write_text(OWN_TASK)
    server = site(LONG, task_file=str(own), tasks="nodule", prepared_gb="7.5", prepared_hu="off")
    train(server, {"epochs": 2})
    text = (tmp_path / "models" / ".trainings" / "0001.job.json").read_text()
    job = TrainingJob.from_json(json.loads(text))
    assert (job.studies, job.labels_dir) == (
        str(tmp_path / "studies"), str(tmp_path / "studies" / "labels"),
    )  # fmt: skip
    assert (job.task, job.model, job.settings, job.prepared_gb) == ("nodule", "tiny", {"epochs": 2}, 7.5)
    assert not job.prepared_hu
    assert (job.models_dir, job.task_files) == (str(tmp_path / "models"), (str(own),))
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"epoch": 2}, 400, "unknown training setting 'epoch'"),
        ({"epochs": "2"}, 400, "epochs must be a whole number, not '2'"),
        ({"epochs": 0}, 400, "epochs must be at least 1"),
        ({"epochs": True}, 400, "epochs must be a whole number"),
        ({"optimizer": "sgd"}, 400, "optimizer must be one of adamw, adam"),
        ({"comparison": "best"}, 400, "unknown comparison rule 'best'"),
        ({"pretraining": "kinetics"}, 400, "tiny has no weights for the pretraining 'kinetics'"),
        ({"pretraining": "ct", "start": "nodule_swin_t"}, 400, "another network"),
        ({"pretraining": "ct", "start": "nodule_tiny"}, 400, "never trained here"),
        ({"models_dir": "/etc"}, 400, "unknown training setting 'models_dir'"),
        ({"device": "cuda"}, 400, "unknown training setting 'device'"),
        ([1], 400, "the body must be a JSON object"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(
    site: START, settings: Any, status: int, words: str
) -> None:
    server = site()
    answer = train(server, settings)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert server.ask("GET", "/train/").json()["running"] is None


def test_an_unknown_model_is_refused_with_those_that_there_are(site: START) -> None:
    answer = train(site(), name="nodule_resnet")
    assert answer.status_code == 404
    assert answer.json()["hint"] == "choose from nodule_tiny, pe_tiny."


@pytest.mark.parametrize(("present", "absent"), [(0, 0), (1, 5), (5, 1)])
def test_too_few_labels_of_either_state_are_refused_with_their_numbers(
    site: START, present: int, absent: int
) -> None:
    answer = train(site(present=present, absent=absent))
    assert answer.status_code == 409
    studies = "1 study" if present == 1 else f"{present} studies"
    assert f"{studies} with lung nodule, {absent} without." in answer.json()["detail"]
    assert "at least 2 of each" in answer.json()["hint"]


def test_labels_of_studies_that_cannot_take_part_are_not_counted(site: START, tmp_path: Path) -> None:
    server = site(present=2, absent=4)
    # One is no longer there, and the patients of two, who have been met before, are locked away.
    (tmp_path / "studies" / "p02.nii").unlink()
    split = SplitFile(tmp_path / "studies" / "labels" / "splits" / "nodule.json")
    of_test = {f"p{number:02d}.nii": NotedStudy(f"patient {number}") for number in (3, 4)}
    split.change(
        lambda noted: noted.with_studies(of_test).with_sides(
            {each.patient: "test" for each in of_test.values()}, when=""
        )
    )
    answer = train(server)
    assert answer.status_code == 409, answer.text
    assert "2 studies with lung nodule, 1 without" in answer.json()["detail"]
    assert "(left out: 1 labelled, but not there; 2 of the test set)" in answer.json()["detail"]
    assert server.ask("GET", "/train/").json()["running"] is None


def test_missing_weights_are_refused_with_the_command_that_brings_them(
    site: START, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    answer = train(site(models="tiny,slow_r50"), {"pretraining": "kinetics"}, name="nodule_slow_r50")
    assert answer.status_code == 409
    assert "the kinetics weights of slow_r50 are not on this computer" in answer.json()["detail"]
    assert "vpt weights fetch" in answer.json()["hint"]
    assert str(tmp_path) not in answer.text


def test_a_disk_without_room_is_refused_with_the_numbers(site: START, tmp_path: Path) -> None:
    server = site()
    app = server.app
    app.desk._orders = Orders(
        str(tmp_path / "studies"),
        app.served,
        app.labels_folder,
        app.model_store,
        lambda: app.datastore().studies,
        free_bytes=lambda _: 1_000_000,
    )
    answer = train(server)
    assert answer.status_code == 409
    assert "1 MB are free, at least" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text


def test_only_reviewers_order_and_stop_and_promote_and_users_look(site: START, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    user, annotator, reviewer = (file.add(role, role) for role in ("user", "annotator", "reviewer"))
    server = site(token_file=str(file.path))
    publish(tmp_path / "models", serve=True)
    for method, path in (
        ("POST", "/train/nodule_tiny"), ("DELETE", "/train/"), ("DELETE", "/train/1"),
        ("POST", "/versions/nodule_tiny/promote?version=1"), ("POST", "/versions/nodule_tiny/rollback"),
    ):  # fmt: skip
        assert server.ask(method, path, token=annotator).status_code == 403, path
    for path in ("/train/", "/versions/nodule_tiny"):
        assert server.ask("GET", path, token=user).status_code == 200, path
    assert train(server, token=reviewer).json()["by"] == "reviewer"
    server.ask("POST", "/versions/nodule_tiny/promote?version=1&why=good", token=reviewer)


def test_a_stop_answers_with_the_stopped_training(site: START) -> None:
    server = site(LONG)
    train(server, {"epochs": 2})
    train(server, {"epochs": 3})
    wait_until(lambda: bool(server.ask("GET", "/train/1").json()["progress"]))
    now = server.ask("GET", "/train/").json()
    assert (now["running"]["id"], [each["id"] for each in now["queue"]]) == (1, [2])
    assert server.ask("DELETE", "/train/1").json()["state"] == "stopped"
    wait_until(lambda: server.ask("GET", "/train/2").json()["state"] == "running")
    stopped = server.ask("DELETE", "/train/").json()["stopped"]
    assert [(each["id"], each["state"]) for each in stopped] == [(2, "stopped")]
    assert server.ask("DELETE", "/train/").json() == {"stopped": []}
    assert server.ask("GET", "/train/7").status_code == 404
    assert server.ask("GET", "/train/nodule_tiny").status_code == 422


def test_a_second_click_trains_nothing_twice_and_a_new_label_does(site: START, tmp_path: Path) -> None:
    server = site(LONG)
    train(server)
    wait_until(lambda: bool(server.ask("GET", "/train/1").json()["progress"]))
    again = train(server, {"epochs": 10})
    assert again.status_code == 409
    assert "runs already, as number 1" in again.json()["detail"]
    # Of another task: nothing that this training learns from.
    server.app.labels_folder.save(
        "p00.nii", StudyLabel("pe", {"pulmonary_embolism": FindingLabel("present")})
    )
    assert "runs already" in train(server).json()["detail"]
    corrected = StudyLabel("nodule", {"lung_nodule": FindingLabel("present")}, annotator="anna")
    server.app.labels_folder.save("p00.nii", corrected, if_version=1)
    assert train(server).json()["state"] == "queued"


# In a process of its own: it leaves connections open and imports a module that Python is about to remove.
STOCK_CLIENT = """
import json, sys, time
from monailabel.client import MONAILabelClient
client = MONAILabelClient(sys.argv[1], tmpdir=sys.argv[2], client_id="x")
said = {"before": client.train_status(check_if_running=True)}
# As its plugin for 3D Slicer does: everything that the trainer's configuration says is sent back.
said["started"] = client.train_start("nodule_tiny", dict(client.info()["trainers"]["nodule_tiny"]["config"]))
while client.train_status()["status"] != "RUNNING":
    time.sleep(0.05)
said["running"] = client.train_status(check_if_running=True)
said["stats"] = client.info()["train_stats"]
said["stopped"] = client.train_stop()["stopped"]
said["after"] = client.train_status(check_if_running=True)
said["status"] = client.train_status()["status"]
print(json.dumps(said))
"""


def test_monai_labels_own_client_starts_watches_and_stops(site: START, tmp_path: Path) -> None:
    with site(LONG).listening() as port:
        command = [sys.executable, "-W", "ignore", "-c", STOCK_CLIENT]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}", str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["before"], said["running"], said["after"]) == (False, True, False)
    assert (said["started"]["id"], said["started"]["model"]) == (1, "nodule_tiny")
    assert said["stats"]["nodule_tiny"]["total_epochs"] >= 1
    assert [each["id"] for each in said["stopped"]] == [1]
    assert said["status"] == "STOPPED"


def test_versions_are_listed_promoted_and_rolled_back(site: START, tmp_path: Path) -> None:
    server = site()
    models = tmp_path / "models"
    publish(models, serve=True, seed=1)
    publish(models, serve=False, seed=2)
    told = server.ask("GET", "/versions/nodule_tiny").json()
    assert (told["served"], told["before"], told["problem"]) == (1, None, None)
    assert [(each["version"], each["served"], each["report"]) for each in told["versions"]] == [
        (1, True, False), (2, False, False),
    ]  # fmt: skip
    assert told["versions"][0]["validation_auroc"]["lung_nodule"]["n"] == 15
    promoted = server.ask("POST", "/versions/nodule_tiny/promote?version=2&why=more%20labels")
    assert promoted.json() == {"name": "nodule_tiny", "served": 2}
    told = server.ask("GET", "/versions/nodule_tiny").json()
    assert (told["served"], told["before"]) == (2, 1)
    assert told["changes"][-1]["why"] == "more labels"
    assert server.ask("POST", "/versions/nodule_tiny/rollback").json()["served"] == 1


@pytest.mark.parametrize("change", ["promote?version=1", "rollback"])
def test_a_version_is_loaded_once_to_be_served_again(
    site: START, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    server = site()
    for seed in (1, 2):
        publish(tmp_path / "models", serve=True, seed=seed)
    loaded = []
    load = VersionFolder.classifier
    monkeypatch.setattr(
        VersionFolder, "classifier", lambda self, card: loaded.append(card.version) or load(self, card)
    )
    assert server.ask("POST", f"/versions/nodule_tiny/{change}").json()["served"] == 1
    assert loaded == [1]


def test_where_a_sites_own_task_is_written_down_is_told_to_nobody(site: START, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    own = tmp_path / "elsewhere" / "own.yaml"
    own.write_text(OWN_TASK)
    server = site(f"say(error={{'message': 'no {own}.'}}); sys.exit(1)", task_file=str(own), tasks="nodule")
    train(server)
    wait_until(lambda: server.ask("GET", "/train/1").json()["state"] == "failed")
    assert server.ask("GET", "/train/1").json()["error"]["detail"].startswith("no own.yaml.")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/versions/nodule_resnet", 404),
        ("POST", "/versions/nodule_tiny/promote?version=7", 409),
        ("POST", "/versions/nodule_tiny/promote?version=0", 422),
        ("POST", "/versions/nodule_tiny/promote?version=..", 422),
        ("POST", "/versions/nodule_tiny/promote", 422),
        ("POST", "/versions/nodule_tiny/promote?version=1&why=%1b[2J", 400),
        ("POST", "/versions/nodule_tiny/rollback", 400),
        ("POST", "/versions/pe_tiny/rollback", 409),
        ("GET", "/versions/nodule_tiny/report?version=1", 404),
    ],
)
def test_what_cannot_be_done_with_a_version_is_said(
    site: START, tmp_path: Path, method: str, path: str, status: int
) -> None:
    server = site()
    publish(tmp_path / "models", serve=True)
    answer = server.ask(method, path)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "detail", "hint"}
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("change", ["promote?version=1", "rollback"])
def test_a_version_for_other_findings_of_a_sites_own_task_is_not_served_again(
    site: START, tmp_path: Path, change: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN_TASK)
    server = site(task_file=str(own), tasks="effusion")
    for findings in (("pleural_effusion", "empyema"), ("pleural_effusion",)):
        card = ModelCard("effusion", "tiny", findings, "none", 8)
        ModelStore(tmp_path / "models").publish(new_classifier(get_model("tiny"), findings, seed=1), card)
    answer = server.ask("POST", f"/versions/effusion_tiny/{change}")
    assert answer.status_code == 503, answer.text
    assert "empyema" in answer.json()["detail"]
    assert server.ask("GET", "/versions/effusion_tiny").json()["served"] == 2


def test_a_version_whose_card_is_damaged_is_listed_with_its_problem(site: START, tmp_path: Path) -> None:
    server = site()
    publish(tmp_path / "models", serve=True)
    (tmp_path / "models" / "nodule_tiny" / "v0001" / "card.json").write_text("{")
    (version,) = server.ask("GET", "/versions/nodule_tiny").json()["versions"]
    assert "cannot be read" in version["problem"]
    assert version["validation_auroc"] is None
    assert str(tmp_path) not in version["problem"]


def test_a_report_is_one_page_that_may_load_and_run_nothing(site: START, tmp_path: Path) -> None:
    server = site()
    publish(tmp_path / "models", serve=True)
    page = tmp_path / "models" / "nodule_tiny" / "v0001" / "report.html"
    page.write_text("<!DOCTYPE html><title>Report</title>")
    train(server)
    wait_until(lambda: server.ask("GET", "/train/1").json()["state"] == "done")
    for path in ("/train/1/report", "/versions/nodule_tiny/report?version=1"):
        answer = server.ask("GET", path)
        assert (answer.status_code, answer.text) == (200, page.read_text())
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
        assert "sandbox" in policy
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_training_without_a_result_has_no_report(site: START) -> None:
    server = site(LONG)
    train(server)
    answer = server.ask("GET", "/train/1/report")
    assert answer.status_code == 404
    assert "training 1 has no report: it is" in answer.json()["detail"]
