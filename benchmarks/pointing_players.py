"""Who plays the pointing game: networks trained on phantoms from nothing, and the phantoms to ask about.

A processor trains a published network at its published size in days. `tiny` is trained at its own size; the
others see fewer, smaller slices and look for larger lesions, so that a cell of their last map is as coarse
beside a lesion as it is beside a nodule of 10 to 20 mm in the published size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_phantom_set
from vpt_plugin.data.phantom.study_set import plan_studies
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.sources import ManifestSource

USUAL = PhantomConfig()
# Slices of 5 mm are quick to make; a nodule of 36 mm is seen in seven of them.
LARGE = PhantomConfig(
    pixels=112, slice_spacings_mm=(5.0,), nodule_diameters_mm=(36.0, 56.0), embolus_counts=(2, 6)
)
SMALL_CLIPS: Mapping[str, Any] = MappingProxyType({"clip_slices": 8, "resize_px": 104, "crop_px": 96})
# Of other patients than those of the trainings.
_LEARN_SEED, _HELD_OUT_SEED = 11, 77


@dataclass(frozen=True)
class Player:
    """A network, what it looks for, and how it learns that.

    Attributes:
        task, model: their names.
        phantoms: what the phantoms it learns from are drawn from.
        learn: studies to train on and to choose the epoch on.
        sizes: of clips and slices, where they are not the published ones.
        settings: of the training.
    """

    task: str
    model: str
    phantoms: PhantomConfig = USUAL
    learn: tuple[int, int] = (170, 34)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people, and on the command line: ``nodule_tiny``."""
        return f"{self.task}_{self.model}"

    @property
    def reading_task(self) -> ReadingTask:
        """The task itself."""
        return TASKS[self.task]

    def trained(self, folder: Path, told: Callable[[str], None]) -> tuple[Classifier, ModelCard]:
        """Its classifier and card from the store in a folder; trained now where there is none."""
        store = ModelStore(folder / "models")
        if not store.versions(self.task, self.model):
            self._train(store, folder, told)
        return classifier_of(store, self.task, self.model)

    def _train(self, store: ModelStore, folder: Path, told: Callable[[str], None]) -> None:
        began = 0

        def show(now: Progress) -> None:
            nonlocal began
            if now.state == "validating" and now.step != began:
                began = now.step
                told(f"  {self.name}: step {now.step} of {now.steps}, loss {now.loss:.3f}")

        finetune(
            ManifestSource(self._learned_from(folder)), self.reading_task,
            replace(get_model(self.model), **self.sizes),
            FinetuneConfig.from_dict({"pretraining": "none", **self.settings}),
            store=store, cache=folder / "prepared", progress=show,
        )  # fmt: skip

    def _learned_from(self, folder: Path) -> Manifest:
        """Its phantoms as files; those that are there already are taken."""
        kind = "large" if self.phantoms == LARGE else "usual"
        manifest = folder / f"{self.task}-{kind}-{sum(self.learn)}" / "manifest.csv"
        if not manifest.exists():
            write_phantom_set(
                manifest.parent, count=sum(self.learn), seed=_LEARN_SEED, task=self.task,
                formats=("nrrd",), splits=(*self.learn, 0), config=self.phantoms,
            )  # fmt: skip
        return Manifest.read(manifest)


def classifier_of(store: ModelStore, task: str, model: str) -> tuple[Classifier, ModelCard]:
    """The served classifier, with the sizes it was trained at, and its card."""
    card = store.card(task, model)
    classifier = store.classifier(card)
    sizes = {name: card.reading[name] for name in SMALL_CLIPS}
    classifier.spec = replace(classifier.spec, **sizes)
    return classifier, card


@dataclass(frozen=True)
class HeldOut:
    """A phantom that no training saw.

    Attributes:
        volume: its voxels.
        lesion: bool, as the volume: where its one lesion lies; None where it has none.
    """

    volume: Volume
    lesion: NDArray[np.bool_] | None


def held_out(player: Player, count: int) -> Iterator[HeldOut]:
    """``count`` phantoms with exactly one lesion of the player's task and as many without, mixed."""
    config = replace(player.phantoms, nodule_counts=(1, 1), embolus_counts=(1, 1))
    for planned in plan_studies(
        count=2 * count, seed=_HELD_OUT_SEED, task=player.task, splits=(0, 0, 2 * count)
    ):
        phantom = make_phantom(
            planned.seed, config=config, visit=planned.visit,
            nodule=planned.nodule, contrast=planned.contrast, emboli=planned.emboli,
        )  # fmt: skip
        shown = bool(phantom.lesions[player.task])
        yield HeldOut(phantom.volume, phantom.lesion_mask(player.task) if shown else None)


_SHORT = {"learning_rate": 1e-3, "batch": 8, "epochs": 8, "steps_per_epoch": 50, "augmentation": "light"}
PLAYERS: Mapping[str, Player] = MappingProxyType(
    {
        player.name: player
        for player in (
            Player("nodule", "tiny", settings={"epochs": 10, "steps_per_epoch": 80}),
            Player(
                "pe", "tiny", learn=(260, 40),
                settings={"epochs": 20, "steps_per_epoch": 125, "learning_rate": 3e-3, "patience": 20},
            ),
            Player("nodule", "r2plus1d_r50", LARGE, sizes=SMALL_CLIPS, settings=_SHORT),
            Player("nodule", "swin_t", LARGE, sizes=SMALL_CLIPS, settings={**_SHORT, "learning_rate": 3e-4}),
        )
    }
)  # fmt: skip
QUICK = Player("nodule", "tiny", learn=(100, 20), settings={"epochs": 6, "steps_per_epoch": 70})
