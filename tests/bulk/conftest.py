"""A small archive of phantoms and a published model for the tests of bulk answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

# 20 to 24 slices of 32 x 32 pixels.
_TINY = PhantomConfig(pixels=32, slice_spacings_mm=(12.0,))
_DISTINCT = 6


@pytest.fixture(scope="session")
def bulk_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds versions 1 and 2 of nodule/tiny: random weights from fixed seeds; version 1 is served."""
    root = tmp_path_factory.mktemp("bulk-models")
    task, spec = TASKS["nodule"], MODELS["tiny"]
    for seed in (3, 4):
        card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices, synthetic=True)
        ModelStore(root).publish(new_classifier(spec, task.findings, seed=seed), card, serve=seed == 3)
    return root


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six different phantoms as NRRD files."""
    folder = tmp_path_factory.mktemp("phantoms")
    files = [folder / f"phantom-{seed}.nrrd" for seed in range(_DISTINCT)]
    for seed, file in enumerate(files):
        phantom = make_phantom(seed, nodule=bool(seed % 2), contrast=False, emboli=False, config=_TINY)
        write_nrrd(phantom.volume, file)
    return files


@pytest.fixture
def new_archive(tmp_path: Path, phantom_files: list[Path]) -> Callable[[int], Path]:
    """Makes a folder of so many studies, ``ct-000.nrrd`` and so on, of which every sixth is the same file."""

    def make(studies: int) -> Path:
        folder = tmp_path / "archive"
        folder.mkdir()
        for number in range(studies):
            os.link(phantom_files[number % _DISTINCT], folder / f"ct-{number:03d}.nrrd")
        return folder

    return make
