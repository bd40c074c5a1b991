"""The server's part of the panel, as a reader clicks through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import BY_TOKEN, Doors, doors
from scripted_server import ScriptedServer, silence
from VPTCTLib.errors import NotLoggedInError

KEYCLOAK = {"login": "keycloak", "enabled": True, "realm": "http://login.example.org/ct", "client_id": "ct"}
Wait = Callable[..., None]


@pytest.fixture
def section(panel: Any) -> Any:
    """The section of the open module."""
    return panel.panel.sections["ServerSection"]


def connect(section: Any, wait_until: Wait, address: str) -> None:
    """Type an address, press the button, and wait for what comes of it."""
    section.ui.addressBox.setEditText(address)
    section.ui.connectButton.click()
    wait_until(lambda: section.desk.server.state != "connecting")


def test_a_reader_types_an_address_logs_in_and_out(
    section: Any, site: Any, wait_until: Wait, picture: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, server = section.ui, section.desk.server
    assert ui.stateLabel.text == "Not connected"
    assert (ui.loginFrame.visible, ui.connectButton.enabled) == (False, False)
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
    host = site.relay.url.split("//")[1]
    assert (ui.serverButton.collapsed, ui.serverButton.text) == (True, f"Server: {host}, rita")
    assert ui.stateLabel.text == "Connected as rita, reviewer"
    assert "train networks" in ui.stateLabel.toolTip
    assert "Not a medical device" in ui.noticeLabel.text
    picture("server-ready")
    monkeypatch.setattr(site.relay, "refuses", True)
    server.refresh()
    wait_until(lambda: server.state == "away")
    assert ui.stateLabel.text.startswith("Away")
    assert ui.serverButton.text == f"Server: {host} is away"
    picture("server-away")
    monkeypatch.undo()
    wait_until(lambda: server.state == "ready")
    ui.logOutButton.click()
    assert (server.state, server.client, ui.loginFrame.visible) == ("login", None, True)
    assert not ui.serverButton.collapsed
    ui.serverButton.collapsed = True
    server.disconnect()
    assert (ui.serverButton.collapsed, ui.serverButton.text) == (False, "Server")


def test_servers_that_were_used_are_in_the_list_and_none_is_connected_to_by_itself(
    panel: Any, section: Any, wait_until: Wait
) -> None:
    with doors() as door:
        connect(section, wait_until, door.url)
        section.ui.connectButton.click()
        assert (section.desk.server.state, section.ui.connectButton.text) == ("none", "Connect")
        section.desk.settings.remember_address("https://ct.example.org")
        panel.onReload()
        section = panel.panel.sections["ServerSection"]
        box = section.ui.addressBox
        assert [box.itemText(index) for index in range(box.count)] == ["https://ct.example.org", door.url]
        assert (box.currentText, section.desk.server.state) == ("https://ct.example.org", "none")


def test_after_a_reload_the_server_of_before_is_connected_to(
    panel: Any, section: Any, wait_until: Wait
) -> None:
    import slicer

    with doors() as door:
        connect(section, wait_until, door.url)
        panel.onReload()
        slicer.util.selectModule("Welcome")
        slicer.util.selectModule("VPTCT")
        section = panel.panel.sections["ServerSection"]
        wait_until(lambda: section.desk.server.state == "ready")
        assert section.ui.addressBox.currentText == door.url


def test_what_is_being_typed_is_not_overwritten_and_enter_connects(section: Any, wait_until: Wait) -> None:
    with doors() as first, doors() as second:
        connect(section, wait_until, first.url)
        section.ui.addressBox.setEditText(second.url)
        assert section.ui.connectButton.text == "Connect"
        section.desk.server.refresh()
        wait_until(lambda: section.desk.jobs.running == 0)
        assert section.ui.addressBox.currentText == second.url
        section.ui.addressBox.lineEdit().returnPressed.emit()
        wait_until(lambda: section.desk.server.state == "ready")
        assert section.desk.server.address == second.url


def test_a_password_is_asked_for_with_a_name_and_what_could_be_read_along_is_warned_of(
    section: Any, wait_until: Wait, picture: Callable[[str], Path]
) -> None:
    ui = section.ui
    with doors(KEYCLOAK) as door:
        connect(section, wait_until, door.url)
        assert (ui.nameEdit.visible, ui.secretLabel.text) == (True, "Password:")
        assert "unencrypted" in ui.warningLabel.text
        ui.secretEdit.text = "secret"
        assert not ui.logInButton.enabled
        ui.nameEdit.text = "anna"
        assert ui.logInButton.enabled
        ui.loginKindBox.setCurrentIndex(1)
        assert (ui.nameEdit.visible, ui.secretLabel.text, ui.logInButton.enabled) == (False, "Token:", True)
        ui.loginKindBox.setCurrentIndex(0)
        picture("server-login-warning")


def test_a_wrong_token_is_told_and_the_form_stays(
    panel: Any, section: Any, site: Any, wait_until: Wait
) -> None:
    ui = section.ui
    connect(section, wait_until, site.relay.url)
    ui.secretEdit.text = "no token"
    ui.secretEdit.returnPressed.emit()
    wait_until(lambda: not section.desk.server.logging_in)
    assert panel.panel.ui.messageFrame.visible
    assert (ui.loginFrame.visible, ui.secretEdit.enabled, ui.secretEdit.text) == (True, True, "")


def test_a_login_that_ends_in_the_middle_opens_the_closed_section_with_the_readers_name(
    panel: Any, section: Any, wait_until: Wait
) -> None:
    ui = section.ui
    with doors(KEYCLOAK, "anna", "annotator") as door:
        connect(section, wait_until, door.url)
        ui.loginKindBox.setCurrentIndex(1)
        ui.secretEdit.text = "token"
        ui.logInButton.click()
        wait_until(lambda: section.desk.server.state == "ready")
        ui.serverButton.collapsed = True
        section.desk.server.report(NotLoggedInError("the login has run out.", "Log in again."))
        assert (ui.serverButton.collapsed, ui.loginFrame.visible) == (False, True)
        assert (ui.nameEdit.text, ui.loginKindBox.currentIndex) == ("anna", 0)
        assert panel.panel.ui.messageLabel.text == "The login has run out.\nLog in again."


def test_a_consent_is_shown_and_revoked(section: Any, wait_until: Wait, dialogs: Any) -> None:
    import qt

    with doors() as door:
        connect(section, wait_until, door.url)
        assert not section.ui.consentLabel.visible

        def look_and_leave(dialog: Any) -> int:
            assert dialog.button(qt.QMessageBox.Yes).text == "Upload"
            assert dialog.defaultButton() == dialog.button(qt.QMessageBox.Cancel)
            assert "24 slices, 3 MB." in dialog.informativeText
            return int(qt.QMessageBox.Cancel)

        dialogs.answer(look_and_leave, qt.QMessageBox.Yes)
        ask = section.desk.questions.may_upload
        assert not ask(door.url, "The server does not have it.", "24 slices, 3 MB.")
        assert ask(door.url, "The server does not have it.", "24 slices, 3 MB.")
        here = "The study is copied to the server on this computer."
        assert dialogs.shown[0].text == f"Upload to {door.url}? {here}"
        assert "agreed" in section.ui.consentLabel.text
        section.ui.revokeButton.click()
        assert not section.ui.revokeButton.visible
        assert not section.desk.questions.consent(door.url)


def test_a_reader_is_told_that_patient_data_leaves_this_computer_where_it_does(
    window: Any, dialogs: Any
) -> None:
    import qt
    from VPTCTLib.panel.qt_questions import QtQuestions

    dialogs.answer(qt.QMessageBox.Cancel)
    assert not QtQuestions().may_upload("https://ct.example.org", "", "24 slices, 3 MB.")
    (shown,) = dialogs.shown
    assert shown.text == "Upload to https://ct.example.org? Patient data leaves this computer."


def test_a_consent_that_is_revoked_on_the_page_of_settings_is_gone_from_the_section_at_once(
    section: Any, wait_until: Wait, dialogs: Any
) -> None:
    import qt
    from VPTCTLib.panel.settings_panel import SettingsPanel

    with doors() as door:
        connect(section, wait_until, door.url)
        dialogs.answer(qt.QMessageBox.Yes)
        assert section.desk.questions.may_upload(door.url, "The server does not have it.", "24 slices, 3 MB.")
        assert section.ui.revokeButton.visible
        page = SettingsPanel(section.desk.settings)
        agreed, _used = page.lists
        agreed.list.setCurrentRow(0)
        agreed.button.click()
        assert not section.ui.revokeButton.visible
        page.widget.deleteLater()


def test_a_question_that_is_answered_is_gone_from_the_window(window: Any, dialogs: Any) -> None:
    import qt
    from VPTCTLib.panel.qt_questions import QtQuestions

    before = len(window.findChildren(qt.QMessageBox))
    dialogs.answer(qt.QMessageBox.Yes, qt.QMessageBox.Cancel)
    assert QtQuestions().confirm("Drop this label?", "It is not on the server.", "Drop")
    assert not QtQuestions().confirm("Drop this label?", "It is not on the server.", "Drop")
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    assert len(window.findChildren(qt.QMessageBox)) == before


def test_the_window_goes_on_while_a_server_says_nothing_and_cancel_leaves_it(
    section: Any, wait_until: Wait
) -> None:
    from standin.lag_meter import LagMeter
    from standin.waiting import let_events_go_on

    with ScriptedServer([silence]) as server:
        with LagMeter() as meter:
            section.ui.addressBox.setEditText(server.url)
            section.ui.connectButton.click()
            let_events_go_on(0.5)
            assert section.ui.stateLabel.text == "Connecting..."
            section.ui.connectButton.click()
            assert section.ui.stateLabel.text == "Not connected"
        assert server.hung_up.wait(10)
    assert meter.busiest_ms < 100, meter


def test_studies_that_the_server_cannot_read_are_told(section: Any, wait_until: Wait) -> None:
    with doors() as door:
        connect(section, wait_until, door.url)
        assert "the archive refuses the connection" in section.ui.warningLabel.text


def test_nothing_is_cut_at_300_pixels(section: Any, wait_until: Wait) -> None:
    def as_narrow_as_can_be(door: Doors) -> int:
        connect(section, wait_until, door.url)
        return int(section.widget.minimumSizeHint().width())

    with doors(KEYCLOAK) as keycloak, doors(BY_TOKEN) as by_token, doors() as free:
        assert max(as_narrow_as_can_be(each) for each in (keycloak, by_token, free)) <= 300
