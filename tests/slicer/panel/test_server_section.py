"""The server's part of the panel, as a reader clicks through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_reader_types_an_address_logs_in_and_out(
    panel: Any,
    site: Any,
    wait_until: Callable[..., None],
    picture: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ui, server = panel.panel.sections["ServerSection"].ui, panel.desk.server
    assert (ui.stateLabel.text, ui.loginFrame.visible, ui.connectButton.enabled) == (
        "Not connected",
        False,
        False,
    )
    picture("server-none")
    ui.addressBox.setEditText(site.relay.url)
    ui.connectButton.click()
    assert (ui.stateLabel.text, ui.connectButton.text) == ("Connecting...", "Cancel")
    picture("server-connecting")
    wait_until(lambda: server.state == "login")
    assert (ui.secretLabel.text, ui.nameEdit.visible, ui.logInButton.enabled) == ("Token:", False, False)
    picture("server-login")
    ui.secretEdit.text = site.tokens["rita"]
    ui.logInButton.click()
    assert (ui.stateLabel.text, ui.secretEdit.text) == ("Logging in...", "")
    wait_until(lambda: server.state == "ready")
    assert ui.stateLabel.text == "Connected as rita, reviewer"
    assert "Not a medical device" in ui.noticeLabel.text
    picture("server-ready")
    monkeypatch.setattr(site.relay, "refuses", True)
    server.refresh()
    wait_until(lambda: server.state == "away")
    picture("server-away")
    monkeypatch.setattr(site.relay, "refuses", False)
    wait_until(lambda: server.state == "ready")
    ui.logOutButton.click()
    assert (server.state, server.client, ui.loginFrame.visible) == ("login", None, True)
