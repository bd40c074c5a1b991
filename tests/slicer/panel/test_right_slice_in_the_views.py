"""Whatever way a file has its voxels in, the views show the slice that the server means.

What is right is computed here, from the file's own geometry and the matrix of Slicer's view, and not by the
module: where the view's plane cuts the line through the middles of all slices must be the z that is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from at_the_panel import AtThePanel
from numpy.typing import NDArray

from vpt_plugin.data.phantom import PhantomConfig, make_phantom


@dataclass(frozen=True)
class File:
    """An image as it lies on disk, and what is known of it without the module.

    Attributes:
        image: to be written.
        slice_axis: which of its axes goes from the feet to the head, or back.
    """

    image: SimpleITK.Image
    slice_axis: int

    @property
    def middles_lps(self) -> NDArray[np.float64]:
        """The middle of every slice."""
        index = (np.array(self.image.GetSize()) - 1) / 2
        count = self.image.GetSize()[self.slice_axis]
        places = []
        for number in range(count):
            index[self.slice_axis] = number
            places.append(self.image.TransformContinuousIndexToPhysicalPoint(index.tolist()))
        return np.array(places)


def upright() -> SimpleITK.Image:
    """A chest as the server keeps it: columns to the left, rows to the back, slices to the head."""
    config = PhantomConfig(pixels=48, slice_spacings_mm=(6.0,), nodule_diameters_mm=(34.0, 48.0))
    volume = make_phantom(0, config=config, nodule=True, contrast=False, emboli=False).volume
    image = SimpleITK.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
    return image


def turned(degrees: float) -> SimpleITK.Image:
    """The patient nods: turned about the axis from ear to ear."""
    image, angle = upright(), np.radians(degrees)
    turn = np.array([
        [1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]
    ])  # fmt: skip
    image.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    image.SetOrigin((turn @ image.GetOrigin()).tolist())
    return image


def fine_in_slices() -> SimpleITK.Image:
    """Pixels of 0.7 mm and slices of 5 mm, more pixels than the task needs."""
    voxels = SimpleITK.GetArrayFromImage(upright()).repeat(10, axis=1).repeat(10, axis=2)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.7, 5.0))
    image.SetOrigin((-168.0, -150.0, -312.5))
    return image


FILES: dict[str, Callable[[], File]] = {
    "as the server keeps it": lambda: File(upright(), 2),
    "left and right flipped": lambda: File(SimpleITK.Flip(upright(), (True, False, False), False), 2),
    "head and feet flipped": lambda: File(SimpleITK.Flip(upright(), (False, False, True), False), 2),
    "stored in sagittal slices": lambda: File(SimpleITK.PermuteAxes(upright(), (1, 2, 0)), 1),
    "stored in coronal slices": lambda: File(SimpleITK.PermuteAxes(upright(), (0, 2, 1)), 1),
    "oblique by 20 degrees": lambda: File(turned(20), 2),
    "oblique by 20 degrees and flipped": lambda: File(
        SimpleITK.Flip(turned(-20), (False, False, True), False), 2
    ),
    "pixels of 0.7 mm and slices of 5 mm": lambda: File(fine_in_slices(), 2),
}  # fmt: skip
SAME_ANATOMY = tuple(FILES)[:5]


@pytest.fixture
def reader(panel: Any, site: Any, wait_until: Callable[..., None]) -> AtThePanel:
    reader = AtThePanel(panel, wait_until)
    reader.connect(site.relay.url)
    reader.log_in(site.tokens["anna"])
    return reader


def view_matrix(name: str) -> NDArray[np.float64]:
    """Slice to RAS+ of one of Slicer's views."""
    import slicer

    view = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
    matrix: NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    return matrix


def shown_z(file: File) -> float:
    """Patient z, in the middle of the slice, of what the red view shows."""
    matrix = view_matrix("Red")
    normal, place = matrix[:3, 2], matrix[:3, 3]
    first, last = (file.middles_lps[each] * (-1, -1, 1) for each in (0, -1))
    # In the plane, on the line from the first to the last slice.
    share = normal @ (place - first) / (normal @ (last - first))
    return float((first + share * (last - first))[2])


def across_slices(file: File, view: str) -> float:
    """1 for a view that is parallel to the slices of the file, 0 for one at right angles to them."""
    normal = view_matrix(view)[:3, 2] * (-1, -1, 1)
    return float(abs(normal @ np.reshape(file.image.GetDirection(), (3, 3))[:, file.slice_axis]))


def click_into_strip(reader: AtThePanel, z_mm: float) -> float:
    """A click of the mouse where the strip has this z; returns the z of the very pixel."""
    import qt

    strip, label = reader.section("Evidence").strip, reader.ui("Evidence").strip
    scale = strip.scale()
    x = round(scale.x_of(z_mm))
    place = qt.QPointF(x, round((scale.top_px + scale.bottom_px) / 2))
    for kind, held in (("MouseButtonPress", qt.Qt.LeftButton), ("MouseButtonRelease", qt.Qt.NoButton)):
        qt.QApplication.sendEvent(
            label,
            qt.QMouseEvent(getattr(qt.QEvent, kind), place, place, qt.Qt.LeftButton, held, qt.Qt.NoModifier),
        )
    return float(scale.z_of(x))


@pytest.mark.parametrize("name", FILES)
def test_the_slice_that_the_server_means_is_shown(
    name: str,
    reader: AtThePanel,
    site: Any,
    dialogs: Any,
    tmp_path: Path,
    picture: Callable[[str], Path],
) -> None:
    import qt

    file = FILES[name]()
    SimpleITK.WriteImage(file.image, str(tmp_path / "outside.nrrd"))
    reader.open_file(tmp_path / "outside.nrrd", f"CT {name}")
    dialogs.answer(qt.QMessageBox.Yes)
    (finding,) = reader.classify().findings
    heights = file.middles_lps[:, 2]
    half = abs(heights[1] - heights[0]) / 2
    assert np.abs(heights - finding.key_slice_mm).min() < 0.01, "the server names the middle of a slice"
    assert shown_z(file) == pytest.approx(finding.key_slice_mm, abs=half)
    assert [across_slices(file, view) for view in ("Red", "Yellow", "Green")] == pytest.approx([1, 0, 0])
    if name in SAME_ANATOMY:
        # The same chest in another order of voxels: the server means the same place of it.
        (same,) = site.client().studies.classify("nodule_tiny", "s00.nii").findings
        assert finding.key_slice_mm == pytest.approx(same.key_slice_mm)
        assert finding.probability == pytest.approx(same.probability, abs=1e-3)
    for share in (0.0, 0.31, 0.5, 0.87, 1.0):
        wanted = click_into_strip(reader, heights.min() + share * (heights.max() - heights.min()))
        # Beyond the middle of the last slice the last slice is meant.
        assert shown_z(file) == pytest.approx(wanted, abs=half + 0.01)
    reader.ui("Evidence").keySliceButton.click()
    assert shown_z(file) == pytest.approx(finding.key_slice_mm, abs=0.01)
    picture(f"right slice, {name}")
