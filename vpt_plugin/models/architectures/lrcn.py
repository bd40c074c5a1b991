"""The recurrent part of LRCN: from the features of a study's slices to one vector.

Donahue et al., Long-term Recurrent Convolutional Networks, CVPR 2015; on CT as in Ke et al., PMLR 227 (2023)
and its public code: each slice's feature beside those of its neighbours, a bidirectional GRU, the mean over
the slices. There the neighbours come as differences to the slice itself, 0 at the ends of a study: what a
linear layer makes of that it can make of the neighbours themselves, where the ends repeat. Its dropout of 0.5
between the layers of the GRU does nothing, for there is one layer; here it falls on what the GRU says.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SliceSequence(nn.Module):
    """Bidirectional GRU over slices, dropout, mean over the slices.

    Args:
        slice_dim: length of a slice's feature.
        hidden: of the GRU, in each direction.
        dropout: share of what the GRU says that is left out in training.
    """

    def __init__(self, slice_dim: int, *, hidden: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * slice_dim, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        """One vector per clip.

        Args:
            clips: of each the features (slices, slice_dim), of any number of slices.

        Returns:
            (clips, 2 hidden).
        """
        packed = nn.utils.rnn.pack_sequence([with_neighbours(clip) for clip in clips], enforce_sorted=False)
        said, _ = self.gru(packed)
        said = said._replace(data=self.dropout(said.data))
        return torch.stack([clip.mean(dim=0) for clip in nn.utils.rnn.unpack_sequence(said)])


def with_neighbours(features: Tensor) -> Tensor:
    """Each slice's feature between that of the slice before and that of the slice after; the ends repeat.

    Args:
        features: (slices, slice_dim), in the order of the slices.

    Returns:
        (slices, 3 slice_dim).
    """
    before = torch.cat([features[:1], features[:-1]])
    after = torch.cat([features[1:], features[-1:]])
    return torch.cat([before, features, after], dim=1)
