"""Every network on one page: what it is called, what it takes, who made it and how it is built.

Importing this page is quick and silent: torch and the networks' own packages are imported when one is built.
To add a network, write a builder and a row. The sizes are those of Ke et al., PMLR 227 (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from vpt_plugin.errors import ClipShapeError, UnknownModelError
from vpt_plugin.models.sources import WeightsSource, sources_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ShapeRule:
    """The clips a network can take.

    Attributes:
        slices_multiple: the number of slices must be a multiple of this.
        min_pixels: least rows and columns. All networks here halve a slice five times: of less than 32 pixels
            less than one cell is left to look at.
        only: (slices, rows, columns) where the network takes nothing else.
    """

    slices_multiple: int = 1
    min_pixels: int = 32
    only: tuple[int, int, int] | None = None

    def allows(self, slices: int, rows: int, columns: int) -> bool:
        """Whether the network takes such a clip."""
        if self.only is not None:
            return (slices, rows, columns) == self.only
        return slices > 0 and slices % self.slices_multiple == 0 and min(rows, columns) >= self.min_pixels

    def __str__(self) -> str:
        if self.only is not None:
            return "exactly {} slices of {} x {} pixels".format(*self.only)
        pixels = f"at least {self.min_pixels} x {self.min_pixels} pixels"
        if self.slices_multiple > 1:
            return f"a multiple of {self.slices_multiple} slices, {pixels}"
        return f"any number of slices, {pixels}"


@dataclass(frozen=True)
class ModelSpec:
    """What is known about a network before it is built.

    Attributes:
        name: short name, used in file names and addresses: ``swin_t``.
        title: for people: ``Video Swin-T``.
        paper: where it was published.
        feature_dim: length of the vector before the head.
        family: how features are taken from it, a key of ``vpt_plugin.models.backbones.FAMILIES``.
        head: how the names of the published head's entries begin; it is left out of the backbone.
        build: makes the publisher's own network: three input channels, the published head, random weights.
        weights: published weights by pretraining; the first of each is the one to take.
        clip_slices: slices per clip where a task does not say otherwise.
        resize_px: a slice is resized to this square before cropping.
        crop_px: side of the square the network sees.
        shape_rule: the clips it can take.
        kind: ``3d``, or ``2d`` where slices are looked at one by one first, as the paper's table has it.
    """

    name: str
    title: str
    paper: str
    feature_dim: int
    family: str
    head: str
    build: Callable[[], nn.Module]
    weights: Mapping[str, tuple[WeightsSource, ...]]
    clip_slices: int = 32
    resize_px: int = 256
    crop_px: int = 224
    shape_rule: ShapeRule = ShapeRule()
    kind: str = "3d"

    @property
    def pretrainings(self) -> tuple[str, ...]:
        """What it can start from: ``none`` and what is published."""
        return ("none", *self.weights)

    def backbone(self, network: nn.Module | None = None) -> nn.Module:
        """The network without its head and with a one-channel stem: clips in, features out.

        Args:
            network: what ``build`` made, with weights; it is taken over and changed. None builds one.
        """
        from vpt_plugin.models.backbones import FAMILIES

        return FAMILIES[self.family](network if network is not None else self.build())

    def check_clip(self, slices: int, rows: int, columns: int) -> None:
        """Refuses a clip that the network cannot take.

        Raises:
            ClipShapeError: names what it takes.
        """
        if not self.shape_rule.allows(slices, rows, columns):
            raise ClipShapeError(
                f"{self.name} cannot take a clip of {slices} slices of {rows} x {columns} pixels;",
                f"it takes {self.shape_rule}.",
            )


def _pytorchvideo(name: str) -> nn.Module:
    from vpt_plugin.models.upstream import pytorchvideo_hub_network

    return pytorchvideo_hub_network(name)


def _swin_t() -> nn.Module:
    from torchvision.models.video import swin3d_t

    network: nn.Module = swin3d_t(weights=None)
    return network


def _penet() -> nn.Module:
    from vpt_plugin.models.architectures.penet import PENet

    return PENet()


def _tiny() -> nn.Module:
    from vpt_plugin.models.architectures.tiny import Tiny

    return Tiny()


MODELS: MappingProxyType[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ModelSpec(
                name="slow_r50",
                title="Slow R50",
                paper="Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "slow_r50"),
                weights=sources_of("slow_r50"),
            ),
            ModelSpec(
                name="slowfast_r50",
                title="SlowFast R50",
                paper="Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019",
                feature_dim=2304,
                # Its slow pathway sees every 4th slice, its fast pathway all of them.
                shape_rule=ShapeRule(slices_multiple=4),
                family="slowfast",
                head="blocks.6.proj.",
                build=partial(_pytorchvideo, "slowfast_r50"),
                weights=sources_of("slowfast_r50"),
            ),
            ModelSpec(
                name="csn_r101",
                title="CSN R101",
                paper="Tran et al., Video Classification with Channel-Separated Convolutional Networks, "
                "ICCV 2019",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "csn_r101"),
                weights=sources_of("csn_r101"),
            ),
            ModelSpec(
                name="r2plus1d_r50",
                title="R(2+1)D R50",
                paper="Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, "
                "CVPR 2018",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "r2plus1d_r50"),
                weights=sources_of("r2plus1d_r50"),
            ),
            ModelSpec(
                name="mvit_b",
                title="MViT-B 32x3",
                paper="Fan et al., Multiscale Vision Transformers, ICCV 2021",
                feature_dim=768,
                # Its position embedding is a fixed grid.
                shape_rule=ShapeRule(only=(32, 224, 224)),
                family="mvit",
                head="head.proj.",
                build=partial(_pytorchvideo, "mvit_base_32x3"),
                weights=sources_of("mvit_b"),
            ),
            ModelSpec(
                name="swin_t",
                title="Video Swin-T",
                paper="Liu et al., Video Swin Transformer, CVPR 2022",
                feature_dim=768,
                family="swin",
                head="head.",
                build=_swin_t,
                weights=sources_of("swin_t"),
            ),
            ModelSpec(
                name="penet",
                title="PENet",
                paper="Huang et al., PENet: a scalable deep-learning model for automated diagnosis of "
                "pulmonary embolism using volumetric CT imaging, npj Digital Medicine 3, 61 (2020)",
                clip_slices=24,
                feature_dim=2048,
                family="penet",
                head="classifier.fc.",
                build=_penet,
                weights=sources_of("penet"),
            ),
            ModelSpec(
                name="tiny",
                title="Tiny",
                paper="Our own small network, unpublished, for the demo and for tests",
                clip_slices=8,
                resize_px=112,
                crop_px=96,
                feature_dim=32,
                family="tiny",
                head="head.",
                build=_tiny,
                weights=sources_of("tiny"),
            ),
        )
    }
)


def get_model(name: str) -> ModelSpec:
    """The network of that name.

    Raises:
        UnknownModelError: names those there are.
    """
    if name not in MODELS:
        raise UnknownModelError(name, list(MODELS))
    return MODELS[name]
