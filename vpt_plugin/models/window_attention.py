"""Swin's attention within shifted windows, for answering only, on the CPU.

torchvision adds the bias of relative positions and the mask of shifted windows in float32 to all windows at
once, and computes both anew for every clip. Here they are computed once per size of the maps, in the type
that the products have, and a few windows at a time go through, whose products stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# So many heads of windows go through together: their products then stay in the cache.
_HEADS_AT_ONCE = 24
# What torchvision adds between positions that a shift has brought side by side.
_APART = -100.0
_SHIFTED_WINDOWS = "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d"


def use_lean_attention(network: nn.Module) -> None:
    """Put ``LeanWindowAttention`` in the place of every shifted-window attention of a network."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if f"{type(child).__module__}.{type(child).__name__}" == _SHIFTED_WINDOWS:
                setattr(parent, name, LeanWindowAttention(child))


@dataclass(frozen=True)
class _Cut:
    """How maps of one size are cut into windows.

    Attributes:
        padded: their size with padding, in cells along (slices, rows, columns).
        window, shift: cells along the same.
        bias: (1, heads, cells, cells), of relative positions.
        masks: (cells, cells) per window; None where nothing is apart in it.
    """

    padded: tuple[int, int, int]
    window: tuple[int, int, int]
    shift: tuple[int, int, int]
    bias: Tensor
    masks: tuple[Tensor | None, ...]


class LeanWindowAttention(nn.Module):
    """torchvision's ``ShiftedWindowAttention3d`` without dropout; gives what it gives, to rounding.

    Args:
        attention: torchvision's, taken over.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.attention = attention
        self._cuts: dict[tuple[tuple[int, ...], torch.dtype], _Cut] = {}

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, slices, rows, columns, channels) -> the same."""
        return torch.cat([self._of_clip(clip) for clip in torch.split(maps, 1)])

    def _of_clip(self, maps: Tensor) -> Tensor:
        size, channels = maps.shape[1:4], maps.shape[4]
        heads = self.attention.num_heads
        cut = self._cut(maps)
        shift = [-each for each in cut.shift]
        padding = [
            n for have, want in zip(size[::-1], cut.padded[::-1], strict=True) for n in (0, want - have)
        ]
        cells = functional.pad(maps, (0, 0, *padding)).roll(shift, (1, 2, 3))
        windows = _partition(cells[0], cut)
        qkv = self.attention.qkv(windows).view(*windows.shape[:2], 3, heads, channels // heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        said = self.attention.proj(self._attend(queries, keys, values, cut))
        whole = _reverse(said, cut).roll(cut.shift, (0, 1, 2))
        return whole[: size[0], : size[1], : size[2]].unsqueeze(0)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, cut: _Cut) -> Tensor:
        """Each (windows, heads, cells, channels of a head) -> (windows, cells, channels)."""
        windows, heads, cells, of_head = queries.shape
        queries = queries * of_head**-0.5
        said = queries.new_empty(windows, cells, heads, of_head)
        at_once = max(1, _HEADS_AT_ONCE // heads)
        for first in range(0, windows, at_once):
            some = slice(first, first + at_once)
            weights = queries[some] @ keys[some].transpose(-2, -1)
            weights += cut.bias
            for each, mask in zip(weights, cut.masks[some], strict=True):
                if mask is not None:
                    each += mask
            said[some] = (weights.softmax(-1) @ values[some]).transpose(1, 2)
        return said.view(windows, cells, heads * of_head)

    def _cut(self, maps: Tensor) -> _Cut:
        """Computed once per size of the maps."""
        dtype = self.attention.qkv.weight.dtype
        key = (tuple(maps.shape[1:4]), dtype)
        if key not in self._cuts:
            self._cuts = {key: self._new_cut(key[0], dtype, maps.device)}
        return self._cuts[key]

    def _new_cut(self, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> _Cut:
        wanted = zip(size, self.attention.window_size, self.attention.shift_size, strict=True)
        # A window as large as the map is not shifted.
        pairs = [(length, 0) if length <= window else (window, shift) for length, window, shift in wanted]
        window, shift = (_three(each) for each in zip(*pairs, strict=True))
        padded = _three(-(-length // step) * step for length, step in zip(size, window, strict=True))
        bias = self.attention.get_relative_position_bias(list(window)).to(dtype)
        cut = _Cut(padded, window, shift, bias, ())
        places = _places(cut).to(device)
        apart = (places.unsqueeze(1) != places.unsqueeze(2)).to(dtype) * _APART
        return _Cut(padded, window, shift, bias, tuple(each if each.any() else None for each in apart))


def _three(values: Any) -> tuple[int, int, int]:
    one, two, three = values
    return (one, two, three)


def _places(cut: _Cut) -> Tensor:
    """(windows, cells): where a cell was before the shift; those of other places do not see each other."""
    along = []
    for length, window, shift in zip(cut.padded, cut.window, cut.shift, strict=True):
        cell = torch.arange(length)
        along.append(
            (cell >= length - window).long() + (cell >= length - shift).long() if shift else 0 * cell
        )
    places = 9 * along[0][:, None, None] + 3 * along[1][:, None] + along[2]
    return _partition(places.unsqueeze(-1), cut).squeeze(-1)


def _partition(cells: Tensor, cut: _Cut) -> Tensor:
    """(slices, rows, columns, channels) -> (windows, cells, channels)."""
    (t, h, w), (a, b, c) = cut.padded, cut.window
    split = cells.reshape(t // a, a, h // b, b, w // c, c, -1)
    return split.permute(0, 2, 4, 1, 3, 5, 6).reshape(-1, a * b * c, cells.shape[-1])


def _reverse(windows: Tensor, cut: _Cut) -> Tensor:
    """(windows, cells, channels) -> (slices, rows, columns, channels)."""
    (t, h, w), (a, b, c) = cut.padded, cut.window
    split = windows.view(t // a, h // b, w // c, a, b, c, -1)
    return split.permute(0, 3, 1, 4, 2, 5, 6).reshape(t, h, w, windows.shape[-1])
