"""The desk without its panel: real scene, real server behind a relay, timers that the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from answers_to_questions import Answers
from hand_ticker import HandTicker
from standin.wheel import require_scene
from VPTCTLib.settings import Settings
from VPTCTLib.transport.retry import RetryRule


@dataclass
class Reader:
    """A reader at the desk, with what they and the desk stand on.

    Attributes:
        desk: the logic.
        ticker: to be turned.
        answers: to its questions.
        site: the server.
        parameters: of the scene.
    """

    desk: Any
    ticker: HandTicker
    answers: Answers
    site: Any
    parameters: Any

    def log_in(self, name: str = "anna") -> None:
        """Connect to the server as somebody, and wait until it is ready."""
        self.desk.server.connect(self.site.relay.url)
        self.ticker.until(lambda: self.desk.server.state == "login")
        self.desk.server.log_in_with_token(self.site.tokens[name])
        self.ticker.until(lambda: self.desk.server.state == "ready")

    def wait(self) -> None:
        """Until nothing runs."""
        self.ticker.until(lambda: self.desk.jobs.running == 0)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty scene, which is Slicer's."""
    slicer = require_scene()
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    # Of the application nothing else is asked for: Slicer's readers of volumes want its logic.
    application = SimpleNamespace(applicationLogic=lambda: logic, translate=lambda context, text: text)
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    monkeypatch.setattr(slicer, "app", application, raising=False)
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetModuleLogic("Colors", logic.GetColorLogic())
    scene.AddNode(slicer.vtkMRMLSelectionNode())
    yield scene
    scene.Clear(True)


@pytest.fixture
def answers() -> Answers:
    """Yes to everything, until the test says otherwise."""
    return Answers()


@pytest.fixture
def ticker() -> HandTicker:
    """Time stands still but for the test."""
    return HandTicker()


@pytest.fixture
def around(ticker: HandTicker, answers: Answers, scene: Any, tmp_path: Path) -> Any:
    """What a desk of this test stands on; settings, kept labels and scratch files of this test alone."""
    from VPTCTLib.logic.desk import Surroundings

    (tmp_path / "scratch").mkdir()
    return Surroundings(
        ticker=ticker,
        settings=Settings({}),
        questions=answers,
        outbox_folder=tmp_path / "labels that wait",
        scratch_folder=tmp_path / "scratch",
        clock=lambda: ticker.now,
        retry=RetryRule(first_wait_seconds=0.01, factor=1.0),
    )


@pytest.fixture
def desk(around: Any, scene: Any) -> Iterator[Any]:
    """A desk without a server, at work on the scene."""
    from VPTCTLib.logic.desk import Desk

    desk = Desk(around)
    desk.use_scene(_parameters(scene))
    yield desk
    desk.close()


@pytest.fixture
def reader(desk: Any, ticker: HandTicker, answers: Answers, site: Any, scene: Any) -> Iterator[Reader]:
    """A reader who has not connected to the server yet: ``reader.log_in()``."""
    yield Reader(desk, ticker, answers, site, _parameters(scene))
    site.relay.refuses, site.relay.loses_answers = False, 0


def _parameters(scene: Any) -> Any:
    import slicer
    from VPTCTLib.scene.parameters import Parameters

    node = scene.GetSingletonNode("VPTCT", "vtkMRMLScriptedModuleNode")
    if node is None:
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag("VPTCT")
        node = scene.AddNode(node)
    return Parameters(node)
