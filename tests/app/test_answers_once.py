"""Over HTTP: equal questions are computed once, others are not held up, what was answered is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
import requests
from held_predictor import HeldPredictor, Site, listening, publish, write_study
from stand_in import wait_until

from vpt_plugin.inference import Predictor
from vpt_plugin.training.model_store import ModelStore

# More than the threads that all routes of a server share.
MANY = 60


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MANY) as pool:
        yield pool


@pytest.fixture
def site(serve, clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Ends before the clients, who else wait for what is held."""
    for name in ("a.nii", "b.nii", "p01"):
        write_study(tmp_path / "studies" / name)
    publish(tmp_path / "models")
    network = HeldPredictor(Predictor.predict)
    monkeypatch.setattr(Predictor, "predict", lambda *args, **options: network(*args, **options))
    with listening(serve(), network) as running:
        yield running


def waiting(site: Site) -> int:
    """How many wait for answers that are being computed."""
    return sum(each.waiting for each in site.workplace.answers._questions.values())


def test_sixty_clients_wait_for_one_computation_and_every_other_route_answers(site: Site, clients) -> None:
    answers = [clients.submit(site.classify, "a.nii") for _ in range(MANY)]
    wait_until(lambda: waiting(site) == MANY and site.network.studies == ["a.nii"])
    told = site.get("/info/")
    assert told.json()["vptct"]["inference"] == {"running": 1, "waiting": 0}
    assert site.get("/datastore/?output=all").status_code == 200
    site.network.release()
    results = [each.result() for each in answers]
    assert {each.status_code for each in results} == {200}
    assert len({each.text for each in results}) == 1
    assert site.network.studies == ["a.nii"]


def test_the_client_that_was_first_hangs_up_and_the_second_gets_the_answer(site: Site, clients) -> None:
    first = clients.submit(site.classify, "a.nii", timeout=1)
    wait_until(lambda: waiting(site) == 1)
    second = clients.submit(site.classify, "a.nii")
    wait_until(lambda: waiting(site) == 2)
    with pytest.raises(requests.Timeout):
        first.result()
    wait_until(lambda: waiting(site) == 1)
    site.network.release()
    assert second.result().json()["vptct"]["kept"] is False
    assert site.network.studies == ["a.nii"]


def test_when_both_hang_up_the_network_is_free_for_the_next(site: Site, clients) -> None:
    both = [clients.submit(site.classify, "a.nii", timeout=1) for _ in range(2)]
    for each in both:
        with pytest.raises(requests.Timeout):
            each.result()
    wait_until(lambda: site.workplace.device.inside == 0)
    site.network.release()
    assert site.classify("a.nii").json()["vptct"]["kept"] is False
    assert site.network.studies == ["a.nii", "a.nii"]


def test_what_was_answered_is_answered_at_once_by_id_by_session_and_by_upload(site: Site, tmp_path) -> None:
    site.network.release(3)
    file = (tmp_path / "studies" / "b.nii").read_bytes()
    opened = requests.put(f"{site.url}/session/", files=[("files", ("s.nii", file))], timeout=60).json()
    ways = [
        {"image": "a.nii"},
        {"session_id": opened["session_id"]},
        {"files": {"file": ("u.nii", file)}},
    ]
    kept = [[site.classify(**way).json()["vptct"]["kept"] for way in ways] for _ in range(2)]
    assert kept == [[False] * 3, [True] * 3]
    assert site.network.studies == ["a.nii", "s.nii", "u.nii"]


def test_a_series_that_lies_here_is_asked_about_by_its_id_and_nothing_is_uploaded(
    site: Site, tmp_path: Path
) -> None:
    site.network.release()
    header = pydicom.dcmread(next((tmp_path / "studies" / "p01").iterdir()))
    image = site.get(f"/datastore/series/{header.SeriesInstanceUID}").json()["image"]
    assert [site.classify(image).json()["vptct"]["kept"] for _ in range(2)] == [False, True]
    assert site.network.studies == ["p01"]


def test_another_version_a_rollback_and_another_file_are_other_questions(site: Site, tmp_path: Path) -> None:
    site.network.release(10)

    def answer() -> tuple[int, bool]:
        told = site.classify("a.nii").json()["vptct"]
        return told["model"]["version"], told["kept"]

    assert [answer(), answer()] == [(1, False), (1, True)]
    publish(tmp_path / "models", seed=1)
    assert [answer(), answer()] == [(2, False), (2, True)]
    ModelStore(tmp_path / "models").rollback("nodule", "tiny", why="worse")
    assert answer() == (1, True)
    os.utime(tmp_path / "studies" / "a.nii", ns=(1, 1))
    assert answer() == (1, False)


def test_an_error_is_told_to_all_and_kept_for_nobody(site: Site, clients, tmp_path: Path) -> None:
    study = tmp_path / "studies" / "a.nii"
    whole = study.read_bytes()
    study.write_bytes(whole[: len(whole) // 2])
    refused = [clients.submit(site.classify, "a.nii") for _ in range(3)]
    assert {each.result().status_code for each in refused} == {422}
    study.write_bytes(whole)
    site.network.release()
    assert site.classify("a.nii").status_code == 200
