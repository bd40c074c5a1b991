"""Peer (b), a stock MONAI Label app: the usual chain of transforms, and BasicInferTask with SimpleInferer.

From the documentation of both: LoadImaged, EnsureChannelFirstd, Orientationd to RAS, ScaleIntensityRanged for
the HU window, Resized by area; then the network. What a stock app has for networks of whole volumes, this one
has for networks of clips: a module that cuts the volume into clips and takes the highest answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    Resized,
    ScaleIntensityRanged,
)
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask

from peers.paper import FINDINGS, Network
from vpt_plugin.models.catalog import get_model
from vpt_plugin.tasks import HUWindow, get_task


def transforms(window: HUWindow, *, slices: int = -1, pixels: int = 256) -> list[Callable[..., Any]]:
    """The stock chain: a path under ``image`` becomes (1, columns, rows, slices) in [0, 1], towards RAS."""
    return [
        LoadImaged(keys="image"),
        EnsureChannelFirstd(keys="image"),
        Orientationd(keys="image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        ScaleIntensityRanged(keys="image", a_min=window.low, a_max=window.high, b_min=0, b_max=1, clip=True),
        Resized(keys="image", spatial_size=(pixels, pixels, slices), mode="area"),
    ]


def read(study: Path, window: HUWindow, *, pixels: int = 256) -> torch.Tensor:
    """A folder of one series: (1, columns, rows, slices) float32."""
    image: torch.Tensor = Compose(transforms(window, pixels=pixels))({"image": str(study)})["image"]
    return image


class ClipsOfVolume(torch.nn.Module):
    """A network of clips that takes a volume: (1, 1, columns, rows, slices) to the highest logit (1, 1)."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self._network = Network(network)
        self._offset = get_task("pe").offset

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Every clip of the volume, one at a time, in three channels."""
        spec = self._network.spec
        # Towards RAS, (columns, rows, slices): the networks see LPS, (slices, rows, columns).
        slices = torch.as_tensor(volume)[0, 0].flip(0, 1).permute(2, 1, 0) - self._offset
        edge = (slices.shape[1] - spec.crop_px) // 2
        inside = slice(edge, edge + spec.crop_px)
        last = len(slices) - spec.clip_slices
        logits = []
        for start in [*range(0, last, spec.clip_slices * 3 // 4), last]:
            clip = slices[start : start + spec.clip_slices, inside, inside]
            logits.append(self._network.logit(clip.expand(1, 3, -1, -1, -1).contiguous()))
        return torch.tensor([[max(logits)]])


class StockTask(BasicInferTask):  # type: ignore[misc]
    """A classification as a stock app writes it."""

    def __init__(self, network: str) -> None:
        self._pixels = get_model(network).resize_px
        super().__init__(
            path=None,
            network=ClipsOfVolume(network),
            type=InferType.CLASSIFICATION,
            labels=list(FINDINGS),
            dimension=3,
            description="stock",
        )

    def pre_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """The usual chain."""
        return transforms(get_task("pe").hu_window, pixels=self._pixels)

    def inferer(self, data: Any = None) -> Inferer:
        """The whole input at once; the module cuts it."""
        return SimpleInferer()

    def post_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """None: the logit is the answer."""
        return []


class WholeStudy:
    """A way: from a DICOM folder to the study's logit, by the task.

    Args:
        study: the folder.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._network = ""
        self._task: StockTask | None = None

    def __call__(self, network: str) -> float:
        """The highest logit of its clips; the first call for a network builds it."""
        if self._task is None or self._network != network:
            self._task, self._network = None, network
            self._task = StockTask(network)
        _, answer = self._task({"image": self._study, "device": "cpu", "skip_writer": True})
        return float(answer["pred"])
