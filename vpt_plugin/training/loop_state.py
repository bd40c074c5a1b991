"""What a training knows after an epoch, as tensors, numbers and words: enough to go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from vpt_plugin.training.validation import Validation


def network_state(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's weights and statistics, on the CPU, where it takes no memory of the device."""
    return {name: each.detach().to("cpu", copy=True) for name, each in network.state_dict().items()}


def validation_state(validation: Validation) -> dict[str, Any]:
    """A validation with tensors in the place of arrays."""
    values = {each.name: getattr(validation, each.name) for each in fields(Validation)}
    return {
        name: value if isinstance(value, (int, float)) else torch.from_numpy(value)
        for name, value in values.items()
    }


def validation_from_state(state: Mapping[str, Any]) -> Validation:
    """The validation that ``validation_state`` took apart."""
    values: dict[str, Any] = {
        name: value.numpy() if isinstance(value, Tensor) else value for name, value in state.items()
    }
    return Validation(**values)


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's generators: of the CPU, and of the device where it has its own."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generator_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Let torch's generators go on from these states."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
