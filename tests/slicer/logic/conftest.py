"""The desk without its panel: real scene, real server behind a relay, timers that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from answers_to_questions import Answers
from hand_ticker import HandTicker
from standin.slot_errors import no_swallowed_errors
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

    def classify_until(self, state: str) -> None:
        """Click Classify, and wait until it is there; it goes no further before the ticker is turned."""
        relay = self.site.relay
        held = {"uploading": "PUT /session/", "computing": "POST /infer/"}.get(state, "")
        before, held_before = len(relay.asked), relay.holds
        relay.holds = held_before or held
        self.desk.classification.start()
        self.ticker.until(lambda: self.desk.classification.state == state)
        self.ticker.until(lambda: not held or any(line.startswith(held) for line in relay.asked[before:]))
        # What the server says from now on comes when the ticker is turned.
        relay.holds = held_before

    def classify_again(self) -> Any:
        """Click Classify as soon as that can be, and wait for the answer, which is given."""
        classification = self.desk.classification
        self.ticker.until(lambda: classification.can_start == "")
        self.classify_until("computing")
        self.ticker.until(lambda: classification.state == "idle")
        return classification.result

    @property
    def told(self) -> str:
        """What the message on screen says; "" without one."""
        message = self.desk.messages.current
        return message.text if message is not None else ""

    def wait(self) -> None:
        """Until nothing runs."""
        self.ticker.until(lambda: self.desk.jobs.running == 0)


@pytest.fixture(autouse=True)
def no_slot_errors() -> Iterator[list[BaseException]]:
    """A fault in a slot of a signal, or in what is done with the result of a job, fails the test."""
    with no_swallowed_errors() as errors:
        yield errors


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
    site.relay.refuses, site.relay.loses_answers, site.relay.holds = False, 0, ""


@pytest.fixture
def open_study(reader: Reader, scene: Any) -> Callable[..., Any]:
    """Puts a phantom on screen: read from this computer's disk, or ``marked`` as a study of the server.

    Takes its name in the scene, and the study of the server that it is.
    """
    import slicer
    from VPTCTLib.scene.origin import mark_origin

    def open_study(name: str = "CT 1", study: str = "s00.nii", *, marked: bool = False) -> Any:
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(reader.site.root / "studies" / study))
        assert storage.ReadData(volume)
        if marked:
            mark_origin(volume, server=reader.site.relay.url, study=study)
        reader.desk.study.select(volume)
        return volume

    return open_study


@pytest.fixture
def nothing_is_left(reader: Reader, around: Any) -> Iterator[None]:
    """At the end of the test no classification runs, and no file of one lies about."""
    yield
    reader.site.relay.holds = ""
    reader.wait()
    assert reader.desk.classification.state == "idle"
    assert list(around.scratch_folder.iterdir()) == []


@pytest.fixture
def uploads(reader: Any) -> Callable[[], int]:
    """How many uploads came to the server in this test."""
    before = len(reader.site.relay.asked)
    return lambda: sum(line.startswith("PUT /session/") for line in reader.site.relay.asked[before:])


def _parameters(scene: Any) -> Any:
    import slicer
    from VPTCTLib.scene.parameters import Parameters

    node = scene.GetSingletonNode("VPTCT", "vtkMRMLScriptedModuleNode")
    if node is None:
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag("VPTCT")
        node = scene.AddNode(node)
    return Parameters(node)
