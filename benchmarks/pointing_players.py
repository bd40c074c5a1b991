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

# By name: the demo's; with slices of 5 mm, which are quick to make and to read, and nodules that seven show;
# with clots that block the large arteries they lie in, in finer slices with less noise, and only as much of
# the chest as has such arteries: in a whole one, where a clip lies explains its label before a clot is seen.
KINDS: Mapping[str, PhantomConfig] = MappingProxyType(
    {
        "usual": PhantomConfig(),
        "large": PhantomConfig(pixels=112, slice_spacings_mm=(5.0,), nodule_diameters_mm=(36.0, 56.0)),
        "blocked": PhantomConfig(
            pixels=160, slice_spacings_mm=(3.0,), noise_hu=(4.0, 10.0), embolus_counts=(1, 3),
            clot_lengths_mm=(40.0, 80.0), clot_fills=(0.95, 1.0), clot_from_radius_mm=4.5,
            extent=(0.46, 0.78),
        ),
    }
)  # fmt: skip
SMALL_CLIPS: Mapping[str, Any] = MappingProxyType({"clip_slices": 8, "resize_px": 104, "crop_px": 96})
# Of other patients than those of the trainings.
_LEARN_SEED, _HELD_OUT_SEED = 11, 77


@dataclass(frozen=True)
class Player:
    """A network, what it looks for, and how it learns that.

    Attributes:
        task, model: their names.
        kind: of the phantoms it learns from, a name in ``KINDS``.
        learn: studies to train on and to choose the epoch on.
        sizes: of clips and slices, where they are not the published ones.
        settings: of the training.
        alias: its name, where another player has the same task and network.
    """

    task: str
    model: str
    kind: str = "usual"
    learn: tuple[int, int] = (170, 34)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""

    @property
    def name(self) -> str:
        """For people, and on the command line: ``nodule_tiny``."""
        return self.alias or f"{self.task}_{self.model}"

    @property
    def reading_task(self) -> ReadingTask:
        """The task itself."""
        return TASKS[self.task]

    def trained(self, folder: Path, told: Callable[[str], None]) -> tuple[Classifier, ModelCard]:
        """Its classifier and card from the store in a folder; trained now where there is none."""
        store = ModelStore(folder / (f"models-{self.alias}" if self.alias else "models"))
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
        manifest = folder / f"{self.task}-{self.kind}-{sum(self.learn)}" / "manifest.csv"
        if not manifest.exists():
            write_phantom_set(
                manifest.parent, count=sum(self.learn), seed=_LEARN_SEED, task=self.task,
                formats=("nrrd",), splits=(*self.learn, 0), config=KINDS[self.kind],
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
    config = replace(KINDS[player.kind], nodule_counts=(1, 1), embolus_counts=(1, 1))
    for planned in plan_studies(
        count=2 * count, seed=_HELD_OUT_SEED, task=player.task, splits=(0, 0, 2 * count)
    ):
        phantom = make_phantom(
            planned.seed, config=config, visit=planned.visit,
            nodule=planned.nodule, contrast=planned.contrast, emboli=planned.emboli,
        )  # fmt: skip
        shown = bool(phantom.lesions[player.task])
        yield HeldOut(phantom.volume, phantom.lesion_mask(player.task) if shown else None)


_FROM_NOTHING = {"epochs": 8, "steps_per_epoch": 50, "batch": 8, "augmentation": "light"}
PLAYERS: Mapping[str, Player] = MappingProxyType(
    {
        player.name: player
        for player in (
            Player("nodule", "tiny", settings={"epochs": 10, "steps_per_epoch": 80}),
            Player("pe", "tiny", settings={"epochs": 10, "steps_per_epoch": 80}),
            Player(
                "pe", "tiny", "blocked", learn=(200, 40), sizes={"resize_px": 160, "crop_px": 128},
                settings={"epochs": 8, "steps_per_epoch": 60}, alias="pe_tiny_blocked",
            ),
            Player(
                "nodule", "resnet18_2d", "large", sizes={**SMALL_CLIPS, "clip_slices": 1},
                settings={
                    **_FROM_NOTHING, "batch": 16, "steps_per_epoch": 40, "learning_rate": 1e-3,
                    "precision": "bfloat16",
                },
            ),
            # In bfloat16 its gradient was no number after 142 steps.
            Player(
                "nodule", "r2plus1d_r50", "large", sizes=SMALL_CLIPS,
                settings={**_FROM_NOTHING, "learning_rate": 1e-3, "precision": "float32"},
            ),
            Player(
                "nodule", "swin_t", "large", sizes=SMALL_CLIPS,
                settings={**_FROM_NOTHING, "learning_rate": 3e-4},
            ),
        )
    }
)  # fmt: skip
# Who learns within minutes on a processor; the others are asked for by name.
USUAL_PLAYERS = ("nodule_tiny", "pe_tiny", "pe_tiny_blocked", "nodule_resnet18_2d")
QUICK = Player("nodule", "tiny", learn=(100, 20), settings={"epochs": 6, "steps_per_epoch": 70})
