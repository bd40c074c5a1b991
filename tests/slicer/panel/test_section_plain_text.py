"""Words of others are shown as they are: a name with angle brackets is no markup."""

from __future__ import annotations

from typing import Any

import pytest


def test_what_looks_like_markup_is_a_text_in_labels_and_tool_tips(window: Any) -> None:
    import qt
    from VPTCTLib.panel.plain_text import plain_label, plain_tip

    said = "nodule <b>3 mm</b>\nsee <img src='http://example.org/x.png'>"
    assert plain_label(said).textFormat == qt.Qt.PlainText
    document = qt.QTextDocument()
    document.setHtml(plain_tip(said))
    assert document.toPlainText() == said


@pytest.mark.parametrize("said", ["Ask the server", "low > 4 mm\nhigh", ""])
def test_a_tool_tip_of_plain_words_is_left_as_it_is(window: Any, said: str) -> None:
    from VPTCTLib.panel.plain_text import plain_tip

    assert plain_tip(said) == said


def test_a_message_of_a_server_is_shown_with_its_angle_brackets(panel: Any) -> None:
    import qt

    panel.desk.messages.tell("warning", "<h1>Study</h1> is gone.", about="test")
    label = panel.panel.ui.messageLabel
    assert label.textFormat == qt.Qt.PlainText
    assert label.text == "<h1>Study</h1> is gone."
