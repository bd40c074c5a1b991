"""Order: one classification that a reader asked for, and what all of them are worked on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import slicer

from ..client import Client
from ..contract.info import ModelInfo, ServerInfo, StudyNeeds, TaskInfo
from ..errors import VptctError
from ..jobs import Jobs
from ..scene.heat_map import box_of
from ..settings import UPLOAD_WHOLE, Settings
from ..ticker import Ticker
from ..which_study import Origin
from .asking import Asking
from .questions import Questions
from .upload_sessions import UploadSessions


@dataclass(frozen=True)
class Order:
    """What the reader asked for, and of whom.

    Attributes:
        volume: the node.
        volume_id: of the node, which is known when it is gone, too.
        volume_name: in words, likewise.
        task, model: that are to answer.
        client: to the server, as the reader who is logged in.
        info: what the server said last.
        explain: whether the answer is to tell where in the volume it comes from.
        anyway: whether the reader wants one that the server refused as meaningless.
    """

    volume: slicer.vtkMRMLScalarVolumeNode
    volume_id: str
    volume_name: str
    task: TaskInfo
    model: ModelInfo
    client: Client
    info: ServerInfo
    explain: bool = False
    anyway: bool = False

    def is_for(self, volume_id: str, model: str) -> bool:
        """Whether it is for this volume and this network."""
        return (self.volume_id, self.model.name) == (volume_id, model)


@dataclass(frozen=True)
class Bench:
    """What all runs work with.

    Attributes:
        jobs: for all that takes time.
        ticker: of the main thread.
        questions: before anything is uploaded.
        settings: whether studies are uploaded whole.
        sessions: what was uploaded before.
        scratch_folder: for files on their way.
        origin_of: where a volume came from.
    """

    jobs: Jobs
    ticker: Ticker
    questions: Questions
    settings: Settings
    sessions: UploadSessions
    scratch_folder: Path
    origin_of: Callable[[slicer.vtkMRMLScalarVolumeNode], Origin]

    def needs(self, order: Order) -> StudyNeeds | None:
        """The form in which a study is uploaded for this network; None for whole."""
        return None if self.settings.get(UPLOAD_WHOLE) else order.task.needs_of(order.model)

    def asking(self, order: Order) -> Asking:
        """What is asked for an order about its volume as it is now."""
        over = box_of(order.volume) if order.explain else None
        return Asking(order.client, order.model.name, over, self.scratch_folder, order.anyway)


class NotKeptError(VptctError):
    """The answer is of no use, for the volume is another one by now, or gone."""


class NotAgreedError(VptctError):
    """The reader does not want the study to leave this computer."""
