"""The volume that the reader works on, and where its study is: real scene, real server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene
from VPTCTLib.which_study import OnServer, Origin, ToUpload

slicer = require_scene()


@pytest.fixture
def add(scene: Any) -> Any:
    """Adds a volume with lung and tissue to the scene, as a module would."""

    def add(name: str = "CT", class_name: str = "vtkMRMLScalarVolumeNode") -> Any:
        volume = scene.AddNewNodeByClass(class_name, name)
        voxels = np.full((5, 8, 8), -900, np.int16)
        voxels[:, :4] = 40
        slicer.util.updateVolumeFromArray(volume, voxels)
        return volume

    return add


def known(reader: Any) -> OnServer | ToUpload:
    """Where the study is, as soon as that is known."""
    reader.ticker.until(lambda: reader.desk.study.place is not None)
    return reader.desk.study.place


def test_a_volume_that_is_loaded_is_chosen_where_none_was_and_the_scene_remembers_it(reader, add) -> None:
    study = reader.desk.study
    first = add()
    assert study.volume is None, "readers of files fill a volume after they added it"
    reader.ticker.turn(0.2)
    assert study.volume is first
    assert reader.parameters.volume is first
    add()
    reader.ticker.turn(0.2)
    assert study.volume is first


def test_label_maps_and_hidden_helpers_are_not_followed(reader, add) -> None:
    add(class_name="vtkMRMLLabelMapVolumeNode")
    add().SetHideFromEditors(True)
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume is None


def test_a_volume_that_another_module_shows_is_chosen_where_none_was(reader, scene, add) -> None:
    view = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
    volume = add()
    reader.ticker.turn(0.2)
    reader.desk.study.select(None)
    reader.ticker.turn(1)
    assert reader.desk.study.volume is None, "who wants none gets none"
    view.SetBackgroundVolumeID(None)
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume is None
    view.SetBackgroundVolumeID(volume.GetID())
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume is volume


@pytest.fixture
def red(scene: Any) -> Any:
    """What the red slice view shows."""
    made = slicer.vtkMRMLSliceCompositeNode()
    made.SetLayoutName("Red")
    return scene.AddNode(made)


def test_another_ct_that_comes_into_the_red_view_is_the_study_on_screen(reader, add, red) -> None:
    told: list[Any] = []
    first, second = add("CT 1"), add("CT 2")
    reader.desk.study.select(first)
    reader.ticker.turn(0.2)
    assert (reader.desk.study.volume, reader.desk.study.is_not_seen) == (first, "")
    reader.desk.study.changed.connect(lambda: told.append(reader.desk.study.volume))
    red.SetBackgroundVolumeID(second.GetID())
    assert "“CT 2”" in reader.desk.study.is_not_seen, "at once, before it is looked at"
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume is reader.parameters.volume is second
    assert reader.desk.study.is_not_seen == ""
    for shown in (first, second, first, second, first):
        red.SetBackgroundVolumeID(shown.GetID())
    reader.ticker.turn(5)
    assert told == [second, first], "of quick switches the last one counts, and nothing goes round"


def test_an_image_in_the_views_that_is_no_ct_is_told_and_the_volume_stays(reader, add, red) -> None:
    chosen, other = add("CT 1"), add("MR 1")
    slicer.util.updateVolumeFromArray(other, np.zeros((5, 8, 8), np.int16))
    reader.desk.study.select(chosen)
    reader.ticker.turn(0.2)
    told: list[str] = []
    reader.desk.study.changed.connect(lambda: told.append(reader.desk.study.is_not_seen))
    red.SetBackgroundVolumeID(other.GetID())
    reader.ticker.turn(0.2)
    red.SetBackgroundVolumeID(None)
    reader.ticker.turn(0.2)
    red.SetBackgroundVolumeID(chosen.GetID())
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume is chosen
    assert told == [
        "The views show “MR 1”; the label is for “CT 1”.",
        "The views show no image; the label is for “CT 1”.",
        "",
    ]


def test_a_scene_that_shows_another_ct_than_it_remembers_opens_with_the_one_that_is_seen(
    reader, add, red
) -> None:
    remembered, seen = add("CT 1"), add("CT 2")
    reader.desk.study.leave()
    reader.parameters.volume = remembered
    red.SetBackgroundVolumeID(seen.GetID())
    reader.desk.use_scene(reader.parameters)
    assert reader.desk.study.volume is seen


def test_a_removed_volume_is_no_longer_chosen(reader, scene, add) -> None:
    told, volume = [], add()
    reader.ticker.turn(0.2)
    reader.desk.study.changed.connect(lambda: told.append(reader.desk.study.volume))
    scene.RemoveNode(volume)
    assert told == [None]
    assert (reader.desk.study.study, reader.desk.study.series_uid) == ("", "")
    assert reader.parameters.volume is None


def test_a_scene_that_is_opened_brings_its_volume(reader, add) -> None:
    first, second = add(), add()
    reader.ticker.turn(0.2)
    assert reader.desk.study.volume in (first, second)
    reader.desk.study.leave()
    assert reader.desk.study.volume is None
    reader.parameters.volume = second
    reader.desk.use_scene(reader.parameters)
    assert reader.desk.study.volume is second


def test_choosing_a_volume_shows_it_in_the_hu_window_of_the_task(reader, scene, add) -> None:
    view = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
    reader.log_in()
    volume = add()
    reader.desk.study.select(volume)
    task, display = reader.desk.choice.task, volume.GetDisplayNode()
    assert view.GetBackgroundVolumeID() == volume.GetID()
    assert (display.GetWindow(), display.GetLevel()) == (task.hu_width, task.hu_centre)


def test_a_study_of_the_server_is_found_there_and_another_one_is_to_be_uploaded(reader, open_study) -> None:
    open_study(marked=True)
    assert reader.desk.study.place is None
    reader.log_in()
    assert known(reader) == OnServer("s00.nii")
    assert reader.desk.study.study == "s00.nii"
    open_study("CT 2")
    assert reader.desk.study.study == ""
    assert isinstance(known(reader), ToUpload)


def test_a_study_that_was_changed_is_another_one_than_that_of_the_server(reader, open_study) -> None:
    reader.log_in()
    volume = open_study(marked=True)
    assert known(reader) == OnServer("s00.nii")
    voxels = slicer.util.arrayFromVolume(volume)
    voxels[0] = 40
    slicer.util.arrayFromVolumeModified(volume)
    assert reader.desk.study.study == "", "before the server said anything"
    assert isinstance(known(reader), ToUpload)


def test_a_volume_that_is_no_ct_is_refused_without_asking_the_server(reader, add) -> None:
    reader.log_in()
    volume = add()
    slicer.util.updateVolumeFromArray(volume, np.zeros((5, 8, 8), np.int16))
    reader.desk.study.select(volume)
    assert "not the Hounsfield units" in reader.desk.study.refusal
    reader.wait()
    assert reader.desk.study.place is None
    slicer.util.updateVolumeFromArray(
        volume, np.full((5, 8, 8), -900, np.int16) + np.arange(8, dtype=np.int16) * 130
    )
    assert reader.desk.study.refusal == ""
    assert isinstance(known(reader), ToUpload)


def test_a_study_that_was_added_to_the_server_is_there_from_then_on(reader, open_study) -> None:
    reader.log_in()
    open_study()
    assert isinstance(known(reader), ToUpload)
    reader.desk.study.named("s00.nii")
    assert known(reader) == OnServer("s00.nii")


def test_what_could_not_be_asked_is_asked_when_the_server_is_back(reader, open_study) -> None:
    reader.log_in()
    reader.site.relay.refuses = True
    open_study(marked=True)
    reader.ticker.until(lambda: reader.desk.server.state == "away")
    assert reader.desk.study.place is None
    reader.site.relay.refuses = False
    assert known(reader) == OnServer("s00.nii")


def test_a_dicom_series_that_the_server_has_is_named_by_its_id_there(reader, open_study) -> None:
    import pydicom

    header = pydicom.dcmread(next((reader.site.root / "studies" / "p01" / "ct").iterdir()))
    series = Origin(series_uid=header.SeriesInstanceUID, examination=header.StudyInstanceUID)
    reader.desk.study.origin_of = lambda volume: series
    reader.log_in()
    open_study()
    assert known(reader) == OnServer("p01--ct")
    assert reader.desk.study.series_uid == header.SeriesInstanceUID


def test_another_reader_or_no_server_asks_anew(reader, open_study) -> None:
    reader.log_in()
    open_study(marked=True)
    assert known(reader) == OnServer("s00.nii")
    reader.desk.server.disconnect()
    assert reader.desk.study.place is None
    reader.log_in("ben")
    assert known(reader) == OnServer("s00.nii")


def test_of_volumes_that_change_quickly_only_the_last_one_is_told(reader, open_study) -> None:
    reader.log_in()
    told: list[object] = []
    reader.desk.study.changed.connect(lambda: told.append(reader.desk.study.place))
    for number in range(5):
        open_study(f"CT {number}", marked=number % 2 == 0)
    assert known(reader) == OnServer("s00.nii")
    reader.wait()
    assert [place for place in told if place is not None] == [OnServer("s00.nii")]
