"""Backbones: the publishers' networks without their head and with a stem for one channel.

Every backbone takes clips (batch, 1, slices, rows, columns) and gives features (batch, feature_dim). The
published head, a linear layer, makes of them the published network's own logits. A backbone takes over the
network it is made from and changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn


def sum_input_channels(conv: nn.Conv3d) -> None:
    """Makes a stem take one channel, exactly as if that channel were given to it several times.

    A convolution is linear, and the padding of every channel is 0, so the weights of the channels add up.
    """
    if conv.groups != 1:
        raise ValueError(f"a stem with {conv.groups} groups does not see its channels together")
    # Summed in float64: the result is then the nearest float32 there is.
    summed = conv.weight.detach().double().sum(dim=1, keepdim=True)
    conv.weight = nn.Parameter(summed.to(conv.weight.dtype))
    conv.in_channels = 1


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


class ResNetBackbone(nn.Module):
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


class SlowFastBackbone(nn.Module):
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


class MViTBackbone(nn.Module):
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


class SwinBackbone(nn.Module):
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


class PENetBackbone(nn.Module):
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


class TinyBackbone(nn.Module):
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


FAMILIES: MappingProxyType[str, Callable[[nn.Module], nn.Module]] = MappingProxyType(
    {
        "resnet": ResNetBackbone,
        "slowfast": SlowFastBackbone,
        "mvit": MViTBackbone,
        "swin": SwinBackbone,
        "penet": PENetBackbone,
        "tiny": TinyBackbone,
    }
)
