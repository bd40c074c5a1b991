"""How many clips go through a network at once while it learns: as many as the memory takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

Forward = Callable[[Tensor], Tensor]

# Not all of what is free: fragments, workspaces of libraries and other programs want some, too.
_SHARE_OF_FREE = {"cuda": 0.8, "cpu": 0.5, "mps": 0.5}
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def clips_at_once(forward: Forward, network: nn.Module, clip: Tensor) -> int:
    """How many clips fit into the memory at once, with what has to be kept for their gradients; at least 1.

    The power of two below: a little more or less free memory then gives the same pieces, and the same result.
    Measured in evaluation mode, in which no random number is drawn, no batch norm counts the clip, and no
    block is left out. The network is left in training mode, without gradients.

    Args:
        forward: of the network, as in a step.
        network: with the parameters that are trained now.
        clip: one, (1, 1, slices, rows, columns), where the network is.

    Raises:
        RuntimeError: of torch: not even one clip fits.
    """
    kind = clip.device.type
    network.eval()
    try:
        if kind == "cuda":
            bytes_per_clip, free_bytes = _on_cuda(forward, network, clip)
        else:
            bytes_per_clip, free_bytes = saved_bytes(forward, network, clip), _free_bytes(kind)
    finally:
        network.train()
    fitting = max(1, int(free_bytes * _SHARE_OF_FREE[kind]) // max(1, bytes_per_clip))
    return 1 << (fitting.bit_length() - 1)


def saved_bytes(forward: Forward, network: nn.Module, clips: Tensor) -> int:
    """Memory that autograd keeps of a forward pass until the backward pass, besides the parameters.

    As if all parameters were trained: of a frozen network nothing is kept, but its maps take room, too.
    """
    trained = [(each, each.requires_grad) for each in network.parameters()]
    network.requires_grad_(True)
    try:
        return _saved_bytes(forward, network, clips)
    finally:
        for parameter, was_trained in trained:
            parameter.requires_grad_(was_trained)


def _saved_bytes(forward: Forward, network: nn.Module, clips: Tensor) -> int:
    parameters = {each.untyped_storage().data_ptr() for each in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        # Held on to: what is freed could lend its address to the next tensor, which would not be counted.
        logits = forward(clips)
    del logits
    return sum(kept.values())


def _on_cuda(forward: Forward, network: nn.Module, clip: Tensor) -> tuple[int, int]:
    """Bytes that one clip takes at most in a forward and backward pass, and those that clips may take."""
    trained_bytes = sum(each.nbytes for each in network.parameters() if each.requires_grad)
    torch.cuda.reset_peak_memory_stats(clip.device)
    before = torch.cuda.memory_allocated(clip.device)
    torch.autograd.backward(forward(clip).sum())
    # The gradients of the parameters are there once, however many clips there are.
    taken = torch.cuda.max_memory_allocated(clip.device) - before - trained_bytes
    network.zero_grad(set_to_none=True)
    free, _ = torch.cuda.mem_get_info(clip.device)
    held = torch.cuda.memory_reserved(clip.device) - torch.cuda.memory_allocated(clip.device)
    # Still to come: the gradients, and the two moments that Adam keeps of each.
    return taken, free + held - 3 * trained_bytes


def _free_bytes(kind: str) -> int:
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    available: int = psutil.virtual_memory().available
    # A container may have less than the computer.
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.is_file() else "max"
    if limit == "max":
        return available
    return min(available, int(limit) - int(psutil.Process().memory_info().rss))
