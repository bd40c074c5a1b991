"""Which device and which precision a network computes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import (
    available_devices,
    choose_device,
    choose_dtype,
    full_float32,
    has_native_bfloat16,
    heed_cpu_quota,
    memory_format,
    out_of_memory,
)

CPU = torch.device("cpu")


def test_auto_takes_the_fastest_device_there_is() -> None:
    assert available_devices()[0] == "cpu"
    assert choose_device("auto").type == available_devices()[-1]


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "xla"])
def test_a_device_that_is_not_there_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no device '{name}' here; choose from auto, cpu"):
        choose_device(name)


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ConfigurationError, match="unknown precision 'half'; choose from auto, float32, bfloat16"
    ):
        choose_dtype(CPU, "half")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_taken(name: str) -> None:
    assert choose_dtype(CPU, name) == getattr(torch, name)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_f": True}, torch.float32),
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_on_the_cpu_auto_takes_bfloat16_only_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_dtype(CPU) == expected


@pytest.mark.parametrize(("bf16", "amx"), [(False, False), (True, False), (False, True)])
def test_a_torch_that_cannot_list_capabilities_is_asked_for_each_of_them(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # torch 2.6 to 2.9
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert has_native_bfloat16(CPU) == (bf16 or amx)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not has_native_bfloat16(CPU)


def tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_full_float32_turns_tf32_off_on_cuda_until_the_last_one_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    cuda = torch.device("cuda")
    first, second = full_float32(cuda), full_float32(cuda)
    first.__enter__()
    second.__enter__()
    assert tf32() == (False, False)
    first.__exit__(None, None, None)
    assert tf32() == (False, False)
    second.__exit__(None, None, None)
    assert tf32() == (True, False)
    with pytest.raises(ValueError, match="no number"), full_float32(cuda):
        raise ValueError("no number")
    assert tf32() == (True, False)
    with full_float32(CPU):
        assert tf32() == (True, False)


def test_channels_last_goes_with_bfloat16() -> None:
    assert memory_format(torch.bfloat16) == torch.channels_last_3d
    assert memory_format(torch.float32) == torch.contiguous_format


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB, max allowed: 9.07 GB)."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_every_way_in_which_torch_says_that_the_memory_is_full_is_known(error: RuntimeError) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: device-side assert triggered"), ValueError("CUDA error: out of memory")],
)
def test_another_error_is_not_taken_for_full_memory(error: Exception) -> None:
    assert not out_of_memory(error)


@pytest.mark.parametrize(
    ("written", "threads"),
    [("max 100000\n", 4), ("250000 100000\n", 2), ("50000 100000\n", 1), ("900000 100000\n", 4), ("", 4)],
)
def test_torch_has_no_more_threads_than_a_containers_quota_gives_it_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, threads: int
) -> None:
    now = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda number: now.append(number))
    (tmp_path / "cpu.max").write_text(written)
    heed_cpu_quota(tmp_path / "cpu.max")
    assert now[-1] == threads
