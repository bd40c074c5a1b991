"""Trainer: one ``<task>_<model>`` that can be trained, as MONAI Label lists it in ``GET /info/``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

from monailabel.interfaces.tasks.train import TrainTask

from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig

from ..errors import NotOfferedError


class Trainer(TrainTask):
    """One task trained with one network, under the name ``<task>_<model>``."""

    def __init__(self, task: ReadingTask, spec: ModelSpec) -> None:
        super().__init__(f"{task.title}: {spec.title}")
        self.task = task
        self.spec = spec
        self.name = f"{task.name}_{spec.name}"

    def config(self) -> dict[str, Any]:
        """The settings with their defaults; MONAI Label's clients send back what they find here.

        What has no default is chosen by the training, and is left out.
        """
        return dict(_defaults())

    def __call__(self, request: dict[str, Any], datastore: object) -> NoReturn:
        """MONAI Label's call: not offered. Our routes order a training, which runs in its own process."""
        raise NotOfferedError("a training does not run in the server;", "POST /train/{model} orders one.")


@cache
def _defaults() -> Mapping[str, Any]:
    """The same for all trainers; GET /info/ asks each of them every time."""
    return {name: value for name, value in FinetuneConfig().to_dict().items() if value is not None}
