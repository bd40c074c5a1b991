"""Backbones: the publishers' networks without their head and with a stem for one channel.

Every backbone takes clips (batch, 1, slices, rows, columns) and gives features (batch, feature_dim). The
published head, a linear layer, makes of them the published network's own logits. A backbone takes over the
network it is made from and changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vpt_plugin.models.backbone import Backbone, sum_input_channels
from vpt_plugin.models.slice_backbones import LrcnBackbone, SliceBackbone

if TYPE_CHECKING:
    from vpt_plugin.models.classifier import Classifier

__all__ = [
    "FAMILIES", "Backbone", "always_frozen", "blocks_to_recompute", "sliding_mean", "stages",
    "sum_input_channels",
]  # fmt: skip


def sliding_mean(maps: Tensor, window: Sequence[int]) -> Tensor:
    """The mean, over all positions of a window that slides over the map, of the mean inside the window.

    This is what PyTorchVideo's heads do (a pooling with stride 1, then a global mean); cells at an end of the
    map lie in fewer windows and weigh less. A window larger than the map is cut to the map.

    Args:
        maps: (batch, channels, slices, rows, columns).
        window: its size in cells along (slices, rows, columns).

    Returns:
        (batch, channels), at least float32.
    """
    along_slices, along_rows, along_columns = (
        _window_share(length, min(size, length), maps.device)
        for length, size in zip(maps.shape[2:], window, strict=True)
    )
    shares = along_slices[:, None, None] * along_rows[:, None] * along_columns
    return (maps * shares).sum(dim=(2, 3, 4))


def _window_share(length: int, size: int, device: torch.device) -> Tensor:
    """The weight of each of ``length`` cells: the share of windows of ``size`` it lies in, summing to 1."""
    cell = torch.arange(length, device=device)
    windows = torch.minimum(cell + 1, length - cell).clamp(max=min(size, length - size + 1))
    return windows / windows.sum()


def stages(classifier: Classifier) -> tuple[nn.Module, ...]:
    """The classifier's parts from the input to the head; what can be trained is in exactly one of them.

    They are what layer-wise learning rates and freezing count in. A backbone that is none of ours is one
    stage.
    """
    backbone = classifier.backbone
    parts = backbone.stages() if isinstance(backbone, Backbone) else (backbone,)
    return (*parts, classifier.head)


def blocks_to_recompute(classifier: Classifier) -> tuple[nn.Module, ...]:
    """The parts of the classifier that gradient checkpointing computes a second time."""
    backbone = classifier.backbone
    return backbone.blocks_to_recompute() if isinstance(backbone, Backbone) else ()


def always_frozen(classifier: Classifier) -> tuple[nn.Module, ...]:
    """The parts of the classifier that no training changes."""
    backbone = classifier.backbone
    return backbone.always_frozen() if isinstance(backbone, Backbone) else ()


def _res_blocks(network: nn.Module) -> list[nn.Module]:
    """The residual blocks of all of PyTorchVideo's stages in a network."""
    staged: list[Any] = [module for module in network.modules() if hasattr(module, "res_blocks")]
    return [block for stage in staged for block in stage.res_blocks]


class ResNetBackbone(Backbone):
    """One of PyTorchVideo's networks of a stem, stages and a pooling head: Slow, CSN, R(2+1)D."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        *blocks, head = network.blocks
        self.window: tuple[int, int, int] = head.pool.kernel_size
        sum_input_channels(blocks[0].conv)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        return sliding_mean(self.blocks(clips), self.window)

    def stages(self) -> tuple[nn.Module, ...]:
        """The stem and the four stages."""
        return tuple(self.blocks)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The stem and the residual blocks."""
        return (self.blocks[0], *_res_blocks(self.blocks))


class SlowFastBackbone(Backbone):
    """PyTorchVideo's SlowFast; the slow pathway sees every 4th slice, beginning with the first."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        *blocks, pooling, _ = network.blocks
        self.windows: list[tuple[int, int, int]] = [pool.kernel_size for pool in pooling.pool]
        for stem in blocks[0].multipathway_blocks:
            sum_input_channels(stem.conv)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        # A list of its own for every call: the blocks write their results into the list they are given.
        pathways = [clips[:, :, ::4], clips]
        for block in self.blocks:
            pathways = block(pathways)
        # Each pathway is averaged by itself: for clips longer than 32 slices their maps do not match.
        means = [sliding_mean(maps, window) for maps, window in zip(pathways, self.windows, strict=True)]
        return torch.cat(means, dim=1)

    def stages(self) -> tuple[nn.Module, ...]:
        """The stems and the four stages, each with both pathways and the way from the fast to the slow."""
        return tuple(self.blocks)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The stems and residual blocks of both pathways."""
        stems: Any = self.blocks[0]
        return (*stems.multipathway_blocks, *_res_blocks(self.blocks))


class MViTBackbone(Backbone):
    """PyTorchVideo's MViT; its features are the class token."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.head = None
        sum_input_channels(network.patch_embed.patch_model)
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        tokens: Tensor = self.network(clips)
        return tokens[:, 0]

    def stages(self) -> tuple[nn.Module, ...]:
        """The patches, their positions, every block, the last norm."""
        network = self.network
        return (
            network.patch_embed, network.cls_positional_encoding, *network.blocks, network.norm_embed
        )  # fmt: skip

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The transformer blocks."""
        return tuple(self.network.blocks)


class SwinBackbone(Backbone):
    """torchvision's Video Swin; its features are the mean over the last map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.head = nn.Identity()
        sum_input_channels(network.patch_embed.proj)
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        features: Tensor = self.network(clips)
        return features

    def stages(self) -> tuple[nn.Module, ...]:
        """The patches, every block and every merging of patches, the last norm."""
        return (self.network.patch_embed, *self._parts(), self.network.norm)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The transformer blocks and the mergings."""
        return self._parts()

    def _parts(self) -> tuple[nn.Module, ...]:
        features = self.network.features
        parts = [list(part) if isinstance(part, nn.Sequential) else [part] for part in features]
        return tuple(block for blocks in parts for block in blocks)


class PENetBackbone(Backbone):
    """PENet; its features are the mean over the last map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.classifier.fc = nn.Identity()
        sum_input_channels(network.in_conv[0])
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        features: Tensor = self.network(clips)
        return features

    def stages(self) -> tuple[nn.Module, ...]:
        """The stem and the four encoders."""
        return (self.network.in_conv, *self.network.encoders)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The stem and the bottlenecks."""
        blocks = [block for encoder in self.network.encoders for block in encoder.penet_blocks]
        return (self.network.in_conv, *blocks)


class TinyBackbone(Backbone):
    """Our own small network; its features are the strongest responses in the clip."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.head = nn.Identity()
        sum_input_channels(network.stem[0])
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim)."""
        features: Tensor = self.network(clips)
        return features

    def stages(self) -> tuple[nn.Module, ...]:
        """The stem, the reduction, every residual block."""
        return (self.network.stem, self.network.reduce, *self.network.blocks)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The same: its stages are blocks."""
        return self.stages()


FAMILIES: MappingProxyType[str, Callable[[nn.Module], nn.Module]] = MappingProxyType(
    {
        "resnet": ResNetBackbone,
        "slowfast": SlowFastBackbone,
        "mvit": MViTBackbone,
        "swin": SwinBackbone,
        "penet": PENetBackbone,
        "slice": SliceBackbone,
        "lrcn": LrcnBackbone,
        "tiny": TinyBackbone,
    }
)
