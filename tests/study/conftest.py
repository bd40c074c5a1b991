"""Small made-up studies for whole experiments: every second one has a ball among tubes along the slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
import torch

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.study.differences import differences_of
from vpt_plugin.study.figures import study_figures
from vpt_plugin.study.figures_canvas import StudyFigure
from vpt_plugin.study.published import published_table

_SLICES, _PIXELS, _SPACING_MM = 20, 40, 2.0
MakeManifest = Callable[..., Path]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Clips this small gain nothing from two threads, and lose much when other processes want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _study(folder: Path, number: int, split: str) -> ManifestStudy:
    rng, ball = np.random.default_rng(number), number % 2 == 0
    z, y, x = np.mgrid[:_SLICES, :_PIXELS, :_PIXELS]
    hu = rng.normal(-850, 40, z.shape)
    for _ in range(3):
        row, column = rng.uniform(10, 30, 2)
        hu[(y - row) ** 2 + (x - column) ** 2 <= 3**2] = 40
    if ball:
        hu[(z - 10) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 6**2] = 40
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((_SPACING_MM,) * 3)
    path = folder / f"study-{number:03d}.nrrd"
    sitk.WriteImage(image, str(path))
    ranges = ((12.0, 28.0),) if ball else None  # slices 6 to 14
    label = StudyLabel("nodule", {"lung_nodule": FindingLabel("present" if ball else "absent", ranges)})
    return ManifestStudy(path.stem, path, f"patient-{number}", split, {"nodule": label}, synthetic=True)


@pytest.fixture(scope="session")
def make_manifest() -> MakeManifest:
    """``make_manifest(folder, train, validation, test, first=0)``: studies per side; half have a ball."""

    def make(folder: Path, train: int, validation: int, test: int, *, first: int = 0) -> Path:
        folder.mkdir(parents=True)
        sides = ["train"] * train + ["validation"] * validation + ["test"] * test
        studies = (_study(folder, first + number, side) for number, side in enumerate(sides))
        Manifest(tuple(studies)).write(folder / "manifest.csv")
        return folder / "manifest.csv"

    return make


@pytest.fixture(scope="session")
def published_figures() -> tuple[StudyFigure, ...]:
    """The figures of the published table as files, drawn once: that takes seconds."""
    return study_figures(published_table(), differences_of(published_table()))
