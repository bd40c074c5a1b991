"""What answers in the reader's day: for tests a network with a random head, for pictures a trained one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 1
STUDIES, VALIDATED = 100, 30
EPOCHS, STEPS_PER_EPOCH = 6, 40


def publish(root: Path, spread_out: Callable[..., None], versions: int) -> None:
    """Publish so many versions of ``tiny`` for nodules in ``root/models``; ``root/studies`` has the phantoms.

    Random weights are there at once, and every step of the day is as well tried with them. What they say is
    wrong, and a picture of it would speak against the module: with VPT_SCREENSHOTS a network is trained.
    """
    if os.environ.get("VPT_SCREENSHOTS"):
        _train(root)
    else:
        _publish_random(root, spread_out, versions)


def day_phantoms() -> Any:
    """What the phantoms of the day are drawn from: few voxels, and nodules that those show."""
    from vpt_plugin.data.phantom import PhantomConfig

    return PhantomConfig(pixels=64, slice_spacings_mm=(5.0,), nodule_diameters_mm=(34.0, 48.0))


def _train(root: Path) -> None:
    """About a minute and a half, on other phantoms than those of the day."""
    from vpt_plugin.data.manifest import Manifest
    from vpt_plugin.data.phantom import write_phantom_set
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.tasks import TASKS
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.finetune import finetune
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import ManifestSource

    sides = (STUDIES - VALIDATED, VALIDATED, 0)
    learned_from = write_phantom_set(
        root / "learned", count=STUDIES, seed=SEED, task="nodule", config=day_phantoms(), splits=sides
    )
    config = FinetuneConfig(pretraining="none", epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH, seed=SEED)
    source = ManifestSource(Manifest.read(learned_from))
    store = ModelStore(root / "models")
    finetune(source, TASKS["nodule"], get_model("tiny"), config, store=store, cache=root / "prepared")


def _publish_random(root: Path, spread_out: Callable[..., None], versions: int) -> None:
    import torch

    from vpt_plugin.ct.reader import read_study
    from vpt_plugin.models.card import Estimate, ModelCard
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.models.classifier import new_classifier
    from vpt_plugin.tasks import TASKS
    from vpt_plugin.training.model_store import ModelStore

    classifier = new_classifier(get_model("tiny"), TASKS["nodule"].findings, seed=0)
    with torch.no_grad():
        spread_out(classifier, TASKS["nodule"], read_study(root / "studies" / "p00.nii"))
    card = ModelCard(
        task="nodule", model="tiny", findings=("lung_nodule",), pretraining="none",
        clip_slices=get_model("tiny").clip_slices, trained_on=70, synthetic=True, calibrated=True,
        validation_auroc={"lung_nodule": Estimate(0.71, (0.58, 0.83), 60)},
        thresholds={"lung_nodule": 0.5}, created="2026-11-20T20:31:05Z",
    )  # fmt: skip
    for _ in range(versions):
        ModelStore(root / "models").publish(classifier, card)
