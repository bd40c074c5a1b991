"""What a reader sees of a training, from what the server says of it epoch by epoch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hand_ticker import HandTicker
from VPTCTLib.contract.info import ServerInfo, read_info
from VPTCTLib.contract.training import Progress, Training, TrainingState
from VPTCTLib.jobs import Jobs
from VPTCTLib.signal import Signal

GOLDEN = Path(__file__).resolve().parents[2] / "contract" / "info.json"


class Link:
    """As much of a server as a watch listens to; what it says comes from the golden file."""

    def __init__(self) -> None:
        self.changed, self.left = Signal(), Signal()
        self.state, self.client, self.looked = "ready", object(), 0
        self.info: ServerInfo = read_info(json.loads(GOLDEN.read_text()))
        self.model = next(each for each in self.info.models if each.name == "pe_swin_t")

    def refresh(self) -> None:
        self.looked += 1

    def may(self, role: str) -> bool:
        return True

    def says(self, *, running: Training | None = None, queue: Any = (), last: Any = ()) -> None:
        state = TrainingState(True, None, running, tuple(queue), tuple(last))
        self.info = replace(self.info, trainings=state)
        self.changed.emit()


class Chosen:
    """The choice of one network."""

    def __init__(self, link: Link) -> None:
        self.changed, self.model = Signal(), link.model


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def messages(scene: Any) -> Any:
    from VPTCTLib.logic.messages import Messages

    return Messages()


@pytest.fixture
def watch(link: Link, messages: Any) -> Any:
    from VPTCTLib.logic.trainings import TrainingWatch

    ticker = HandTicker()
    return TrainingWatch(link, Chosen(link), Jobs(ticker), messages, ticker)  # type: ignore[arg-type]


def training(number: int = 9, state: str = "running", progress: Progress | None = None) -> Training:
    return Training(
        number, "pe_swin_t", "pe", "swin_t", state, {}, "anna", "2026-11-21T09:12:04Z", None, None,
        progress, (), None, None,
    )  # fmt: skip


def at(
    state: str, epoch: int, loss: float | None, auroc: float | None, *, fold: int = 0, step: int = 0
) -> Progress:
    """Ten steps to an epoch, ten epochs; in the middle of the epoch unless a step is named."""
    step = step or epoch * 10 - 5
    return Progress(state, step, 100, epoch, 10, loss, auroc, auroc, 60.0, "", fold, 5 if fold else 0)


def points(watch: Any) -> list[tuple[int, float | None, float | None]]:
    return [(each.epoch, each.loss, each.auroc) for each in watch.curve]


def test_the_auroc_told_in_the_middle_of_an_epoch_is_of_the_epoch_before(watch: Any, link: Link) -> None:
    for progress in (
        at("preparing", 0, None, None),
        at("training", 1, 0.7, None),
        at("training", 2, 0.6, 0.8),
        at("validating", 2, 0.55, 0.8, step=20),
        at("training", 3, 0.5, 0.9),
    ):
        link.says(running=training(progress=progress))
    assert points(watch) == [(1, 0.7, 0.8), (2, 0.55, 0.9), (3, 0.5, None)]


def test_the_auroc_told_at_the_end_of_an_epoch_is_its_own(watch: Any, link: Link) -> None:
    link.says(running=training(progress=at("training", 1, 0.7, None)))
    link.says(running=training(progress=at("training", 2, 0.6, 0.9, step=20)))
    assert points(watch) == [(1, 0.7, None), (2, 0.6, 0.9)]


def test_folds_follow_each_other(watch: Any, link: Link) -> None:
    for fold, epoch in ((1, 1), (1, 2), (2, 1), (2, 2)):
        link.says(running=training(progress=at("training", epoch, 0.5, None, fold=fold)))
    assert [(each.fold, each.epoch) for each in watch.curve] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_one_that_waits_says_how_many_are_before_it(watch: Any, link: Link) -> None:
    other = replace(training(8), name="nodule_tiny")
    link.says(running=other, queue=[replace(other, id=10, state="queued"), training(11, "queued")])
    assert (watch.current.id, watch.before, watch.can_stop) == (11, 2, True)
    assert watch.curve == ()


def test_the_end_is_told_once_and_the_server_looked_at_for_the_new_version(
    watch: Any, link: Link, messages: Any
) -> None:
    golden = read_info(json.loads(GOLDEN.read_text())).trainings
    done = next(each for each in golden.last if each.state == "done")
    ended: list[int] = []
    watch.finished.connect(lambda each: ended.append(each.id))
    link.says(last=[done])
    assert (ended, messages.all) == ([], ()), "what ended before this panel opened is no news"
    link.says(running=replace(done, state="running", outcome=None), last=[])
    link.says(last=[done])
    link.says(last=[done])
    assert (ended, link.looked) == ([done.id], 1)
    assert messages.current.text == done.outcome.decision


def test_another_server_has_no_curve_of_the_one_before(watch: Any, link: Link) -> None:
    link.says(running=training(progress=at("training", 1, 0.7, None)))
    assert watch.curve
    link.left.emit()
    assert (watch.current, watch.curve, watch.why_not) == (None, (), "Wait for the server.")
