"""How many clips a network sees at once: as many as the device's memory takes."""

from __future__ import annotations

import torch

from vpt_plugin.errors import DeviceMemoryError

# A study has 10 to 40 clips, or hundreds of single slices; beyond this a batch no longer makes a GPU faster.
MAX_CLIPS_PER_BATCH = 32
MAX_SINGLE_SLICES_PER_BATCH = 256
# On the CPU this saves ResNet-18 nearly half, and more at once saves nothing; on MPS it is a guess.
_SINGLE_SLICES = 16
# Of the free memory, the share that clips may take: other processes and fragments want some too.
_SHARE_OF_FREE_MEMORY = 0.8


class BatchSize:
    """How many clips at once: as many as the device's memory takes, fewer when it runs out.

    On the CPU it stays at one, because batches do not pay there, except where a clip is a single slice. On
    CUDA the first clip goes alone and shows how much memory a clip takes. MPS does not tell how much is free
    and shares it with everything else: two.

    Args:
        device: where the clips go.
        asked: a fixed number instead, still halved when memory runs out.
        single_slices: whether a clip is one slice.
    """

    def __init__(
        self, device: torch.device, asked: int | None = None, *, single_slices: bool = False
    ) -> None:
        self.clips = asked or first_batch(device, single_slices=single_slices)
        self._most = MAX_SINGLE_SLICES_PER_BATCH if single_slices else MAX_CLIPS_PER_BATCH
        self._device = device
        self._measuring = asked is None and device.type == "cuda"
        self._bytes_before = 0

    def before_batch(self) -> None:
        """Takes note of the memory in use."""
        if self._measuring:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._bytes_before = torch.cuda.memory_allocated(self._device)

    def after_batch(self) -> None:
        """Takes the largest batch that the memory allows, from what the first clip took."""
        if self._measuring:
            bytes_per_clip = torch.cuda.max_memory_allocated(self._device) - self._bytes_before
            self.clips = clips_that_fit(_free_cuda_bytes(self._device), bytes_per_clip, self._most)
            self._measuring = False

    def halve(self, tried: int) -> None:
        """Half as many clips as were tried, because the memory ran out.

        Raises:
            DeviceMemoryError: it was one clip already.
        """
        if tried == 1:
            raise DeviceMemoryError(
                f"not even one clip fits into the free memory of {self._device}.",
                "End other programs that use it, or choose the device cpu.",
            )
        self.clips = tried // 2
        self._measuring = False
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def first_batch(device: torch.device, *, single_slices: bool) -> int:
    """How many clips go first where nobody asked for a number; on all but CUDA it stays with it."""
    if single_slices and device.type != "cuda":
        return _SINGLE_SLICES
    return {"cuda": 1, "mps": 2}.get(device.type, 1)


def clips_that_fit(free_bytes: int, bytes_per_clip: int, most: int = MAX_CLIPS_PER_BATCH) -> int:
    """How many clips fit into the free memory, from 1 to ``most``."""
    fitting = int(free_bytes * _SHARE_OF_FREE_MEMORY) // max(1, bytes_per_clip)
    return min(max(1, fitting), most)


def _free_cuda_bytes(device: torch.device) -> int:
    # What the driver has free, and what torch holds without using it.
    free, _total = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
