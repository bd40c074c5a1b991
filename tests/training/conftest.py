"""Small made-up studies for whole trainings: balls (present) among tubes along the slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
import torch
from numpy.typing import NDArray

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.catalog import ModelSpec, get_model

SLICES, PIXELS, SPACING_MM = 20, 40, 2.0
MakeStudy = Callable[..., ManifestStudy]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Clips this small gain nothing from two threads, and lose much when other processes want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ball_volume(seed: int, *, ball: bool) -> tuple[NDArray[np.int16], int]:
    """HU (slices, rows, columns), and the slice in the middle of the ball."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:SLICES, :PIXELS, :PIXELS]
    hu = rng.normal(-850, 40, z.shape)
    for _ in range(3):
        row, column = rng.uniform(10, 30, 2)
        hu[(y - row) ** 2 + (x - column) ** 2 <= 3**2] = 40
    centre = int(rng.integers(6, SLICES - 6))
    row, column = rng.uniform(12, 28, 2)
    if ball:
        hu[(z - centre) ** 2 + (y - row) ** 2 + (x - column) ** 2 <= 5**2] = 40
    return hu.astype(np.int16), centre


@pytest.fixture(scope="session")
def make_study() -> MakeStudy:
    """Writes one study: ``make_study(folder, number, split, state="present")``; even ones have a ball."""

    def make(folder: Path, number: int, split: str, *, state: str | None = None) -> ManifestStudy:
        hu, centre = ball_volume(number, ball=number % 2 == 0)
        image = sitk.GetImageFromArray(hu)
        image.SetSpacing((SPACING_MM, SPACING_MM, SPACING_MM))
        path = folder / f"study-{number:03d}.nrrd"
        sitk.WriteImage(image, str(path))
        state = state or ("present" if number % 2 == 0 else "absent")
        # The ball spans 11 slices; 9 are marked, as a reader would.
        ranges = (((centre - 4) * SPACING_MM, (centre + 4) * SPACING_MM),) if state == "present" else None
        label = StudyLabel("nodule", {"lung_nodule": FindingLabel(state, ranges)})
        return ManifestStudy(path.stem, path, f"patient-{number}", split, {"nodule": label}, synthetic=True)

    return make


@pytest.fixture(scope="session")
def ball_manifest(tmp_path_factory: pytest.TempPathFactory, make_study: MakeStudy) -> Manifest:
    """12 studies to train on and 8 to validate on, half of each with a ball."""
    folder = tmp_path_factory.mktemp("balls")
    splits = ["train"] * 12 + ["validation"] * 8
    return Manifest(tuple(make_study(folder, number, split) for number, split in enumerate(splits)))


@pytest.fixture(scope="session")
def ball_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared studies, shared by all trainings of the test run."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def small_spec() -> ModelSpec:
    """The tiny network on clips of 8 x 32 x 32."""
    return replace(get_model("tiny"), clip_slices=8, resize_px=40, crop_px=32)
