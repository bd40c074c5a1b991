"""Desk: all that the panel knows and can do, put together in one place."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ..jobs import Jobs
from ..outbox import Outbox
from ..scene.parameters import Parameters
from ..settings import Settings
from ..ticker import Ticker
from .messages import Messages


@dataclass(frozen=True)
class Surroundings:
    """What the desk stands on; Slicer's in the panel, the tests' in tests.

    Attributes:
        ticker: of the main thread.
        settings: of this computer.
        outbox_folder: where labels wait for a server that is away.
        scratch_folder: for files that are made for an upload or come from a download; emptied at the end.
        series_of_instance: the SeriesInstanceUID of a SOPInstanceUID, "" where it is not known; of Slicer's
            DICOM database.
        clock: seconds since 1970.
    """

    ticker: Ticker
    settings: Settings
    outbox_folder: Path
    scratch_folder: Path
    series_of_instance: Callable[[str], str] = lambda uid: ""
    clock: Callable[[], float] = time.time


class Desk:
    """One per panel.

    Args:
        around: what it stands on.

    Attributes:
        jobs: what runs in threads.
        messages: what the reader is told.
        settings: what the reader chose.
        outbox: labels that wait.
    """

    def __init__(self, around: Surroundings) -> None:
        self.settings = around.settings
        self.jobs = Jobs(around.ticker)
        self.messages = Messages()
        self.outbox = Outbox(around.outbox_folder, clock=around.clock)

    def use_scene(self, parameters: Parameters) -> None:
        """Work on this scene from now on; called again whenever one was opened.

        Args:
            parameters: what it remembers.
        """

    def leave_scene(self) -> None:
        """The scene closes: what runs for a study of it is dropped. Labels that are kept are still sent."""

    def close(self) -> None:
        """End all that runs: the panel is going. What is kept on disk stays there."""
        self.jobs.close()
