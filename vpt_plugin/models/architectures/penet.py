"""PENet: a 50-layer 3D ResNeXt with squeeze-and-excitation and group norm, here in its classifying form.

Huang et al., npj Digital Medicine 3, 61 (2020). The names and shapes of the parameters are those of the
weights that were published for it (marshuang80/penet), so that they load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CARDINALITY = 32
BLOCKS_PER_ENCODER = (3, 4, 6, 3)
STEM_CHANNELS = 64
FEATURES = 2048
KINETICS_CLASSES = 600
LAST_SURVIVAL = 0.5


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 16, channels)


def _means(maps: Tensor) -> Tensor:
    """(batch, channels, slices, rows, columns) -> (batch, channels)."""
    if maps.dtype != torch.bfloat16 or maps.device.type != "cpu" or maps.requires_grad:
        return maps.mean(dim=(2, 3, 4))
    # As a product, which adds up in float32 without turning the maps to float32 before.
    cells = maps.flatten(2)
    return (cells @ cells.new_ones(cells.shape[2])) / cells.shape[2]


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate in (0, 1) computed from the means of all channels (Hu et al., 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.LeakyReLU(inplace=True),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) in and out."""
        gates: Tensor = self.excite(_means(maps))
        return maps * gates[:, :, None, None, None]


class Bottleneck(nn.Module):
    """A ResNeXt bottleneck (Xie et al., 2017) with squeeze-and-excitation, left out at random in training.

    Args:
        inputs: channels of the map it takes.
        width: channels of its grouped convolution; it gives twice as many.
        stride: step of the grouped convolution along all three axes.
        survival: probability of not being left out (stochastic depth, Huang et al., 2016).
    """

    def __init__(self, inputs: int, width: int, *, stride: int, survival: float) -> None:
        super().__init__()
        outputs = 2 * width
        self.survival = survival
        self.down_sample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.down_sample = nn.Sequential(
                nn.Conv3d(inputs, outputs, kernel_size=1, stride=stride, bias=False), _group_norm(outputs)
            )
        self.conv1 = nn.Conv3d(inputs, width, kernel_size=1, bias=False)
        self.norm1 = _group_norm(width)
        self.conv2 = nn.Conv3d(
            width, width, kernel_size=3, stride=stride, padding=1, groups=CARDINALITY, bias=False
        )
        self.norm2 = _group_norm(width)
        self.conv3 = nn.Conv3d(width, outputs, kernel_size=1, bias=False)
        self.norm3 = _group_norm(outputs)
        self.se_block = SqueezeExcite(outputs)
        self.relu = nn.LeakyReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) in and out."""
        skipped: Tensor = maps if self.down_sample is None else self.down_sample(maps)
        # One draw for the whole batch, from torch's generator, so that a seeded training can be repeated.
        if self.training and torch.rand(()).item() > self.survival:
            return skipped
        branch = self.relu(self.norm1(self.conv1(maps)))
        branch = self.relu(self.norm2(self.conv2(branch)))
        branch = self.se_block(self.norm3(self.conv3(branch)))
        # The branch is not scaled by its survival probability: the published weights were learned so.
        summed: Tensor = self.relu(branch + skipped)
        return summed


class Encoder(nn.Module):
    """One stage: bottlenecks of one width, the first of which takes the stride."""

    def __init__(self, inputs: int, width: int, *, stride: int, survivals: list[float]) -> None:
        super().__init__()
        blocks = [Bottleneck(inputs, width, stride=stride, survival=survivals[0])]
        blocks += [Bottleneck(2 * width, width, stride=1, survival=each) for each in survivals[1:]]
        self.penet_blocks = nn.Sequential(*blocks)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) in and out."""
        encoded: Tensor = self.penet_blocks(maps)
        return encoded


class Head(nn.Module):
    """The mean over the map, then one linear layer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) -> (batch, classes)."""
        # In float32 also where the map is bfloat16: a mean of hundreds of cells needs the digits.
        logits: Tensor = self.fc(maps.mean(dim=(2, 3, 4), dtype=torch.float32))
        return logits


class PENet(nn.Module):
    """The published network: three channels in, 600 Kinetics classes out."""

    def __init__(self, channels: int = 3, classes: int = KINETICS_CLASSES) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(
            nn.Conv3d(channels, STEM_CHANNELS, kernel_size=7, stride=(1, 2, 2), padding=3, bias=False),
            _group_norm(STEM_CHANNELS),
            nn.LeakyReLU(inplace=True),
        )
        self.max_pool = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)
        self.encoders = nn.ModuleList(_encoders())
        self.classifier = Head(FEATURES, classes)
        _initialise(self)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, channels, slices, rows, columns) -> (batch, classes)."""
        maps = self.max_pool(self.in_conv(clips))
        for encoder in self.encoders:
            maps = encoder(maps)
        logits: Tensor = self.classifier(maps)
        return logits


def _encoders() -> list[Encoder]:
    """Four stages; survival falls evenly from 1 at the first block towards ``LAST_SURVIVAL``."""
    total = sum(BLOCKS_PER_ENCODER)
    encoders, inputs, first = [], STEM_CHANNELS, 0
    for stage, blocks in enumerate(BLOCKS_PER_ENCODER):
        survivals = [1 - (first + block) / total * (1 - LAST_SURVIVAL) for block in range(blocks)]
        width = 128 * 2**stage
        encoders.append(Encoder(inputs, width, stride=1 if stage == 0 else 2, survivals=survivals))
        inputs, first = 2 * width, first + blocks
    return encoders


def _initialise(network: nn.Module) -> None:
    """Random weights to start from: He et al. (2015), with every block at first passing its skip on."""
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.norm3.weight)
