"""``vpt models``: the networks there are, and what is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.options import ModelsDirOption
from vpt_plugin.models.catalog import MODELS, ModelSpec

if TYPE_CHECKING:
    from vpt_plugin.models.card import ModelCard
    from vpt_plugin.models.weights import WeightsFolder


def models(models_dir: ModelsDirOption = None) -> None:
    """List the networks and what is trained here.

    \b
    Examples:
      vpt models
      vpt models --models-dir /data/models
    """
    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.training.model_store import ModelStore

    folder, cards = WeightsFolder(), ModelStore(models_dir).cards()
    rows = [
        (
            spec.name,
            spec.title,
            f"{spec.clip_slices} x {spec.crop_px} x {spec.crop_px}",
            _pretraining_in_words(spec, folder),
            _published_in_words(spec, cards),
        )
        for spec in MODELS.values()
    ]
    print_table(("model", "title", "clip", "pretraining", "trained here"), rows)
    for spec in MODELS.values():
        typer.echo(f"{spec.name}: {spec.paper}")


def _pretraining_in_words(spec: ModelSpec, folder: WeightsFolder) -> str:
    """``kinetics (on disk), none``."""
    words = []
    for pretraining, sources in spec.weights.items():
        on_disk = any(folder.has(source) for source in sources)
        words.append(f"{pretraining} ({'on disk' if on_disk else 'to fetch'})")
    return ", ".join([*words, "none"])


def _published_in_words(spec: ModelSpec, cards: Iterable[ModelCard]) -> str:
    """``nodule (version 3), pe (version 1)``."""
    newest: dict[str, int] = {}
    for card in cards:
        if card.model == spec.name:
            newest[card.task] = max(card.version, newest.get(card.task, 0))
    return ", ".join(f"{task} (version {version})" for task, version in sorted(newest.items())) or "-"
