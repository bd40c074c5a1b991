"""How idle a GPU is while a real finetuning runs: what its kernels took, of the clock between two steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import PhantomConfig, write_phantom_set
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import get_task
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.sources import ManifestSource

# The first steps find out how many clips fit, and choose algorithms.
FIRST_STEP, LAST_STEP = 60, 160
_SIDES = (20, 6, 0)
# Slices as wide as the published networks take them, of the usual distance.
_PHANTOMS = PhantomConfig(pixels=256, slice_spacings_mm=(2.0,))


class StepWatch:
    """Told of a training's progress, it looks at the GPU between two of its steps.

    Attributes:
        seconds: on the clock, between them.
        busy: seconds in which at least one kernel or copy was on the GPU.
    """

    def __init__(self) -> None:
        self.seconds = float("nan")
        self.busy = float("nan")
        self._profile: profile | None = None
        self._began = 0.0

    def __call__(self, now: Progress) -> None:
        """A step was done."""
        if now.state != "training":
            return
        if now.step == FIRST_STEP:
            torch.cuda.synchronize()
            self._profile = profile(activities=[ProfilerActivity.CUDA])
            self._profile.start()
            self._began = time.perf_counter()
        elif now.step == LAST_STEP and self._profile is not None:
            torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self._began
            self._profile.stop()
            events: Any = self._profile.events()
            spans = [
                (event.time_range.start, event.time_range.end)
                for event in events
                if event.device_type == DeviceType.CUDA
            ]
            # In microseconds; without any, the driver lets nobody look.
            self.busy = covered(spans) / 1e6 if spans else float("nan")

    @property
    def idle_per_cent(self) -> float:
        """Of the clock; nan where nobody could look."""
        return 100 * (1 - self.busy / self.seconds)


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of some spans."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def training_idle_per_cent(network: str) -> tuple[float, float]:
    """Idle share, in per cent, and steps per second of a finetuning as `vpt finetune` does it.

    The share is nan where nobody could look.
    """
    task, watch = get_task("nodule"), StepWatch()
    settings = {"pretraining": "none", "epochs": 1, "steps_per_epoch": LAST_STEP, "folds": 0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_phantom_set(
            folder / "set", count=sum(_SIDES), seed=4, task=task.name, formats=("nrrd",),
            splits=_SIDES, config=_PHANTOMS,
        )  # fmt: skip
        finetune(
            ManifestSource(Manifest.read(folder / "set" / "manifest.csv")), task, get_model(network),
            FinetuneConfig.from_dict(settings), store=ModelStore(folder / "models"),
            cache=folder / "prepared", device="cuda", progress=watch, report=False,
        )  # fmt: skip
    return watch.idle_per_cent, (LAST_STEP - FIRST_STEP) / watch.seconds
