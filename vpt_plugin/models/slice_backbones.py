"""Backbones that look at every slice by itself: torchvision's image networks, and LRCN on top of one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vpt_plugin.models.architectures.lrcn import SliceSequence
from vpt_plugin.models.backbone import Backbone, sum_input_channels

# So many slices go through LRCN's encoder together: 150 at once would take gigabytes.
_SLICES_AT_ONCE = 32


class SliceBackbone(Backbone):
    """One of torchvision's ResNets; its clips are single slices, its features the mean over the last map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.fc = nn.Identity()
        sum_input_channels(network.conv1)
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, 1, rows, columns) -> (batch, feature_dim), float32."""
        features: Tensor = self.network(clips.squeeze(2))
        return features.float()

    def stages(self) -> tuple[nn.Module, ...]:
        """The stem's convolution and its norm, the four stages."""
        network = self.network
        return (
            network.conv1, network.bn1, network.layer1, network.layer2, network.layer3, network.layer4
        )  # fmt: skip

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The residual blocks."""
        network = self.network
        staged = (network.layer1, network.layer2, network.layer3, network.layer4)
        return tuple(block for stage in staged for block in stage)


class LrcnBackbone(Backbone):
    """Slice features of an image network that is never trained, and a recurrent network over them.

    A study shorter than a clip is filled up with air. Slices without any contrast at the end of a clip are
    therefore not read: neither are they put through the encoder, nor does the GRU see them.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        slice_dim = network.fc.in_features
        self.encoder = SliceBackbone(network).requires_grad_(False)
        self.sequence = SliceSequence(slice_dim)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> (batch, feature_dim), float32."""
        slices = slices_to_read(clips)
        read = [clip[0, :count] for clip, count in zip(clips, slices, strict=True)]
        features = self._slice_features(torch.cat(read)[:, None, None])
        # A recurrence adds up the rounding of every step, and next to the encoder it costs nothing.
        with torch.autocast(clips.device.type, enabled=False):
            said: Tensor = self.sequence(torch.split(features, slices))
        return said

    @torch.no_grad()
    def _slice_features(self, slices: Tensor) -> Tensor:
        return torch.cat([self.encoder(piece) for piece in torch.split(slices, _SLICES_AT_ONCE)])

    def train(self, mode: bool = True) -> LrcnBackbone:
        """As ever, but the encoder stays in evaluation mode, or its batch norms would drift."""
        super().train(mode)
        self.encoder.eval()
        return self

    def stages(self) -> tuple[nn.Module, ...]:
        """The recurrent part; the encoder is not trained."""
        return (self.sequence,)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """None: of the encoder nothing is kept, and of the rest it would save little."""
        return ()

    def always_frozen(self) -> tuple[nn.Module, ...]:
        """The encoder."""
        return (self.encoder,)


def slices_to_read(clips: Tensor) -> list[int]:
    """How many slices of each clip are read: all up to the last one that is not of one single value.

    Args:
        clips: (batch, 1, slices, rows, columns).
    """
    values = clips[:, 0].flatten(2)
    seen = values.amax(dim=2) != values.amin(dim=2)
    numbers = torch.arange(1, seen.shape[1] + 1, device=clips.device)
    counts: list[int] = (seen * numbers).amax(dim=1).clamp(min=1).tolist()
    return counts
