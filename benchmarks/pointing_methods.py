"""Ways to a place in a study that the pointing game compares: other rules and stages than answers use.

- Grad-CAM: Selvaraju et al., ICCV 2017: every channel weighs as its mean gradient.
- LayerCAM: Jiang et al., IEEE TIP 30 (2021): as HiResCAM, but only where more of a channel raises the logit;
  it is what earlier, finer stages are read with.
- Products of the maps of several stages: a place is hot where all of them say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.heat import HIRES_CAM, Method


def _grad_cam(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients.mean(dim=(2, 3, 4), keepdim=True)).sum(dim=1)


def _layer_cam(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients.relu()).sum(dim=1)


GRAD_CAM, LAYER_CAM = Method("Grad-CAM", _grad_cam), Method("LayerCAM", _layer_cam)
# Each one's maps are multiplied.
COMPARED: tuple[tuple[Method, ...], ...] = tuple(
    tuple(replace(method, stage=stage) for stage in stages)
    for method in (HIRES_CAM, LAYER_CAM, GRAD_CAM)
    for stages in ((1,), (2,), (3,), (1, 2), (1, 2, 3))
)


@dataclass(frozen=True)
class Way:
    """A network, and how its maps are made.

    Attributes:
        predictor: of a task with one finding.
        methods: whose maps are multiplied, voxel by voxel.
    """

    predictor: Predictor
    methods: tuple[Method, ...] = (HIRES_CAM,)

    def __str__(self) -> str:
        if len(self.methods) == 1:
            return str(self.methods[0])
        return " x ".join(f"{each.name} {each.stage}" for each in self.methods)

    def hottest(self, volume: Volume) -> tuple[int, ...] | None:
        """The hottest voxel (slice, row, column) of a study; None where the map is empty."""
        maps = [self.predictor.explain(volume, method=each)[0] for each in self.methods]
        if len(maps) == 1:
            # As it is told, which is finer than the steps of a map.
            place_mm = maps[0].hottest_mm
            return None if place_mm is None else voxel_at(volume, place_mm)
        product = np.ones(volume.hu.shape, dtype=np.float32)
        for each in maps:
            product *= each.values
        return tuple(map(int, np.unravel_index(product.argmax(), product.shape))) if product.any() else None


def voxel_at(volume: Volume, place_mm: Sequence[float]) -> tuple[int, ...]:
    """The voxel (slice, row, column) at a patient position (x, y, z)."""
    along = volume.direction.T @ (np.array(place_mm) - volume.origin_mm)
    return tuple(int(each) for each in np.rint(along / volume.spacing_mm))
