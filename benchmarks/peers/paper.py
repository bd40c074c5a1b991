"""Peer (a), the published experiment's way, from its description.

Every slice is read by pydicom, taken to Hounsfield units and resized by area in float64, one by one; the HU
window makes [0, 1] of it, in three identical channels. The network is its publisher's, with three input
channels and a new last layer; clips of 32 slices start every 24 and go through it one at a time, in float32,
eager, under ``no_grad``, with the allocator as it is.

Peer (c) is the same in a process whose allocator keeps what was freed: ``way_process.TUNED_ALLOCATOR``.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from numpy.typing import NDArray

from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import HUWindow, get_task

# The last layer of a network whose weights are random, and so large that a logit is worth a look.
FINDINGS = ("finding",)


def read(study: Path, window: HUWindow, offset: float, *, pixels: int = 256) -> NDArray[np.float32]:
    """A folder of one series: (3, slices, pixels, pixels) float32, from feet to head."""
    headers = [pydicom.dcmread(path) for path in study.iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    slices = []
    for header in headers:
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
        hu = header.pixel_array.astype(np.float64) * slope + intercept
        resized = cv2.resize(hu, (pixels, pixels), interpolation=cv2.INTER_AREA)
        slices.append(np.clip((resized - window.low) / window.width, 0, 1) - offset)
    return np.repeat(np.stack(slices).astype(np.float32)[None], 3, axis=0)


class Network:
    """The publisher's network with a last layer for one finding, as it comes: three channels, float32.

    Its weights are those of ``new_classifier`` with the same seed, so that both have to say the same.

    Args:
        name: of the catalog.
        seed: of the weights.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.spec = get_model(name)
        # The same weights come out of the generator in the same order, before our stem and head are made.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._network = self.spec.build()
        place, _, last = self.spec.head.rstrip(".").rpartition(".")
        head = new_classifier(self.spec, FINDINGS, seed=seed).head
        published_head = self._network.get_submodule(place)
        setattr(published_head, last, head)
        if getattr(published_head, "activation", None) is not None:
            published_head.activation = None  # a softmax over one finding says 1 always
        self._network.eval()

    def logit(self, clip: torch.Tensor) -> float:
        """Of a clip (1, 3, slices, rows, columns)."""
        with torch.no_grad():
            # SlowFast wants its two pathways cut by the caller.
            taken = [clip[:, :, ::4], clip] if self.spec.family == "slowfast" else clip
            return float(self._network(taken).squeeze())


class ClipForward:
    """A way: one clip through a network; cutting and scaling are done beforehand.

    Args:
        clip: .npy of uint8 (slices, rows, columns), as our networks take it.
    """

    def __init__(self, clip: str) -> None:
        self._slices = np.load(clip)
        self._network: Network | None = None
        self._clip = torch.empty(0)

    def __call__(self, network: str) -> dict[str, float]:
        """The clip's logit; the first call for a network builds it."""
        if self._network is None or self._network.spec.name != network:
            self._network = None
            self._network = Network(network)
            slices = torch.from_numpy(self._slices[: self._network.spec.clip_slices])
            scaled = slices.float() / 255 - get_task("pe").offset
            self._clip = scaled.expand(1, 3, -1, -1, -1).contiguous()
        return {"logit": self._network.logit(self._clip)}


class WholeStudy:
    """A way: from a DICOM folder to the logit of every clip of the study.

    Args:
        study: the folder.
    """

    def __init__(self, study: str) -> None:
        self._study = Path(study)
        self._task = get_task("pe")
        self._network: Network | None = None

    def __call__(
        self, network: str, warm_up: bool = False, clips: int | None = None, study: str = ""
    ) -> tuple[list[float], float]:
        """The logits, and how many seconds the whole study takes.

        Args:
            network: its name; the first call for a network builds it.
            warm_up: build the network and show it one clip of noise instead.
            clips: how many go through it, the first ones; the seconds of the rest are worked out from theirs.
            study: another folder than that of the settings.
        """
        if self._network is None or self._network.spec.name != network:
            self._network = None
            self._network = Network(network)
        spec = self._network.spec
        if warm_up:
            noise = torch.rand(1, 3, spec.clip_slices, spec.crop_px, spec.crop_px)
            return [self._network.logit(noise)], 0.0
        began = time.perf_counter()
        folder = Path(study) if study else self._study
        slices_seen = read(folder, self._task.hu_window, self._task.offset, pixels=spec.resize_px)
        edge = (slices_seen.shape[2] - spec.crop_px) // 2
        length, slices = spec.clip_slices, slices_seen.shape[1]
        last = slices - length
        starts = [*range(0, last, length * 3 // 4), last]
        shown = starts[:clips]
        logits = []
        have_read = time.perf_counter()
        for start in shown:
            inside = slice(edge, edge + spec.crop_px)
            clip = slices_seen[:, start : start + length, inside, inside]
            logits.append(self._network.logit(torch.from_numpy(np.ascontiguousarray(clip))[None]))
        network_seconds = (time.perf_counter() - have_read) * len(starts) / len(shown)
        return logits, have_read - began + network_seconds
