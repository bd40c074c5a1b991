"""Networks whose every weight counts, and files of them as their publishers would have saved them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.sources import WeightsSource


def _enliven(network: nn.Module, seed: int = 7) -> nn.Module:
    """Random values for everything that is born as 0 or 1, so that nothing can be left out unnoticed.

    PyTorchVideo's residual branches, for example, end in a norm of weight 0: as built, they say nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    entries = network.state_dict()
    for name, value in entries.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point() and value.ndim == 1:
            low, high = (0.3, 0.7) if name.endswith("weight") else (-0.3, 0.3)
            value.uniform_(low, high, generator=generator)
        elif name.endswith(("bias_table", "proj.weight", "head.weight", "fc.weight")) and value.ndim == 2:
            value.normal_(std=value.shape[1] ** -0.5, generator=generator)
    return network.eval()


def _authors_swin_name(name: str) -> str:
    """The authors' name of an entry of torchvision's Video Swin."""
    if match := re.fullmatch(r"features\.(\d)\.(\d)\.(.+)", name):
        row, block, rest = match.groups()
        rest = re.sub(r"^mlp\.0", "mlp.fc1", re.sub(r"^mlp\.3", "mlp.fc2", rest))
        return f"backbone.layers.{int(row) // 2}.blocks.{block}.{rest}"
    if match := re.fullmatch(r"features\.(\d)\.(norm|reduction)\.(.+)", name):
        row, part, rest = match.groups()
        return f"backbone.layers.{int(row) // 2}.downsample.{part}.{rest}"
    return f"cls_head.fc_cls.{name[5:]}" if name.startswith("head.") else f"backbone.{name}"


def _as_published(entries: dict[str, Tensor], layout: str) -> Any:
    """What the publisher's own training script would have saved, with what else lies in such files."""
    if layout == "torchvision":
        return entries
    if layout == "video_swin":
        return {
            "meta": {"epoch": 30, "time": "Wed Jun 23"},
            "state_dict": {_authors_swin_name(name): each for name, each in entries.items()},
        }
    if layout == "penet":
        old = {
            f"module.{name.replace('penet_blocks', 'xnet_blocks')}": each for name, each in entries.items()
        }
        return {"ckpt_info": {"epoch": 90, "val_loss": np.float64(2.5)}, "model_state": old}
    return {"epoch": 196, "model_state": entries, "optimizer_state": {"state": {}}, "cfg": "TRAIN: ..."}


def _save_as_published(entries: dict[str, Tensor], layout: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(_as_published(entries, layout), path)
    return path


def _without_checksum(spec: ModelSpec) -> ModelSpec:
    """The same row, but for files that the test made: no publisher knows their checksum."""
    weights: dict[str, tuple[WeightsSource, ...]] = {
        pretraining: tuple(replace(source, sha256="", sha256_prefix="") for source in sources)
        for pretraining, sources in spec.weights.items()
    }
    return replace(spec, weights=weights)


@pytest.fixture(scope="session")
def enliven() -> Callable[..., nn.Module]:
    return _enliven


@pytest.fixture(scope="session")
def save_as_published() -> Callable[..., Path]:
    return _save_as_published


@pytest.fixture(scope="session")
def without_checksum() -> Callable[[ModelSpec], ModelSpec]:
    return _without_checksum


@pytest.fixture(autouse=True)
def _one_seed_for_every_test() -> None:
    torch.manual_seed(0)
