"""Batch norm over the clips of all processes.

torch's own ``SyncBatchNorm`` does it on CUDA. On the CPU there is none, so ``SharedBatchNorm`` does it there;
without it two processes would train another network than one. Ioffe and Szegedy, "Batch Normalization"
(ICML 2015); names of parameters and what is computed are those of ``torch.nn.BatchNorm3d``.
"""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Replace every batch norm in a network by one over all processes; weights and statistics stay."""
    for above in list(network.modules()):
        for name, child in list(above.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
                setattr(above, name, _shared(child, device))


def _shared(norm: _BatchNorm, device: torch.device) -> nn.Module:
    if device.type == "cuda":
        synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
        return synchronised
    shared = SharedBatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    ).to(device)
    # The very same tensors, so that an optimizer that was made before goes on with them.
    shared._parameters, shared._buffers = norm._parameters, norm._buffers
    return shared.train(norm.training)


class SharedBatchNorm(_BatchNorm):
    """Batch norm with the mean and variance of the clips of all processes."""

    def forward(self, maps: Tensor) -> Tensor:
        """(clips, channels, ...) -> the same; in evaluation mode as ever, with the running statistics."""
        if not self.training:
            normed: Tensor = super().forward(maps)
            return normed
        axes = [axis for axis in range(maps.ndim) if axis != 1]
        shape = [1, -1] + [1] * (maps.ndim - 2)
        values = maps.to(torch.promote_types(maps.dtype, torch.float32))
        counted = _sum_over_processes(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _sum_over_processes(values.sum(axes)) / counted
        apart = values - mean.view(shape)
        variance = _sum_over_processes(apart.square().sum(axes)) / counted
        self._remember(mean.detach(), variance.detach() * (counted / (counted - 1)))
        values = apart * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            values = values * self.weight.view(shape) + self.bias.view(shape)
        return values.to(maps.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        # Whoever computes a pass a second time switches the counting off meanwhile.
        count, running_mean, running_var = self.num_batches_tracked, self.running_mean, self.running_var
        if not self.track_running_stats or count is None or running_mean is None or running_var is None:
            return
        count.add_(1)
        share = 1 / float(count) if self.momentum is None else self.momentum
        running_mean.lerp_(mean, share)
        running_var.lerp_(variance, share)

    def _check_input_dim(self, maps: Tensor) -> None:
        """Any number of axes will do."""


class _SumOverProcesses(torch.autograd.Function):
    """Every process's output depends on every process's input alike, so the gradient is summed as well."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        summed: Tensor = idist.all_reduce(values.clone())
        return summed

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        summed: Tensor = idist.all_reduce(gradient.clone())
        return summed


def _sum_over_processes(values: Tensor) -> Tensor:
    summed: Tensor = _SumOverProcesses.apply(values)
    return summed
