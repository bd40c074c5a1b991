"""A network of a few thousand weights that finds nodules in phantoms, and how it was trained.

``python tests/pointing_network.py`` trains it once more, in a minute or two, and writes its weights beside
this file; the same computer makes the same weights.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.data.phantom import Phantom, PhantomConfig, make_phantom
from vpt_plugin.models.architectures.tiny import Tiny
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier, save_weights
from vpt_plugin.tasks import TASKS

TASK = TASKS["nodule"]
PIXELS, WIDTH = 96, 8
SPEC = replace(
    get_model("tiny"), resize_px=PIXELS, crop_px=PIXELS, feature_dim=2 * WIDTH,
    build=partial(Tiny, width=WIDTH, blocks=1),
)  # fmt: skip
PHANTOMS = PhantomConfig(
    pixels=PIXELS, slice_spacings_mm=(5.0,), nodule_diameters_mm=(30.0, 44.0), nodule_counts=(1, 1)
)
WEIGHTS = Path(__file__).with_suffix(".safetensors")
_LEARN = range(160)
_STEPS, _BATCH, _RATE = 700, 16, 5e-3


def phantom(seed: int, *, nodule: bool = True) -> Phantom:
    """A phantom of those that the network knows; a nodule or none."""
    return make_phantom(seed, config=PHANTOMS, nodule=nodule, contrast=bool(seed % 2), emboli=False)


def trained() -> Classifier:
    """The network with the weights beside this file."""
    classifier = untrained(seed=0)
    load_weights(classifier, WEIGHTS)
    return classifier.eval()


def untrained(*, seed: int) -> Classifier:
    """The same network with random weights."""
    return new_classifier(SPEC, TASK.findings, seed=seed).eval()


def _clips(seed: int) -> tuple[Tensor, Tensor]:
    """A phantom's clips as uint8, and whether each shows its nodule in enough slices."""
    made = phantom(seed, nodule=seed % 4 != 0)
    slices = torch.from_numpy(prepare_slices(made.volume, TASK.hu_window, pixels=PIXELS))
    shown = torch.from_numpy(made.lesion_mask("nodule").any(axis=(1, 2)))
    starts = clip_starts(len(slices), length=SPEC.clip_slices, stride=2)
    clips = torch.stack([slices[start : start + SPEC.clip_slices] for start in starts])
    counts = torch.tensor([int(shown[start : start + SPEC.clip_slices].sum()) for start in starts])
    clear = (counts == 0) | (counts >= TASK.clips.min_positive_slices)
    return clips[clear], (counts > 0)[clear]


def train() -> Classifier:
    """The network, trained from nothing on as many clips with a nodule as without."""
    torch.manual_seed(0)
    clips, present = (torch.cat(each) for each in zip(*map(_clips, _LEARN), strict=True))
    sides = [torch.nonzero(present == side).flatten() for side in (True, False)]
    truth = torch.tensor([1.0] * (_BATCH // 2) + [0.0] * (_BATCH // 2))
    classifier = untrained(seed=0).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    for step in range(_STEPS):
        drawn = torch.cat([side[torch.randint(len(side), (_BATCH // 2,))] for side in sides])
        logits = classifier(scale_clips(clips[drawn].unsqueeze(1), TASK.offset))[:, 0]
        loss = binary_cross_entropy_with_logits(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return classifier.eval()


if __name__ == "__main__":
    save_weights(train(), WEIGHTS)
