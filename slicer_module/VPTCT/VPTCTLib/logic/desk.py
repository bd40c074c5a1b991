"""Desk: all that the panel knows and can do, put together in one place."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from ..consent import Consents
from ..jobs import Jobs
from ..outbox import Outbox
from ..scene.parameters import Parameters
from ..settings import Settings
from ..ticker import Ticker
from ..transport.retry import RetryRule
from .choice import Choice
from .classification import Classification
from .messages import Messages
from .questions import Questions, RememberedQuestions
from .server_link import ServerLink
from .study_on_screen import StudyOnScreen
from .trainings import TrainingWatch
from .versions import VersionsOfModel


@dataclass(frozen=True)
class Surroundings:
    """What the desk stands on; Slicer's in the panel, the tests' in tests.

    Attributes:
        ticker: of the main thread.
        settings: of this computer.
        questions: ask the reader.
        outbox_folder: where labels wait for a server that is away.
        scratch_folder: for files that are made for an upload or come from a download; emptied at the end.
        series_of_instance: the SeriesInstanceUID of a SOPInstanceUID, "" where it is not known; of Slicer's
            DICOM database.
        clock: seconds since 1970.
        retry: how often the server is asked again, where that is safe.
    """

    ticker: Ticker
    settings: Settings
    questions: Questions
    outbox_folder: Path
    scratch_folder: Path
    series_of_instance: Callable[[str], str] = lambda uid: ""
    clock: Callable[[], float] = time.time
    retry: RetryRule = field(default_factory=RetryRule)


class Desk:
    """One per panel.

    Args:
        around: what it stands on.

    Attributes:
        jobs: what runs in threads.
        messages: what the reader is told.
        settings: what the reader chose.
        questions: what the reader is asked.
        outbox: labels that wait.
        server: the server.
        choice: the task and the network.
        study: on screen, and where the server has it.
        classification: of it.
        trainings: what runs.
        versions: of the network; which one answers.
        scratch_folder: for files that may go when the module ends.
    """

    def __init__(self, around: Surroundings) -> None:
        self.settings = around.settings
        self.jobs = Jobs(around.ticker)
        self.messages = Messages()
        self.questions = RememberedQuestions(around.questions, Consents(self.settings.store), around.clock)
        self.outbox = Outbox(around.outbox_folder, clock=around.clock)
        self.scratch_folder = around.scratch_folder
        self.server = ServerLink(self.jobs, around.ticker, self.settings, self.messages, retry=around.retry)
        self.choice = Choice(self.server)
        self.study = StudyOnScreen(
            self.server, self.choice, self.jobs, self.messages, around.ticker, around.series_of_instance
        )
        self.classification = Classification(
            self.server, self.choice, self.study, self.jobs, around.ticker, self.messages, self.questions,
            self.settings, around.scratch_folder, around.clock,
        )  # fmt: skip
        self.trainings = TrainingWatch(self.server, self.choice, self.jobs, self.messages, around.ticker)
        self.versions = VersionsOfModel(self.server, self.choice, self.trainings, self.jobs, self.messages)

    def use_scene(self, parameters: Parameters) -> None:
        """Work on this scene from now on; called again whenever one was opened.

        Args:
            parameters: what it remembers.
        """
        self.choice.use(parameters)
        self.study.use(parameters)

    def leave_scene(self) -> None:
        """The scene closes: what runs for a study of it is dropped. Labels that are kept are still sent."""
        self.classification.leave()
        self.study.leave()
        self.choice.use(None)

    def close(self) -> None:
        """End all that runs: the panel is going. What is kept on disk stays there."""
        self.trainings.close()
        self.classification.close()
        self.study.leave()
        self.server.close()
        self.jobs.close()
