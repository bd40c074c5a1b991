"""Why? At the panel: asked of the real server, laid over its CT and taken away again, never another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from at_the_panel import AtThePanel


@pytest.fixture
def reader(panel: Any, site: Any, wait_until: Callable[..., None]) -> Any:
    """Somebody who is logged in and has a study of the server on screen."""
    reader = AtThePanel(panel, wait_until)
    reader.connect(site.relay.url)
    reader.log_in(site.tokens["anna"])
    yield reader
    site.relay.refuses = False


def open_marked(reader: AtThePanel, site: Any, study: str) -> Any:
    """A study of the server, in the views."""
    from VPTCTLib.scene.origin import mark_origin

    volume = reader.open_file(site.root / "studies" / study, study)
    mark_origin(volume, server=site.relay.url, study=study)
    reader.desk.study.look_again()
    reader.until(lambda: reader.desk.study.study == study)
    return volume


def ask_why(reader: AtThePanel) -> Any:
    """Click, and wait for the answer."""
    ui = reader.ui("Evidence")
    reader.until(lambda: ui.whyButton.enabled)
    ui.whyButton.click()
    assert reader.desk.classification.explains
    reader.until(lambda: reader.desk.classification.state == "idle")
    assert reader.desk.heat_maps.map is not None, reader.message
    return reader.desk.heat_maps.map


def red_pixels() -> np.ndarray:
    import slicer

    return slicer.app.layoutManager().sliceWidget("Red").pixels()[..., :3].astype(int)


def coloured(pixels: np.ndarray) -> int:
    """How many pixels are no grey: a CT has none."""
    return int((np.ptp(pixels, axis=-1) > 20).sum())


def test_the_map_is_laid_over_the_ct_when_the_reader_wants_it_and_goes_without_a_trace(
    reader: AtThePanel, site: Any, picture: Callable[..., Path]
) -> None:
    open_marked(reader, site, "s00.nii")
    ui = reader.ui("Evidence")
    assert not ui.heatBox.enabled
    told = ask_why(reader)
    assert reader.desk.evidence.here == pytest.approx(told.key_slice_mm, abs=3.0)
    assert ui.heatLabel.text.startswith(f"Hottest at z = −{-told.key_slice_mm:.1f} mm. (")
    assert (ui.heatBox.enabled, ui.heatBox.checked, ui.heatSlider.enabled) == (True, False, False)
    off = red_pixels()
    assert coloured(off) == 0, "the map is off until the reader wants it"
    picture("heat-map-off", reader.section("Evidence").widget)
    ui.heatBox.click()
    on = red_pixels()
    picture("heat-map-on", reader.section("Evidence").widget)
    assert coloured(on) > 20
    # Where nothing spoke for it, the CT is as it was, to the grey.
    assert (np.abs(on - off).max(axis=-1) == 0).mean() > 0.3
    ui.heatSlider.value = 0
    assert np.array_equal(red_pixels(), off)
    ui.heatSlider.value = 80
    assert np.abs(red_pixels() - off).sum() > np.abs(on - off).sum()
    ui.heatBox.click()
    assert np.array_equal(red_pixels(), off)


def test_the_hottest_voxel_of_the_map_is_where_the_server_says_it_is(reader: AtThePanel, site: Any) -> None:
    import slicer

    open_marked(reader, site, "s00.nii")
    told = ask_why(reader)
    heat_map = reader.desk.evidence.kept.nodes.heat_map("lung_nodule")
    values = slicer.util.arrayFromVolume(heat_map)
    x, y, z = told.hottest_mm
    to_ijk = slicer.util.arrayFromVTKMatrix(_ras_to_ijk(heat_map))
    i, j, k = np.rint(to_ijk @ (-x, -y, z, 1))[:3].astype(int)
    assert values[k, j, i] == values.max() > 20
    assert told.key_slice_mm == pytest.approx(z)


def test_an_uploaded_study_has_its_map_at_the_same_place(reader: AtThePanel, site: Any, dialogs: Any) -> None:
    import qt

    open_marked(reader, site, "s00.nii")
    there = ask_why(reader)
    reader.open_file(site.root / "studies" / "s01.nii", "only here")
    reader.until(lambda: reader.desk.study.place is not None)
    assert reader.desk.heat_maps.map is None
    dialogs.answer(qt.QMessageBox.Yes)
    here = ask_why(reader)
    # Both are of the same phantom; of fewer pixels, a voxel is as large as some.
    assert here.hottest_mm == pytest.approx(there.hottest_mm, abs=6.0)


def test_another_volume_never_has_this_ones_map(reader: AtThePanel, site: Any) -> None:
    first = open_marked(reader, site, "s00.nii")
    ask_why(reader)
    ui = reader.ui("Evidence")
    ui.heatBox.click()
    assert coloured(red_pixels()) > 20
    open_marked(reader, site, "s01.nii")
    assert coloured(red_pixels()) == 0
    assert (ui.heatLabel.visible, ui.hottestButton.enabled) == (False, False)
    reader.desk.study.select(first)
    reader.until(lambda: coloured(red_pixels()) > 20)
    _change_a_voxel(first)
    assert reader.desk.heat_maps.map is None
    assert coloured(red_pixels()) == 0, "a map of other voxels is of another volume"


def test_where_the_question_fails_the_answer_of_before_stays_with_its_map(
    reader: AtThePanel, site: Any
) -> None:
    open_marked(reader, site, "s00.nii")
    ask_why(reader)
    before = reader.desk.evidence.kept
    reader.ui("Evidence").whyButton.click()
    site.relay.refuses = True
    reader.until(lambda: reader.desk.classification.state == "idle")
    assert reader.message
    assert reader.desk.evidence.kept == before
    assert reader.desk.heat_maps.map is not None


def test_a_server_that_explains_nothing_is_not_asked(reader: AtThePanel, site: Any) -> None:
    from dataclasses import replace

    open_marked(reader, site, "s00.nii")
    server = reader.desk.server
    server.info = replace(server.info, features=replace(server.info.features, explain=False))
    reader.desk.classification.changed.emit()
    ui = reader.ui("Evidence")
    assert not ui.whyButton.enabled
    assert "older version" in ui.whyButton.toolTip


def _change_a_voxel(volume: Any) -> None:
    import slicer

    slicer.util.arrayFromVolume(volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(volume)


def _ras_to_ijk(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    return matrix
