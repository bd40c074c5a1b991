"""The label goes to the study that the reader sees, also where Slicer itself brought it into the views."""

from __future__ import annotations

from typing import Any

import pytest
from at_the_panel import AtThePanel


def add_data(name: str, *, body_hu: int) -> Any:
    """What File > Add Data ends with: the volume is the active one, and all views show it."""
    import slicer
    from shown_volume import new_volume

    volume = new_volume(name, body_hu=body_hu)
    volume.CreateDefaultDisplayNodes()
    selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    selection.SetActiveVolumeID(volume.GetID())
    slicer.app.applicationLogic().PropagateVolumeSelection()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


@pytest.fixture
def anna(panel: Any, wait_until: Any, site: Any) -> AtThePanel:
    """Logged in, with a CT on screen."""
    reader = AtThePanel(panel, wait_until)
    reader.connect(site.relay.url)
    reader.log_in(site.tokens["anna"])
    first = add_data("CT 1", body_hu=40)
    reader.until(lambda: reader.desk.study.volume is first)
    return reader


def test_of_a_second_ct_that_slicer_shows_present_from_here_and_submit_are_said(
    anna: AtThePanel, site: Any
) -> None:
    from VPTCTLib.scene.jump import current_z

    first, label = anna.desk.study.volume, anna.ui("Label")
    anna.desk.study.named("s00.nii")
    second = add_data("CT 2", body_hu=60)
    anna.until(lambda: anna.ui("Study").volumeSelector.currentNode() is second)
    anna.desk.study.named("s01.nii")
    anna.until(lambda: anna.desk.study.study == "s01.nii")
    (row,) = anna.section("Label").rows.values()
    row.buttons["present"].click()
    row.from_button.click()
    here = current_z(second)
    before = len(site.client().labels.history("s01.nii", "nodule").versions)
    untouched = len(site.client().labels.history("s00.nii", "nodule").versions)
    label.submitButton.click()
    anna.until(lambda: anna.desk.draft.is_kept)
    anna.idle()
    saved = site.client().labels.history("s01.nii", "nodule").versions
    assert len(saved) == before + 1
    assert saved[-1].label.findings["lung_nodule"].slices_mm == ((here, here),)
    assert len(site.client().labels.history("s00.nii", "nodule").versions) == untouched
    anna.desk.study.select(first)
    assert not anna.desk.draft.is_touched


def test_over_an_image_that_is_no_ct_nothing_is_marked_and_both_sections_say_whose_label_it_is(
    anna: AtThePanel,
) -> None:
    (row,) = anna.section("Label").rows.values()
    row.buttons["present"].click()
    add_data("MR 1", body_hu=-1000)
    words = "The views show “MR 1”; the label is for “CT 1”."
    anna.until(lambda: words in anna.ui("Label").hintLabel.text)
    assert words in anna.ui("Study").placeLabel.text
    row.from_button.click()
    assert "nothing was marked" in anna.message
    assert anna.desk.draft.ranges("lung_nodule") == ()
    anna.desk.study.select(anna.desk.study.volume)
    anna.until(lambda: words not in anna.ui("Label").hintLabel.text)
    anna.until(lambda: "nothing was marked" not in anna.message)
