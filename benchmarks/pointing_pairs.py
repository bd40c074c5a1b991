"""The pointing game for emboli, by a small network that learns from pairs: a patient with clots, and without.

Clots lie near the hila. A network that is shown which clips have one learns from a few hundred patients where
the hila are, long before it sees a clot (``pointing_game.py pe_tiny``). Phantoms can show the very same
patient in the same scanner with and without, clip by clip, so that nothing but the clot tells the two apart.

    python benchmarks/pointing_pairs.py                     trains for two minutes on one core, and plays
    python benchmarks/pointing_pairs.py --task nodule --folder DIR
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pointing_game import STUDIES, play, tell, ways_of
from pointing_players import KINDS, Player, held_out
from side_by_side import SideBySide, parser
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.data.phantom import Phantom, make_phantom
from vpt_plugin.models.architectures.tiny import Tiny
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier, save_weights
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.tasks import ReadingTask

PIXELS, WIDTH = 128, 8
_PATIENTS, _STEPS, _BATCH, _RATE = 80, 500, 16, 5e-3


def small_spec() -> ModelSpec:
    """`tiny` with half its width and one block."""
    return replace(
        get_model("tiny"), resize_px=PIXELS, crop_px=PIXELS, feature_dim=2 * WIDTH,
        build=partial(Tiny, width=WIDTH, blocks=1),
    )  # fmt: skip


def clips_of(made: Phantom, task: ReadingTask, starts: Sequence[int], length: int) -> Tensor:
    """Clips of a phantom as uint8 (clips, 1, slices, rows, columns)."""
    slices = torch.from_numpy(prepare_slices(made.volume, task.hu_window, pixels=PIXELS))
    return torch.stack([slices[start : start + length] for start in starts]).unsqueeze(1)


def pair(seed: int, player: Player, length: int) -> tuple[Tensor, Tensor]:
    """The clips of a patient that show a lesion in enough slices, and the same ones without it."""
    task, emboli = player.reading_task, player.task == "pe"
    make = partial(make_phantom, seed, config=KINDS[player.kind], contrast=emboli)
    with_it = make(nodule=not emboli, emboli=emboli)
    shown = with_it.lesion_mask(player.task).any(axis=(1, 2))
    starts = [
        start
        for start in clip_starts(len(shown), length=length, stride=3)
        if shown[start : start + length].sum() >= task.clips.min_positive_slices
    ]
    if not starts:
        nothing = torch.zeros((0, 1, length, PIXELS, PIXELS), dtype=torch.uint8)
        return nothing, nothing
    without = make(nodule=False, emboli=False)
    return clips_of(with_it, task, starts, length), clips_of(without, task, starts, length)


def train(player: Player, spec: ModelSpec) -> Classifier:
    """The network, from nothing."""
    task = player.reading_task
    torch.manual_seed(0)
    pairs = [pair(seed, player, spec.clip_slices) for seed in range(_PATIENTS)]
    with_it, without = (torch.cat(each) for each in zip(*pairs, strict=True))
    truth = torch.tensor([1.0] * (_BATCH // 2) + [0.0] * (_BATCH // 2))
    classifier = new_classifier(spec, task.findings).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    for step in range(_STEPS):
        drawn = torch.randint(len(with_it), (_BATCH // 2,))
        clips = scale_clips(torch.cat([with_it[drawn], without[drawn]]), task.offset)
        loss: Any = binary_cross_entropy_with_logits(classifier(clips)[:, 0], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"  step {step + 1} of {_STEPS}, loss {loss.item():.3f}", flush=True)
    return classifier.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Train, unless weights are there, and play."""
    options = parser(__doc__)
    options.add_argument("--task", choices=("pe", "nodule"), default="pe")
    options.add_argument("--folder", type=Path, help="keeps the weights; takes those that are there")
    arguments = options.parse_args(argv)
    player, spec = Player(arguments.task, "tiny", "coarse"), small_spec()
    findings = player.reading_task.findings
    bench = SideBySide("pointing_pairs", "the pointing game, learned from pairs of phantoms")
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        weights = (arguments.folder or Path(temporary)) / f"{player.name}.safetensors"
        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            save_weights(train(player, spec), weights)
        classifier = new_classifier(spec, findings)
        load_weights(classifier, weights)
    card = ModelCard(
        player.task, "tiny", findings, "none", spec.clip_slices, thresholds=dict.fromkeys(findings, 0.5)
    )
    ways = ways_of(player, classifier.eval(), card, ())
    tell(bench, player, play(held_out(player, 20 if arguments.quick else STUDIES), ways), ())
    return bench.finish()


if __name__ == "__main__":
    raise SystemExit(main())
