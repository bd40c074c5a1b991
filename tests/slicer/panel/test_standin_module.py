"""The stand-in itself: a small module lives in it as in Slicer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TOY = Path(__file__).resolve().parents[1] / "toy_module" / "ToyReader" / "ToyReader.py"


@pytest.fixture
def toy(window: Any, no_slot_errors: list[BaseException]) -> Iterator[Any]:
    from standin.opened_module import opened_module

    with opened_module(TOY) as widget:
        yield widget


def new_volume(name: str = "Chest") -> Any:
    """24 slices of 2.5 mm; the voxel value is 10 times the slice number."""
    import slicer

    pixels = np.repeat(np.arange(24, dtype=np.int16) * 10, 32 * 32).reshape(24, 32, 32)
    volume = slicer.util.addVolumeFromArray(pixels, ijkToRAS=np.diag([-5.0, -5.0, 2.5, 1.0]), name=name)
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(255, 127.5)
    return volume


def test_a_reader_chooses_a_volume_and_clicks(toy: Any) -> None:
    assert toy.entered == 1
    volume = new_volume()
    toy.ui.volumeSelector.setCurrentNode(volume)
    toy.ui.readButton.click()
    assert toy.ui.answerLabel.text == "read Chest"


def test_the_views_show_the_slice_that_is_asked_for(toy: Any) -> None:
    import slicer

    toy.ui.volumeSelector.setCurrentNode(new_volume())
    red = slicer.app.layoutManager().sliceWidget("Red")
    for slice_number in (3, 17):
        red.mrmlSliceNode().JumpSliceByCentering(0, 0, 2.5 * slice_number)
        red.sliceLogic().FitSliceToAll()
        # The jump stays on the slice; a value of 10 per slice with a window of 0 to 255 is its own grey.
        red.mrmlSliceNode().JumpSliceByOffsetting(-80, -80, 2.5 * slice_number)
        middle = red.pixels()[240, 240, :3]
        assert middle.tolist() == pytest.approx([10 * slice_number] * 3, abs=2)


def test_closing_the_scene_is_heard_and_leaves_no_volume_in_the_selector(toy: Any) -> None:
    import slicer

    toy.ui.volumeSelector.setCurrentNode(new_volume())
    slicer.mrmlScene.Clear()
    assert toy.ui.answerLabel.text == "closed"
    assert toy.ui.volumeSelector.currentNode() is None


def test_a_reload_cleans_up_and_makes_the_library_anew(toy: Any) -> None:
    import slicer

    old, old_words = slicer.modules.ToyReaderWidget, toy.words
    old.onReload()
    new = slicer.modules.ToyReaderWidget
    assert new is not old
    assert (old.cleaned, new.cleaned) == (1, 0)
    assert toy.words == old_words
    assert toy.words is not old_words
    toy.ui.readButton.click()
    assert toy.ui.answerLabel.text == "read nothing"


def test_opening_another_module_leaves_this_one(toy: Any) -> None:
    import slicer

    slicer.util.selectModule("Welcome")
    slicer.util.selectModule("ToyReader")
    assert (toy.left, toy.entered) == (1, 2)


def test_the_self_test_of_a_module_runs(toy: Any) -> None:
    import slicer

    slicer.selfTests["ToyReader"](msec=0)


def test_timers_run_while_a_test_waits(toy: Any, wait_until: Callable[..., None]) -> None:
    toy.timer.start(1)
    wait_until(lambda: toy.ticks > 3, 5)


def test_a_picture_shows_the_panel_and_three_slices(toy: Any, picture: Callable[..., Path]) -> None:
    import qt
    import slicer

    toy.ui.volumeSelector.setCurrentNode(new_volume())
    slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().JumpSliceByOffsetting(-80, -80, 40)
    image = qt.QImage(str(picture("toy")))
    assert (image.width(), image.height()) == (1496, 1036)
    # Slice 16 of the axial view has the grey 160; the others cut through all slices, the middle one at 11.5.
    for name, grey in {"Red": 160, "Yellow": 115, "Green": 115}.items():
        view = slicer.app.layoutManager().sliceWidget(name).sliceView()
        middle = view.mapTo(slicer.util.mainWindow(), qt.QPoint(view.width // 2, view.height // 2))
        assert image.pixelColor(middle).red() == pytest.approx(grey, abs=3)


def test_a_module_that_leaves_a_timer_running_is_caught(window: Any) -> None:
    import qt
    from standin.opened_module import opened_module

    timer = qt.QTimer()
    with pytest.raises(AssertionError, match="timer"), opened_module(TOY):
        timer.start(1000)
    timer.stop()


def test_a_dialog_is_answered_by_the_test_and_what_it_said_is_kept(window: Any, dialogs: Any) -> None:
    import qt
    import slicer

    dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Ok)
    assert not slicer.util.confirmOkCancelDisplay("Send it?", "Upload")
    assert slicer.util.confirmOkCancelDisplay("Send it?", "Upload")
    assert [(shown.kind, shown.title, shown.text) for shown in dialogs.shown] == [
        ("ctkMessageBox", "Upload", "Send it?")
    ] * 2


def test_a_dialog_can_be_clicked_in(window: Any, dialogs: Any) -> None:
    import qt

    def type_and_accept(dialog: Any) -> int:
        dialog.findChild(qt.QLineEdit).text = "motion"
        return qt.QDialog.Accepted

    dialogs.answer(type_and_accept)
    dialog = qt.QDialog()
    line = qt.QLineEdit(dialog)
    assert dialog.exec_() == qt.QDialog.Accepted
    assert line.text == "motion"


def test_a_dialog_that_nobody_answers_fails_instead_of_waiting(window: Any) -> None:
    import qt

    with pytest.raises(AssertionError, match="no test answers"):
        qt.QMessageBox.question(None, "Upload", "Send it?")
    with pytest.raises(AssertionError, match="no test answers"):
        qt.QFileDialog.getOpenFileName(None, "Open", "")


def test_tokens_and_files_are_asked_for_as_pythonqt_does(window: Any, dialogs: Any) -> None:
    import qt

    dialogs.answer("s3cret", "/data/ca.pem")
    assert qt.QInputDialog.getText(None, "Login", "Token:") == "s3cret"
    assert qt.QFileDialog.getOpenFileName(None, "Certificates") == "/data/ca.pem"
    assert qt.QDesktopServices.openUrl(qt.QUrl("https://example.org/help"))
    assert dialogs.opened == ["https://example.org/help"]


@pytest.mark.parametrize("kind", ["ctkCollapsibleButton", "ctkCollapsibleGroupBox"])
def test_a_collapsed_section_hides_what_is_in_it_but_shows_nothing_that_was_hidden(
    window: Any, kind: str
) -> None:
    import ctk
    import qt

    section = getattr(ctk, kind)()
    layout = qt.QVBoxLayout(section)
    seen, unseen = qt.QLabel("seen"), qt.QLabel("unseen")
    for label in (seen, unseen):
        layout.addWidget(label)
    unseen.hide()
    section.show()
    section.collapsed = True
    assert (seen.visible, unseen.visible) == (False, False)
    section.collapsed = False
    assert (seen.visible, unseen.visible) == (True, False)

    section.collapsed = True
    unseen.visible = True
    seen.visible = False
    assert (seen.visible, unseen.visible) == (False, False)
    section.collapsed = False
    assert (seen.visible, unseen.visible) == (False, True)
