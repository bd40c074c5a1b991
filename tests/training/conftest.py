"""Small made-up studies that a network learns in seconds: balls (present) among tubes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
from numpy.typing import NDArray

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.catalog import ModelSpec, get_model

SLICES, PIXELS, SPACING_MM = 20, 40, 2.0


def ball_volume(seed: int, *, ball: bool) -> tuple[NDArray[np.int16], list[tuple[float, float]]]:
    """HU (slices, rows, columns) of tubes along the slices, with a ball or not, and the ball's z ranges."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:SLICES, :PIXELS, :PIXELS]
    hu = rng.normal(-850, 40, z.shape)
    for _ in range(3):
        row, column = rng.uniform(10, 30, 2)
        hu[(y - row) ** 2 + (x - column) ** 2 <= 3**2] = 40
    if not ball:
        return hu.astype(np.int16), []
    centre = rng.integers(6, SLICES - 6)
    row, column = rng.uniform(12, 28, 2)
    hu[(z - centre) ** 2 + (y - row) ** 2 + (x - column) ** 2 <= 5**2] = 40
    # Slices 5 above and below are touched in one voxel only; 4 are marked, as a reader would.
    return hu.astype(np.int16), [((centre - 4) * SPACING_MM, (centre + 4) * SPACING_MM)]


def write_nrrd(path: Path, hu: NDArray[np.int16]) -> Path:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((SPACING_MM, SPACING_MM, SPACING_MM))
    sitk.WriteImage(image, str(path))
    return path


def nodule_label(state: str, ranges: list[tuple[float, float]] | None = None) -> StudyLabel:
    return StudyLabel("nodule", {"lung_nodule": FindingLabel(state, tuple(ranges) if ranges else None)})


def ball_study(folder: Path, number: int, split: str) -> ManifestStudy:
    """Study ``number``, written to ``folder``; even ones have a ball."""
    hu, ranges = ball_volume(number, ball=number % 2 == 0)
    name = f"study-{number:03d}"
    label = nodule_label("present", ranges) if ranges else nodule_label("absent")
    path = write_nrrd(folder / f"{name}.nrrd", hu)
    return ManifestStudy(name, path, f"patient-{number:03d}", split, {"nodule": label}, synthetic=True)


@pytest.fixture(scope="session")
def ball_manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """12 studies to train on and 8 to validate on, half of each with a ball."""
    folder = tmp_path_factory.mktemp("balls")
    splits = ["train"] * 12 + ["validation"] * 8
    return Manifest(tuple(ball_study(folder, number, split) for number, split in enumerate(splits)))


@pytest.fixture(scope="session")
def ball_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared studies, shared by all trainings of the test run."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def small_spec() -> ModelSpec:
    """The tiny network on clips of 8 x 32 x 32."""
    return replace(get_model("tiny"), clip_slices=8, resize_px=40, crop_px=32)


Study = Callable[[Path, int, str], ManifestStudy]
