"""One clip through each network: the Predictor's way against the network as its publisher ships it.

Theirs: three identical channels, float32, autograd off, defaults of torch. Ours: one channel, the precision
and memory order that `vpt_plugin.models.device` chooses for this device. Random weights.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from side_by_side import Row, compare, report

from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import arrange, choose_device, choose_dtype, memory_format


def main() -> None:
    """Measure the networks that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(MODELS), help="names from `vpt models`")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = [measure(name, arguments.rounds) for name in arguments.networks]
    report("networks", rows)


def measure(name: str, rounds: int) -> Row:
    """Both ways through one clip of the published size."""
    spec = MODELS[name]
    device = choose_device()
    dtype = choose_dtype(device)
    shape = (spec.clip_slices, spec.crop_px, spec.crop_px)
    clip = torch.rand(1, 1, *shape, device=device)
    shipped = spec.build().eval().to(device)
    order = memory_format(dtype)
    ours = new_classifier(spec, ("finding",)).eval().to(device=device)
    arrange(ours, dtype)
    return compare(
        f"{name}, {' x '.join(map(str, shape))}, {str(dtype).removeprefix('torch.')}",
        partial(_ours, ours, clip.to(memory_format=order), dtype),
        partial(_theirs, shipped, clip.expand(-1, 3, -1, -1, -1).contiguous(), name),
        rounds=rounds,
    )


def _ours(classifier: Classifier, clip: torch.Tensor, dtype: torch.dtype) -> float:
    enabled = dtype != torch.float32
    with torch.inference_mode(), torch.autocast(clip.device.type, dtype=dtype, enabled=enabled):
        return float(classifier(clip)[0, 0])


def _theirs(network: torch.nn.Module, clip: torch.Tensor, name: str) -> float:
    with torch.inference_mode():
        if (
            MODELS[name].kind == "2d"
        ):  # slices as a batch of images; of LRCN this is the slices' network alone
            return float(network(clip[0].transpose(0, 1))[0, 0])
        # SlowFast wants its two pathways cut by the caller.
        return float(network([clip[:, :, ::4], clip] if name == "slowfast_r50" else clip)[0, 0])


if __name__ == "__main__":
    main()
