"""ModelSpec: what is known about a network before it is built, and how it reads a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vpt_plugin.errors import ClipShapeError
from vpt_plugin.models.sources import WeightsSource
from vpt_plugin.tasks import ClipRule

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
        single_slice: it takes one slice at a time, whatever a task says of clips.
    """

    slices_multiple: int = 1
    min_pixels: int = 32
    only: tuple[int, int, int] | None = None
    single_slice: bool = False

    def allows(self, slices: int, rows: int, columns: int) -> bool:
        """Whether the network takes such a clip."""
        if self.only is not None:
            return (slices, rows, columns) == self.only
        if self.single_slice and slices != 1:
            return False
        return slices > 0 and slices % self.slices_multiple == 0 and min(rows, columns) >= self.min_pixels

    def __str__(self) -> str:
        if self.only is not None:
            return "exactly {} slices of {} x {} pixels".format(*self.only)
        pixels = f"at least {self.min_pixels} x {self.min_pixels} pixels"
        if self.single_slice:
            return f"one slice, {pixels}"
        if self.slices_multiple > 1:
            return f"a multiple of {self.slices_multiple} slices, {pixels}"
        return f"any number of slices, {pixels}"


@dataclass(frozen=True)
class ClipNumbers:
    """How a study is cut for one task and one network: the task's clip rule with nothing left open.

    Attributes:
        length: slices of a clip.
        stride: slices from the start of one clip to the start of the next.
        min_positive_slices: a clip is positive when at least this many of its slices are.
        min_slices: slices a study needs at least.
    """

    length: int
    stride: int
    min_positive_slices: int
    min_slices: int


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
        kind: ``3d`` for a network that convolves across slices, ``2d`` for one that looks at every slice by
            itself, whatever it makes of them afterwards.
        clip_slices: slices per clip where a task does not say otherwise.
        resize_px: a slice is resized to this square before cropping.
        crop_px: side of the square the network sees.
        shape_rule: the clips it can take.
        ignores_filling: it leaves out the air that a study shorter than a clip is filled up with, so that
            such a study is read as it is.
    """

    name: str
    title: str
    paper: str
    feature_dim: int
    family: str
    head: str
    build: Callable[[], nn.Module]
    weights: Mapping[str, tuple[WeightsSource, ...]]
    kind: Literal["2d", "3d"] = "3d"
    clip_slices: int = 32
    resize_px: int = 256
    crop_px: int = 224
    shape_rule: ShapeRule = ShapeRule()
    ignores_filling: bool = False

    @property
    def pretrainings(self) -> tuple[str, ...]:
        """What it can start from: ``none`` and what is published."""
        return ("none", *self.weights)

    def clip_numbers(self, rule: ClipRule) -> ClipNumbers:
        """How a study is cut into clips for this network under a task's clip rule.

        A network of single slices sees one at a time whatever the rule says: its "clip" is positive when its
        slice is. One that leaves out the filling reads a study of any length.
        """
        if self.shape_rule.single_slice:
            return ClipNumbers(length=1, stride=1, min_positive_slices=1, min_slices=1)
        return ClipNumbers(
            length=rule.length(self.clip_slices),
            stride=rule.stride(self.clip_slices),
            min_positive_slices=rule.min_positive_slices,
            min_slices=1 if self.ignores_filling else rule.min_slices(self.clip_slices),
        )

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
