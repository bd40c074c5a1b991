"""The real server while versions are promoted and rolled back beside it: the next answer is the new one's."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import requests
from server_process import ServerProcess
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.training.model_store import ModelStore


@dataclass
class Site:
    """A server with its models, and what it answers."""

    url: str
    models: Path

    def publish(self, seed: int, *, serve: bool) -> None:
        classifier = new_classifier(get_model("tiny"), ("lung_nodule",), seed=seed)
        card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16, synthetic=True)
        ModelStore(self.models).publish(classifier, card, serve=serve)

    def vpt(self, *words: str) -> str:
        result = CliRunner().invoke(app, ["versions", *words, "--models-dir", str(self.models)])
        assert result.exit_code == 0, result.output
        return result.stdout

    def ask(self) -> requests.Response:
        return requests.post(f"{self.url}/infer/nodule_tiny", params={"image": "a.nii"}, timeout=120)

    def version(self) -> int:
        response = self.ask()
        assert response.status_code == 200, response.text
        return int(response.json()["vptct"]["model"]["version"])

    def info(self) -> dict[str, object]:
        (model,) = requests.get(f"{self.url}/info/", timeout=30).json()["vptct"]["models"]
        return {name: model[name] for name in ("trained", "version", "problem")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    for folder in ("studies", "models"):
        (root / folder).mkdir()
    hu = np.random.default_rng(0).integers(-900, -300, (40, 96, 96)).astype(np.int16)
    hu[10:30, 30:60, 30:60] += 600
    volume = Volume(hu, (2.5, 3.0, 3.0), (-140.0, -150.0, -320.5), np.eye(3)[:, ::-1].copy(), study="a")
    write_nifti(volume, root / "studies" / "a.nii")
    conf = {
        "tasks": "nodule",
        "models": "tiny",
        "device": "cpu",
        "models_dir": str(root / "models"),
        "unsuitable": "warn",
    }
    conf |= {"scoring": "off"}
    with ServerProcess(root / "studies", conf=conf) as process:
        yield Site(process.url, root / "models")


@pytest.fixture
def site(server: Site) -> Site:
    """The server with version 1, a candidate, and nothing else."""
    shutil.rmtree(server.models / "nodule_tiny", ignore_errors=True)
    server.publish(1, serve=False)
    return server


@dataclass
class Asking(threading.Thread):
    """A reader who asks again and again; notes when each question was put and what came."""

    site: Site
    answers: list[tuple[float, int, int]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.enough.is_set():
            asked_at = time.monotonic()
            response = self.site.ask()
            version = response.json()["vptct"]["model"]["version"] if response.ok else 0
            self.answers.append((asked_at, response.status_code, version))


def test_candidates_do_not_answer_and_the_server_says_how_to_choose_one(site: Site) -> None:
    response = site.ask()
    assert response.status_code == 409
    assert "none of its versions is served; there are candidates: 1." in response.json()["detail"]
    assert response.json()["hint"] == "Choose one: vpt versions promote nodule_tiny VERSION --why TEXT"
    assert site.info() == {
        "trained": False,
        "version": None,
        "problem": "None of its versions (1) is served.",
    }


def test_promoting_and_rolling_back_change_the_next_answer_and_drop_no_request(site: Site) -> None:
    site.vpt("promote", "nodule_tiny", "1", "--why", "the first")
    site.publish(2, serve=False)
    assert site.version() == 1
    readers = [Asking(site) for _ in range(3)]
    for reader in readers:
        reader.start()
    served_from: list[tuple[float, int]] = []
    for words, version in ((("promote", "nodule_tiny", "2"), 2), (("rollback", "nodule_tiny"), 1)) * 2:
        site.vpt(*words, "--why", "a test")
        served_from.append((time.monotonic(), version))
        assert site.version() == version
        assert site.info() == {"trained": True, "version": version, "problem": None}
    for reader in readers:
        reader.enough.set()
        reader.join()
    answers = [answer for reader in readers for answer in reader.answers]
    assert len(answers) >= 8, "too few requests ran beside the promotions"
    assert {status for _, status, _ in answers} == {200}
    assert {version for _, _, version in answers} == {1, 2}
    last_at, last = served_from[-1]
    assert all(version == last for asked_at, _, version in answers if asked_at > last_at)


def test_with_a_damaged_record_the_server_answers_with_no_version_and_says_why(site: Site) -> None:
    site.publish(2, serve=True)
    assert site.version() == 2
    record = site.models / "nodule_tiny" / "served.json"
    before = record.read_bytes()
    record.write_bytes(before[:40])
    response = site.ask()
    assert response.status_code == 503
    assert "which version is served cannot be read" in response.json()["detail"]
    assert str(site.models) not in response.text
    assert site.info()["trained"] is False
    assert "which version is served, cannot be read" in str(site.info()["problem"])
    site.vpt("promote", "nodule_tiny", "1", "--why", "that one is good, too")
    assert site.version() == 1
