"""``vpt models``: the networks there are, and what is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vpt_plugin.cli.console import print_error, print_table
from vpt_plugin.cli.options import ModelsDirOption
from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.catalog import MODELS, ModelSpec

if TYPE_CHECKING:
    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.training.model_store import ModelStore


def models(models_dir: ModelsDirOption = None) -> None:
    """List the networks and what is trained here.

    \b
    Examples:
      vpt models
      vpt models --models-dir /data/models
    """
    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.training.model_store import ModelStore

    folder, store = WeightsFolder(), ModelStore(models_dir)
    rows = [
        (
            spec.name,
            spec.title,
            f"{spec.clip_slices} x {spec.crop_px} x {spec.crop_px}",
            _pretraining_in_words(spec, folder),
            _published_in_words(spec, store),
        )
        for spec in MODELS.values()
    ]
    print_table(("model", "title", "clip", "pretraining", "trained here, served"), rows)
    for spec in MODELS.values():
        typer.echo(f"{spec.name}: {spec.paper}")


def _pretraining_in_words(spec: ModelSpec, folder: WeightsFolder) -> str:
    """``kinetics (on disk), none``."""
    words = []
    for pretraining, sources in spec.weights.items():
        on_disk = any(folder.has(source) for source in sources)
        words.append(f"{pretraining} ({'on disk' if on_disk else 'to fetch'})")
    return ", ".join([*words, "none"])


def _published_in_words(spec: ModelSpec, store: ModelStore) -> str:
    """``nodule (version 3), pe (none served)``."""
    words = []
    for folder in store.folders():
        if folder.model == spec.name:
            try:
                version = folder.current()
                words.append(f"{folder.task} ({f'version {version}' if version else 'none served'})")
            except ModelCardError as error:
                print_error(error)
                words.append(f"{folder.task} (damaged)")
    return ", ".join(words) or "-"
