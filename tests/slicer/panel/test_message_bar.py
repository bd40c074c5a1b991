"""What the reader is told stands at the top of the panel, and bad news in Slicer's status bar as well."""

from __future__ import annotations

from typing import Any


def test_bad_news_stand_in_both_places_until_they_are_put_away(panel: Any, window: Any) -> None:
    from VPTCTLib.logic.messages import ERROR, INFO

    ui, messages = panel.panel.ui, panel.desk.messages
    assert not ui.messageFrame.visible
    messages.tell(INFO, "version 2 answers from now on.", about="versions")
    assert ui.messageLabel.text == "Version 2 answers from now on."
    assert window.statusBar().currentMessage() == ""
    messages.tell(ERROR, "p07.nii cannot be read.", "Look at the file.", about="study")
    assert ui.messageLabel.text == "p07.nii cannot be read.\nLook at the file."
    assert window.statusBar().currentMessage() == "p07.nii cannot be read. Look at the file."
    ui.messageCloseButton.click()
    assert ui.messageLabel.text == "Version 2 answers from now on."
    ui.messageCloseButton.click()
    assert not ui.messageFrame.visible
