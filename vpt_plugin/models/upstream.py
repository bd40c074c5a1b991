"""The networks that PyTorchVideo publishes, as it builds them."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn


def pytorchvideo_hub_network(name: str) -> nn.Module:
    """A network of PyTorchVideo's hub with random weights: three channels, 400 Kinetics classes."""
    network: nn.Module = getattr(_hub(), name)(pretrained=False)
    return network


def _hub() -> Any:
    with warnings.catch_warnings():
        # PyTorchVideo and fvcore script small functions when they are imported; torch has deprecated that.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*is deprecated")
        from pytorchvideo.models import hub
    return hub
