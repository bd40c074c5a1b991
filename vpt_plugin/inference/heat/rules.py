"""How the maps of a layer and the gradient of a logit become evidence per cell: the Grad-CAM family.

- ``grad_cam``: Selvaraju et al., ICCV 2017: every channel weighs as its mean gradient.
- ``hires_cam``: Draelos and Carin, arXiv 2011.08891 (made for chest CT): gradient times value, cell by cell.
  At the last map of a network that takes the mean over it and has one linear layer, the cells add up to the
  logit, but for its bias.
- ``layer_cam``: Jiang et al., IEEE TIP 30 (2021): as HiResCAM, but only where more of a channel raises the
  logit; it is what earlier, finer stages are read with.
"""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor


def _grad_cam(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients.mean(dim=(2, 3, 4), keepdim=True)).sum(dim=1)


def _hires_cam(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients).sum(dim=1)


def _layer_cam(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients.relu()).sum(dim=1)


# Each takes values and gradients (batch, channels, slices, rows, columns) and gives (batch, slices, rows,
# columns): how much of the logit comes from a cell, negative where it speaks against the finding.
RULES = MappingProxyType({"grad_cam": _grad_cam, "hires_cam": _hires_cam, "layer_cam": _layer_cam})
