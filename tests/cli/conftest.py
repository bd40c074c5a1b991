"""A trained-looking model and some studies for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds version 1 of nodule/tiny: random weights from a fixed seed, published on purpose."""
    root = tmp_path_factory.mktemp("models")
    task, spec = TASKS["nodule"], MODELS["tiny"]
    card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices, synthetic=True)
    ModelStore(root).publish(new_classifier(spec, task.findings, seed=3), card)
    return root


@pytest.fixture(scope="session")
def write_study() -> Callable[[Path], Path]:
    """Writes a study of 20 slices of 32 x 32 noisy pixels, 3 mm apart, in the format of the path's name.

    There is a body with two lungs in it.
    """

    def write(path: Path) -> Path:
        hu = np.random.default_rng(0).normal(-990, 30, size=(20, 32, 32)).astype(np.int16)
        hu[:, 4:28, 2:30] += 1030
        for lung in (slice(5, 13), slice(19, 27)):
            hu[:, 8:24, lung] -= 890
        image = sitk.GetImageFromArray(hu)
        image.SetSpacing((10.0, 10.0, 3.0))
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    return write
