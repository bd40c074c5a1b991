"""The parts of the application that a module asks for beside its window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin.wheel import require_scene

slicer = require_scene()


def test_the_dicom_database_tells_the_series_of_an_instance(window: Any, tmp_path: Path) -> None:
    from pydicom import dcmread

    from vpt_plugin.ct.volume import Volume
    from vpt_plugin.data.phantom import write_dicom

    pixels = np.zeros((2, 8, 8), np.int16)
    write_dicom(Volume(pixels, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[::-1], "s"), tmp_path / "ct")
    path = sorted((tmp_path / "ct").iterdir())[0]
    header = dcmread(path)
    slicer.dicomDatabase.add(tmp_path / "ct")
    uid = str(header.SOPInstanceUID)
    assert slicer.dicomDatabase.fileForInstance(uid) == str(path)
    assert slicer.dicomDatabase.instanceForFile(str(path)) == uid
    assert slicer.dicomDatabase.instanceValue(uid, "0020,000e") == header.SeriesInstanceUID
    assert slicer.dicomDatabase.fileValue(str(path), "0008,0060") == "CT"
    assert slicer.dicomDatabase.instanceValue("1.2.3", "0020,000e") == ""


def test_settings_are_the_test_s_own_and_end_with_it(window: Any) -> None:
    import qt

    assert slicer.app.userSettings().allKeys() == []
    slicer.app.userSettings().setValue("VPTCT/reader", "anna")
    assert slicer.util.settingsValue("VPTCT/reader", "") == "anna"
    assert not Path(qt.QSettings().fileName()).is_relative_to(Path.home() / ".config")


def test_files_of_the_module_s_data_are_the_test_s_own(window: Any, tmp_path: Path) -> None:
    import qt

    folder = qt.QStandardPaths.writableLocation(qt.QStandardPaths.AppDataLocation)
    assert Path(folder).is_relative_to(tmp_path)


def test_a_message_is_shown_in_the_status_bar(window: Any) -> None:
    assert slicer.util.showStatusMessage("Uploaded", 1000)
    assert window.statusBar().currentMessage() == "Uploaded"


@pytest.fixture
def selector(window: Any) -> Any:
    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.noneEnabled = True
    made.setMRMLScene(slicer.mrmlScene)
    yield made
    made.setMRMLScene(None)


def new_node(kind: str, name: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def test_a_selector_offers_the_nodes_of_its_classes(selector: Any) -> None:
    new_node("vtkMRMLTableNode", "Table")
    chest = new_node("vtkMRMLScalarVolumeNode", "Chest")
    new_node("vtkMRMLLabelMapVolumeNode", "Lungs")
    assert selector.nodeCount() == 2
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(chest)
    assert selector.currentNodeID == chest.GetID()


def test_a_selector_tells_when_its_node_leaves_the_scene(selector: Any) -> None:
    told: list[str] = []
    selector.connect("currentNodeIDChanged(QString)", told.append)
    chest = new_node("vtkMRMLScalarVolumeNode", "Chest")
    selector.setCurrentNode(chest)
    node_id = chest.GetID()
    slicer.mrmlScene.RemoveNode(chest)
    assert told == [node_id, ""]


def test_parameters_are_kept_by_a_node_and_refuse_another_type(window: Any) -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        name: str = "tiny"
        count: int = 3
        share: float = 0.5
        on: bool = False

    node = new_node("vtkMRMLScriptedModuleNode", "Parameters")
    written = Parameters(node)
    assert (written.volume, written.name, written.count, written.share, written.on) == (
        None, "tiny", 3, 0.5, False,
    )  # fmt: skip
    written.on, written.count, written.volume = True, 7, new_node("vtkMRMLScalarVolumeNode", "Chest")
    read = Parameters(node)
    assert (read.volume.GetName(), read.count, read.on) == ("Chest", 7, True)
    with pytest.raises(TypeError, match="count"):
        written.count = "many"


def test_what_a_test_waits_for_in_vain_fails_and_says_where(
    window: Any, wait_until: Callable[..., None]
) -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: .*test_standin_parts"):
        wait_until(lambda: False, 0.05)
