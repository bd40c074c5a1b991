"""The networks that PyTorchVideo publishes, as it builds them."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn


def pytorchvideo_hub_network(name: str) -> nn.Module:
    """A network of PyTorchVideo's hub with random weights: three channels, 400 Kinetics classes."""
    network: nn.Module = getattr(_hub(), name)(pretrained=False)
    return network


def small_resnet(*, stem_channels: int) -> nn.Module:
    """A slim Slow R50: the same 50 layers, ``stem_channels`` instead of 64 in the stem and so on upward.

    Its map is averaged as a whole: a window like the big network's would give the end slices of a clip less
    weight, and there are no published weights to stay true to.
    """
    _hub()
    from pytorchvideo.models.resnet import create_resnet

    network: nn.Module = create_resnet(
        model_depth=50, stem_dim_out=stem_channels, head_pool_kernel_size=(1, 1, 1)
    )
    return network


def _hub() -> Any:
    with warnings.catch_warnings():
        # PyTorchVideo and fvcore script small functions when they are imported; torch has deprecated that.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*is deprecated")
        from pytorchvideo.models import hub
    return hub
