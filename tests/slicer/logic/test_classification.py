"""A volume is classified by the real server: named or uploaded, and its answer stays its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin.wheel import require_scene

slicer = require_scene()


def load(scene: Any, path: Path, name: str) -> Any:
    """A volume as Slicer loads it from a file."""
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(volume)
    return volume


@pytest.fixture
def open_study(reader: Any, scene: Any, site: Any) -> Callable[..., Any]:
    """Opens a phantom of the server, from this computer's disk; ``marked``: as one that came from it."""
    from VPTCTLib.scene.origin import mark_origin

    def open_study(name: str = "CT 1", *, marked: bool = False) -> Any:
        volume = load(scene, site.root / "studies" / "s00.nii", name)
        if marked:
            mark_origin(volume, server=site.relay.url, study="s00.nii")
        reader.desk.study.select(volume)
        return volume

    return open_study


def test_a_study_of_the_server_is_named_and_its_answer_is_kept_with_its_volume(reader, open_study) -> None:
    from VPTCTLib.scene.results import result_of

    reader.log_in()
    volume = open_study(marked=True)
    desk, finished = reader.desk, []
    desk.classification.finished.connect(lambda *values: finished.append(values))
    reader.ticker.until(lambda: desk.study.place is not None)
    assert desk.study.study == "s00.nii"
    assert desk.classification.can_start == ""
    desk.classification.start()
    assert desk.classification.state == "computing"
    reader.ticker.until(lambda: desk.classification.state == "idle")
    result = desk.classification.result
    assert finished == [(volume, result)]
    assert (result.task, result.model.name, result.findings[0].name) == ("nodule", "tiny", "lung_nodule")
    assert result_of(volume, "nodule").result == result
    assert reader.answers.asked == []
