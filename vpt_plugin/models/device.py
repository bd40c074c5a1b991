"""Where a network computes, and in which number format: one rule for training and for inference."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import torch
from torch import nn

from vpt_plugin.errors import ConfigurationError, DeviceMemoryError

_OUT_OF_MEMORY = (
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        ConfigurationError: no such device on this computer.
    """
    there = available_devices()
    if name == "auto":
        return torch.device(there[-1])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _no_such_device(name, there) from error
    if device.type not in there or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise _no_such_device(name, there)
    return device


def available_devices() -> list[str]:
    """The kinds of device on this computer, the fastest last."""
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.append("mps")
    if torch.cuda.is_available():
        there.append("cuda")
    return there


def _no_such_device(name: str, there: list[str]) -> ConfigurationError:
    return ConfigurationError(f"there is no device {name!r} here;", f"choose from auto, {', '.join(there)}.")


def choose_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """In which precision the network's products are computed.

    ``auto`` takes bfloat16 where the device multiplies it natively and is faster for it, else float32.
    What is handed from layer to layer is chosen by torch's autocast. On CUDA torch's own settings let cuDNN
    compute the convolutions of float32 in TF32, with 10 bits of 23, which suits training; answers are
    computed within ``full_float32``.

    Raises:
        ConfigurationError: the precision is none of ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"unknown precision {precision!r};", f"choose from {', '.join(PRECISIONS)}.")
    if precision == "bfloat16" or (precision == "auto" and has_native_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; an emulated one is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_native_bfloat16()


def _cpu_has_native_bfloat16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):  # since torch 2.10
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    # Every processor with AMX has it for bfloat16. Other systems than Linux on x86 may lack the functions.
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name)() for name in asked if hasattr(torch.cpu, name))


class _Tf32:
    """torch's switches for TF32, which are of the whole process, turned off while anybody wants them off."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted_off = 0
        self._before = (False, False)

    def turn_off(self) -> None:
        with self._lock:
            if not self._wanted_off:
                self._before = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
                self._set(False, False)
            self._wanted_off += 1

    def give_back(self) -> None:
        with self._lock:
            self._wanted_off -= 1
            if not self._wanted_off:
                self._set(*self._before)

    @staticmethod
    def _set(convolutions: bool, products: bool) -> None:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products


_tf32 = _Tf32()


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Within it float32 on CUDA is computed with all its bits, not in TF32; on other devices it always is.

    Several threads may be in it at once; the last one that leaves gives back what was set before.
    """
    if device.type != "cuda":
        yield
        return
    _tf32.turn_off()
    try:
        yield
    finally:
        _tf32.give_back()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that the device has no memory left.

    torch has a class for it where its own allocator on a GPU refuses. The CPU, MPS, and CUDA where a context
    or one of its libraries finds no room, give a plain RuntimeError with these words.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def memory_needed(device: torch.device, otherwise: str) -> Iterator[None]:
    """Says in our words that the device's memory is full; ``otherwise`` is what then does not fit.

    Raises:
        DeviceMemoryError: in place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise DeviceMemoryError(
            f"{otherwise} into the free memory of {device}.",
            "End other programs that use it, or choose the device cpu.",
        ) from error


def memory_format(dtype: torch.dtype) -> torch.memory_format:
    """The order of a clip's numbers in memory; channels last pays only together with bfloat16."""
    return torch.channels_last_3d if dtype == torch.bfloat16 else torch.contiguous_format


def arrange(network: nn.Module, dtype: torch.dtype) -> None:
    """Put the network's weights into the order in memory that suits clips of ``memory_format``.

    ``nn.Module.to`` takes one order for all weights, and that for 3D is refused by those of 2D convolutions.
    """
    of_3d = memory_format(dtype)
    of_2d = torch.channels_last if of_3d == torch.channels_last_3d else of_3d
    orders = {4: of_2d, 5: of_3d}
    for parameter in network.parameters():
        if parameter.ndim in orders:
            parameter.data = parameter.data.to(memory_format=orders[parameter.ndim])


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones, on Linux with the GNU C library.

    By default every large block goes back to the system when it is freed and is faulted in page by page when
    it is needed again, which for a training on the CPU costs a third of the time. The process then stays as
    large as it ever was. It holds for threads that are started afterwards, too.
    """
    trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # from malloc.h
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        return
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    libc.mallopt(top_pad, 1 << 28)
    # Threads else have arenas of their own, which hand every block above 64 MiB straight to the system.
    libc.mallopt(arena_max, 1)


def heed_cpu_quota(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> None:
    """Let torch compute in no more threads than the processors that this container may use.

    torch counts the cores it sees, which in a container with a quota are those of the whole computer: threads
    above the quota are stopped in turns, and all others wait for them.

    Args:
        cpu_max: where Linux writes the quota and its period, in microseconds; without it there is none.
    """
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return
    if quota.isdigit() and period.isdigit():
        torch.set_num_threads(min(torch.get_num_threads(), max(1, int(quota) // int(period))))
