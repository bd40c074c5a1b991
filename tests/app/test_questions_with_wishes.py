"""Over HTTP: what is asked for beside the probabilities is computed once, in turn, for who still waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from held_predictor import HeldPredictor, Site, listening, publish, write_study
from stand_in import wait_until
from training_site import write_phantoms

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti
from vpt_plugin.errors import CancelledError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.fitness import ANSWERED_ANYWAY
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.conformal_record import ConformalRecord, ConformalScores
from vpt_plugin.training.model_store import ModelStore


class HeldExplain:
    """Stands before ``Predictor.explain``: counts, and holds the heat maps until a test lets them go."""

    def __init__(self, explain: Callable[..., Any]) -> None:
        self.begun = 0
        self.may_end = threading.Event()
        self._explain = explain

    def __call__(self, predictor: Predictor, volume: Any, **options: Any) -> Any:
        self.begun += 1
        while not self.may_end.wait(0.01):
            if options["cancelled"]():
                raise CancelledError
        return self._explain(predictor, volume, **options)


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch) -> HeldExplain:
    held = HeldExplain(Predictor.explain)
    monkeypatch.setattr(Predictor, "explain", lambda *args, **options: held(*args, **options))
    return held


@pytest.fixture
def site(serve, clients, explain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Whose answers come at once, and whose heat maps when a test lets them."""
    write_study(tmp_path / "studies" / "a.nii")
    publish(tmp_path / "models")
    network = HeldPredictor(Predictor.predict)
    network.release(1000)
    monkeypatch.setattr(Predictor, "predict", lambda *args, **options: network(*args, **options))
    with listening(serve(), network) as running:
        yield running
        explain.may_end.set()


def wishing(site: Site, timeout: float = 60, **params: Any) -> requests.Response:
    return site.classify("a.nii", data={"params": json.dumps(params)}, timeout=timeout)


def told(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return dict(response.json()["vptct"])


def waiting(site: Site) -> int:
    return sum(each.waiting for each in site.workplace.answers._questions.values())


def test_two_who_ask_for_the_same_heat_map_wait_for_one_computation_and_the_third_gets_what_was_kept(
    site: Site, clients, explain: HeldExplain
) -> None:
    both = [clients.submit(wishing, site, explain=True) for _ in range(2)]
    wait_until(lambda: waiting(site) == 2 and explain.begun == 1)
    assert site.get("/info/").json()["vptct"]["inference"] == {"running": 1, "waiting": 0}
    explain.may_end.set()
    answers = [each.result() for each in both] + [wishing(site, explain=["lung_nodule"])]
    assert {each.status_code for each in answers} == {200}
    assert explain.begun == 1
    assert site.network.studies == ["a.nii"]


def test_a_client_that_hangs_up_while_it_is_explained_frees_the_device(
    site: Site, clients, explain: HeldExplain
) -> None:
    asked = clients.submit(wishing, site, timeout=1, explain=True)
    with pytest.raises(requests.Timeout):
        asked.result()
    wait_until(lambda: site.workplace.device.inside == 0 and not waiting(site))
    assert explain.begun == 1
    # What was said of the study until then is kept.
    assert told(wishing(site))["kept"] is True


def test_the_plain_answer_is_not_computed_again_for_its_heat_map(site: Site, explain: HeldExplain) -> None:
    explain.may_end.set()
    plain = told(wishing(site))
    assert wishing(site, explain=True).headers["content-type"].startswith("multipart/form-data")
    assert site.network.studies == ["a.nii"]
    assert told(wishing(site))["findings"] == plain["findings"]


def test_other_versions_are_asked_and_named_and_of_the_plain_question_nothing_is_told_of_them(
    site: Site, tmp_path: Path
) -> None:
    publish(tmp_path / "models", seed=1)
    said = told(wishing(site, versions=2))
    first = said["uncertainty"]["versions"]
    assert [(each["model"], each["version"]) for each in first] == [("tiny", 1)]
    mine, other = said["findings"][0]["probability"], first[0]["probabilities"]["lung_nodule"]
    # The standard deviation of two values.
    assert said["uncertainty"]["version_disagreement"] == pytest.approx(abs(mine - other) / 2)
    assert any(each.startswith("2 other versions asked for;") for each in said["warnings"])
    assert told(wishing(site, versions=2))["kept"] is True
    plain = told(wishing(site))
    assert (plain["kept"], plain["uncertainty"]["versions"]) == (True, [])
    # Version 2 twice (once to be compared), version 1 once.
    assert len(site.network.studies) == 2


def test_from_one_computation_follow_the_decisions_at_every_error_rate(site: Site, tmp_path: Path) -> None:
    # About a study that does not show a chest nothing is decided; this one does.
    write_phantoms(tmp_path / "studies", 1)
    (tmp_path / "studies" / "p00.nii").replace(tmp_path / "studies" / "a.nii")
    assert told(wishing(site))["findings"][0]["conformal"] is None
    # Of 19 studies with it all were likelier, of 4 without it all were: 1 in 20, and 1 in 5.
    scores = ConformalScores.of([0.99] * 19, [0.01] * 4)
    classifier = new_classifier(get_model("tiny"), ("lung_nodule",), seed=1)
    card = ModelCard(
        "nodule", "tiny", ("lung_nodule",), "none", 16,
        validation_auroc={"lung_nodule": Estimate(0.9, (0.8, 1.0), 23)},
        conformal=ConformalRecord({"lung_nodule": scores}, folds=False, measured={}),
    )  # fmt: skip
    ModelStore(tmp_path / "models").publish(classifier, card)
    decisions = {}
    for rate in (None, 0.04, 0.05, 0.25):
        found = told(wishing(site, error_rate=rate))["findings"][0]["conformal"]
        decisions[rate] = (found["decision"], found["error_rate"])
    assert decisions == {
        None: ("absent", 0.1),
        0.04: ("unsure", 0.04),
        0.05: ("absent", 0.05),
        0.25: ("unsure", 0.25),
    }
    # Once per version.
    assert site.network.studies == ["a.nii", "a.nii"]


@pytest.fixture
def strict(serve, tmp_path: Path) -> Iterator[Site]:
    """Refuses studies for which an answer would be meaningless, such as a block of water in air."""
    hu = np.full((40, 64, 64), -1000, dtype=np.int16)
    hu[:, 12:52, 8:56] = 40
    (tmp_path / "studies").mkdir()
    block = Volume(hu, (5.0, 6.0, 6.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "a.nii")
    write_nifti(block, tmp_path / "studies" / "a.nii")
    publish(tmp_path / "models")
    publish(tmp_path / "models", seed=1)
    with listening(serve({"unsuitable": "refuse"}), HeldPredictor(Predictor.predict)) as running:
        yield running


def test_a_study_without_lungs_is_refused_and_answered_where_that_is_asked_for(strict: Site) -> None:
    refused = wishing(strict)
    assert (refused.status_code, refused.json()["error"]) == (422, "UnsuitableStudyError")
    answered = told(wishing(strict, anyway=True))
    assert answered["suitability"]["verdict"] == "unfit"
    unfit = [each["sentence"] for each in answered["suitability"]["checks"] if each["verdict"] == "unfit"]
    assert answered["warnings"][0] == ANSWERED_ANYWAY
    assert answered["warnings"][1] in unfit
    # That one client took it all the same is no answer for the next.
    assert wishing(strict).status_code == 422
    assert told(wishing(strict, anyway=True))["kept"] is True
    assert wishing(strict, anyway=True, versions=1, explain=True).status_code == 200
