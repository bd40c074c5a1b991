"""Convolutions and linear layers computed by oneDNN with weights in its own order, for answering on the CPU.

The operators are those that torch's own compiler uses. They are not part of what torch promises to keep, and
not every processor has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# A study's clips come in full batches, and a last one that is smaller; each layout is a copy of the weights.
_LAYOUTS = 2


def can_fuse(dtype: torch.dtype = torch.float32) -> bool:
    """Whether ``FusedConvolution`` may be tried with weights of a type: torch and the processor know it."""
    there = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    there = there and all(hasattr(torch._C._nn, f"mkldnn_reorder_conv{n}d_weight") for n in (2, 3))
    return there and _knows(dtype)


def can_pack() -> bool:
    """Whether ``PackedLinear`` may be tried: torch and the processor know it."""
    there = all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    return there and _knows(torch.bfloat16)


def _knows(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return dtype == torch.float32 or (asked is not None and bool(asked()))


class _Layouts:
    """The weights of a layer in the orders that oneDNN wants for the first sizes of batches seen.

    Weights laid out for one size can make a layer many times slower for another, so other sizes take the
    weights as they are.
    """

    def __init__(self) -> None:
        self._of: dict[Any, Tensor] = {}

    def weight_for(self, size: Any, plain: Tensor, lay_out: Callable[[Any], Tensor]) -> Tensor:
        """The weights for maps of a size: laid out, or else ``plain``."""
        if size not in self._of and len(self._of) < _LAYOUTS:
            self._of[size] = lay_out(size)
        return self._of.get(size, plain)


class FusedConvolution(nn.Module):
    """A convolution with the sum and the ReLU that follow it, in one pass over memory, for answering only.

    Attributes:
        kernel_size, stride, padding: of the convolution.

    Args:
        convolution: its weights are taken over.
        relu: whether a ReLU follows.
    """

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d, *, relu: bool = False) -> None:
        super().__init__()
        self.kernel_size = convolution.kernel_size
        self.stride = convolution.stride
        self.padding = convolution.padding
        self._relu = relu
        self._settings = (
            list(convolution.padding), list(convolution.stride), list(convolution.dilation),
            convolution.groups,
        )  # fmt: skip
        self._weight = convolution.weight.detach()
        self._bias = None if convolution.bias is None else convolution.bias.detach()
        self._layouts = _Layouts()

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """Maps (batch, channels, ...) to maps; ``other``, of their shape, is added before the ReLU."""
        maps = maps.to(self._weight.dtype)
        weight = self._layouts.weight_for(maps.shape, self._weight, self._laid_out)
        arguments = (weight, self._bias, *self._settings)
        convolve: Any = torch.ops.mkldnn._convolution_pointwise
        said: Tensor
        if other is None:
            said = convolve(maps, *arguments, "relu" if self._relu else "none", [], "")
        else:
            relu = "relu" if self._relu else None
            said = convolve.binary(maps, other.to(maps.dtype), *arguments, "add", 1.0, relu, [], None)
        return said

    def _laid_out(self, shape: torch.Size) -> Tensor:
        order: Any = getattr(torch._C._nn, f"mkldnn_reorder_conv{self._weight.ndim - 2}d_weight")
        laid_out: Tensor = order(self._weight.contiguous().to_mkldnn(), *self._settings, list(shape))
        return laid_out


class PackedLinear(nn.Module):
    """A linear layer with its weights in the order that oneDNN wants, for answering only.

    Attributes:
        weight, bias: as they were.

    Args:
        linear: its weights are taken over.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach()
        self.bias = None if linear.bias is None else linear.bias.detach()
        self._layouts = _Layouts()

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        vectors = vectors.to(self.weight.dtype)
        rows = vectors.numel() // vectors.shape[-1]
        weight = self._layouts.weight_for(rows, self.weight, self._laid_out)
        said: Tensor = torch.ops.mkldnn._linear_pointwise(vectors, weight, self.bias, "none", [], "")
        return said

    def _laid_out(self, rows: int) -> Tensor:
        laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)
        return laid_out
