"""Studies that are done leave the scene; what the reader loaded or made stays."""

from __future__ import annotations

from typing import Any

import pytest
from shown_volume import new_volume, volume_from
from standin.wheel import require_scene

slicer = require_scene()

from VPTCTLib.scene.origin import mark_download, mark_origin

STUDY = "s00.nii"


@pytest.fixture
def downloaded(reader: Any) -> Any:
    """A study of the server that the module fetched."""
    reader.log_in()
    volume = volume_from(reader.site.relay.url, STUDY)
    mark_download(volume)
    return volume


def test_what_was_downloaded_is_removed(reader: Any, downloaded: Any) -> None:
    reader.desk.server_volumes.remove(STUDY)
    assert downloaded.GetScene() is None


def test_a_volume_of_the_readers_own_that_became_a_study_of_the_server_stays(reader: Any) -> None:
    reader.log_in()
    own = new_volume("CT from my disk")
    mark_origin(own, server=reader.site.relay.url, study=STUDY)
    assert reader.desk.server_volumes.find(STUDY) is own
    reader.desk.server_volumes.remove(STUDY)
    assert own.GetScene() is not None


def test_a_copy_that_the_reader_made_of_a_download_stays(reader: Any, downloaded: Any, scene: Any) -> None:
    copy = scene.CopyNode(downloaded)
    reader.desk.server_volumes.remove(STUDY)
    assert (downloaded.GetScene(), copy.GetScene()) == (None, scene)


def test_a_download_that_a_segmentation_was_drawn_on_stays_for_as_long_as_that_is_there(
    reader: Any, downloaded: Any, scene: Any
) -> None:
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(downloaded)
    reader.desk.server_volumes.remove(STUDY)
    assert downloaded.GetScene() is scene
    scene.RemoveNode(drawn)
    reader.desk.server_volumes.remove(STUDY)
    assert downloaded.GetScene() is None


def test_views_and_selections_hold_no_download_back(reader: Any, downloaded: Any, scene: Any) -> None:
    scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
    reader.desk.study.select(downloaded)
    reader.ticker.turn(0.2)
    reader.desk.server_volumes.remove(STUDY)
    assert downloaded.GetScene() is None
    assert reader.desk.study.volume is None
