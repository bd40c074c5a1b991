"""What is served is loaded ahead, each version once, and while one is loaded the others answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lib.predictors import Predictors
from lib.warm_up import WarmUp
from stand_in import wait_until

from vpt_plugin.errors import NotTrainedError, WeightsError
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

NODULE, PE = TASKS["nodule"], TASKS["pe"]


class Store(ModelStore):
    """A store that notes what is loaded from it, and may hold a load until the test lets it go."""

    def __init__(self, root: Path) -> None:
        self._minutes = 0
        super().__init__(root, clock=self._tick)
        self.loaded: list[str] = []
        self.held = ""
        self.go = threading.Event()

    def publish_tiny(self, task: str, *, seed: int = 0) -> ModelCard:
        findings = TASKS[task].findings
        classifier = new_classifier(get_model("tiny"), findings, seed=seed)
        return self.publish(classifier, ModelCard(task, "tiny", findings, "none", 16, synthetic=True))

    def load(self, task, model, version=None):
        self.loaded.append(f"{task.name}_{model} {version}")
        if self.held == task.name:
            assert self.go.wait(20)
        return super().load(task, model, version)

    def _tick(self) -> str:
        self._minutes += 1
        return f"2026-11-20T20:{self._minutes:02d}:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "models")
    for task in ("pe", "nodule"):
        made.publish_tiny(task)
    return made


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_who_asks_while_a_version_is_loaded_waits_for_that_and_who_asks_another_does_not(
    store: Store, threads
) -> None:
    predictors = Predictors(store, device="cpu")
    store.held = "nodule"
    waiting = [threads.submit(predictors.current, NODULE, "tiny") for _ in range(3)]
    wait_until(lambda: store.loaded == ["nodule_tiny 1"])
    # Here, in this very thread, while the other one is held.
    assert predictors.current(PE, "tiny").task is PE
    store.go.set()
    one, *others = [each.result() for each in waiting]
    assert all(each is one for each in others)
    assert store.loaded == ["nodule_tiny 1", "pe_tiny 1"]


def test_a_load_that_fails_is_told_to_all_who_wait_and_tried_again_by_the_next(store: Store, threads) -> None:
    predictors = Predictors(store, device="cpu")
    weights = store.place("nodule", "tiny", 1) / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    store.held = "nodule"
    waiting = [threads.submit(predictors.current, NODULE, "tiny") for _ in range(2)]
    wait_until(lambda: bool(store.loaded))
    store.go.set()
    for each in waiting:
        with pytest.raises(WeightsError):
            each.result()
    weights.write_bytes(whole)
    assert predictors.current(NODULE, "tiny").card.version == 1


def test_only_the_few_that_were_used_last_stay_loaded(store: Store) -> None:
    predictors = Predictors(store, device="cpu", keep=1)
    for task in (NODULE, NODULE, PE, NODULE):
        predictors.current(task, "tiny")
    assert store.loaded == ["nodule_tiny 1", "pe_tiny 1", "nodule_tiny 1"]


def test_at_the_start_what_was_served_last_of_each_task_is_loaded_as_many_as_are_kept(store: Store) -> None:
    findings = NODULE.findings
    slow = new_classifier(get_model("resnet18_2d"), findings, seed=0)
    store.publish(slow, ModelCard("nodule", "resnet18_2d", findings, "none", 1, synthetic=True))
    models = [get_model(name) for name in ("tiny", "resnet18_2d")]

    def first(keep: int) -> list[tuple[str, str]]:
        return WarmUp(Predictors(store, device="cpu", keep=keep), [PE, NODULE], models).first()

    assert first(3) == [("pe", "tiny"), ("nodule", "resnet18_2d"), ("nodule", "tiny")]
    assert first(2) == [("pe", "tiny"), ("nodule", "resnet18_2d")]


def test_a_version_loaded_ahead_is_warmed_up_once_and_not_loaded_for_the_first_reader(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[str] = []
    monkeypatch.setattr(Predictor, "warm_up", lambda predictor: warmed.append(predictor.card.task))
    predictors = Predictors(store, device="cpu", warm_up=True)
    warm_up = WarmUp(predictors, [PE, NODULE], [get_model("tiny")])
    warm_up.load(warm_up.first())
    assert (warmed, store.loaded) == (["pe", "nodule"], ["pe_tiny 1", "nodule_tiny 1"])
    predictors.current(NODULE, "tiny")
    assert len(store.loaded) == 2
    assert predictors.served_anew() == []


def test_a_version_that_is_newly_served_is_loaded_ahead_where_its_network_was_in_use(store: Store) -> None:
    predictors = Predictors(store, device="cpu")
    warm_up = WarmUp(predictors, [PE, NODULE], [get_model("tiny")])
    predictors.current(NODULE, "tiny")
    for task in ("pe", "nodule"):
        store.publish_tiny(task, seed=1)
    assert predictors.served_anew() == [("nodule", "tiny")]
    warm_up.load(predictors.served_anew())
    assert predictors.current(NODULE, "tiny").card.version == 2
    assert store.loaded == ["nodule_tiny 1", "nodule_tiny 2"]


def test_one_that_cannot_be_loaded_ahead_is_logged_and_does_not_keep_back_the_next(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    predictors = Predictors(store, device="cpu")
    (store.place("pe", "tiny", 1) / "weights.safetensors").unlink()
    WarmUp(predictors, [PE, NODULE], [get_model("tiny")]).load([("pe", "tiny"), ("nodule", "tiny")])
    assert "pe_tiny cannot be loaded ahead" in caplog.text
    assert store.loaded == ["pe_tiny 1", "nodule_tiny 1"]


def test_nothing_served_is_nothing_to_load(tmp_path: Path) -> None:
    predictors = Predictors(ModelStore(tmp_path), device="cpu")
    assert WarmUp(predictors, [PE], [get_model("tiny")]).first() == []
    with pytest.raises(NotTrainedError):
        predictors.current(PE, "tiny")


def test_one_whose_card_is_damaged_keeps_back_no_other_new_version_and_is_told_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    predictors = Predictors(store, device="cpu")
    for task in (PE, NODULE):
        predictors.current(task, "tiny")
    (store.place("pe", "tiny", 1) / "card.json").write_text("{")
    store.publish_tiny("nodule", seed=1)
    for _ in range(2):
        assert predictors.served_anew() == [("nodule", "tiny")]
    assert caplog.text.count("pe_tiny: what is served of it cannot be told") == 1
