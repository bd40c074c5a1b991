"""How files of weights are arranged: reading them, renaming their entries, and the strict comparison.

A file is read without running any code that it might hold, its entries get the names of the network as it is
built here, and they are loaded all or not at all.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vpt_plugin.errors import WeightsError, WeightsLayoutError
from vpt_plugin.models.catalog import ModelSpec

StateDict = dict[str, Tensor]

# Trainers also save their last figures, and those may be NumPy numbers, which are harmless to rebuild.
_NUMPY_NUMBERS: list[Any] = [
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
]
_NAMES_IN_A_MESSAGE = 3
# Counters of batch norms are no weights. Files from before torch 0.4.1 have none; torch then fills them in.
_COUNTERS = ".num_batches_tracked"


def read_weights(path: Path, layout: str, *, what: str) -> StateDict:
    """The entries of a published file under the names of the network as it is built here.

    Args:
        path: a file that torch saved.
        layout: a key of ``LAYOUTS``.
        what: the file's name, for the messages.

    Raises:
        WeightsError: torch did not save it, it is damaged, or it would run code.
        WeightsLayoutError: it is arranged in another way.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMPY_NUMBERS):
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail at any byte, and so in any way
        raise _unreadable(what, error) from error
    try:
        return LAYOUTS[layout](content)
    except WeightsLayoutError as error:
        raise WeightsLayoutError(f"{what}: {error.message}", error.hint) from error


def check_layout(found: Mapping[str, Tensor], network: nn.Module, *, head: str, what: str) -> None:
    """Compares names and shapes with those of the network.

    Counters of batch norms may be absent, for they are no weights, and the oldest files have none.

    Args:
        found: the entries to load.
        network: the network they are for.
        head: how the names of the head's entries begin; the head may be absent as a whole. "" where the whole
            network counts.
        what: what the entries come from, for the message.

    Raises:
        WeightsLayoutError: names some of what is missing, unexpected or misshapen.
    """
    expected = network.state_dict()
    if head and not any(name.startswith(head) for name in found):
        expected = {name: each for name, each in expected.items() if not name.startswith(head)}
    missing = [name for name in expected if name not in found and not name.endswith(_COUNTERS)]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(each.shape)}"
        for name, each in expected.items()
        if name in found and found[name].shape != each.shape
    ]
    problems = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    told = [f"{kind}: {_some(names)}" for kind, names in problems if names]
    if told:
        raise WeightsLayoutError(f"{what}: does not fit the network; {'; '.join(told)}.")


def check_file(path: Path, layout: str, spec: ModelSpec, *, what: str) -> None:
    """Refuses a published file that does not fit the network.

    Raises:
        WeightsError, WeightsLayoutError: as ``read_weights`` and ``check_layout``.
    """
    found = read_weights(path, layout, what=what)
    # Building a network draws random weights; looking into a file must not move the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = spec.build()
    check_layout(found, network, head=spec.head, what=what)


def load_strictly(network: nn.Module, found: Mapping[str, Tensor], *, head: str, what: str) -> None:
    """Loads the entries into the network, all or none of them; a head that is absent stays as it is.

    Raises:
        WeightsLayoutError: as ``check_layout``.
    """
    check_layout(found, network, head=head, what=what)
    own_head = {name: each for name, each in network.state_dict().items() if head and name.startswith(head)}
    network.load_state_dict({**own_head, **found})


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_IN_A_MESSAGE])
    more = len(names) - _NAMES_IN_A_MESSAGE
    return f"{shown} and {more} more" if more > 0 else shown


def _unreadable(what: str, error: Exception) -> WeightsError:
    # torch's own message explains at length how to load such a file all the same.
    if refused := re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error)):
        return WeightsError(
            f"{what}: holds more than weights: it asks for {refused[1]} when it is read. That could run "
            "code and is refused."
        )
    return WeightsError(f"{what}: is damaged, was not saved by torch, or holds more than weights.")


def _tensors(content: Any) -> StateDict:
    if not isinstance(content, dict):
        raise WeightsLayoutError(f"holds a {type(content).__name__} instead of named weights.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsLayoutError(f"{name!r} is a {type(value).__name__} instead of weights.")
    return dict(content)


def _entry(content: Any, name: str) -> StateDict:
    if not isinstance(content, dict) or name not in content:
        holds = (
            _some([str(each) for each in content]) if isinstance(content, dict) else type(content).__name__
        )
        raise WeightsLayoutError(f"has no entry {name!r}; it holds {holds}.")
    return _tensors(content[name])


def _renamed(entries: StateDict, rename: Callable[[str], str]) -> StateDict:
    renamed = {rename(name): value for name, value in entries.items()}
    if len(renamed) != len(entries):
        raise WeightsLayoutError("some entries are there twice under different names.")
    return renamed


def _penet_name(name: str) -> str:
    # Saved from a network spread over several GPUs, and before its blocks were renamed.
    return name.removeprefix("module.").replace(".xnet_blocks.", ".penet_blocks.")


def _torchvision_swin_name(name: str) -> str:
    """torchvision's name of an entry of the authors' Video Swin.

    torchvision puts stages and the mergings between them in one row: stage i is 2 i, its merging 2 i + 1.
    """
    if match := re.fullmatch(r"backbone\.layers\.(\d+)\.(?:blocks\.(\d+)|downsample)\.(.+)", name):
        stage, block, rest = match.groups()
        if block is None:
            return f"features.{2 * int(stage) + 1}.{rest}"
        rest = rest.replace("mlp.fc1.", "mlp.0.").replace("mlp.fc2.", "mlp.3.")
        return f"features.{2 * int(stage)}.{block}.{rest}"
    if name.startswith("cls_head.fc_cls."):
        return name.replace("cls_head.fc_cls.", "head.")
    return name.removeprefix("backbone.")


LAYOUTS: MappingProxyType[str, Callable[[Any], StateDict]] = MappingProxyType(
    {
        "pytorchvideo": lambda content: _entry(content, "model_state"),
        "torchvision": _tensors,
        "video_swin": lambda content: _renamed(_entry(content, "state_dict"), _torchvision_swin_name),
        "penet": lambda content: _renamed(_entry(content, "model_state"), _penet_name),
    }
)
