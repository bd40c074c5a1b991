"""ServerSection: which server, whether it is there, and who one is on it."""

from __future__ import annotations

from typing import Any, Callable

import qt
from slicer.i18n import tr as _

from ..address import server_address
from ..consent import Consents
from ..errors import AddressError
from ..logic.desk import Desk
from ..logic.server_link import AWAY, CONNECTING, LOGIN, NONE, READY
from ..logic.server_words import role_in_words, state_in_words, title_in_words, warnings_in_words
from ..logic.words import when_in_words
from .plain_text import plain_tip
from .section import Section

_DOTS = {
    NONE: ("○", "#808080"),
    CONNECTING: ("◌", "#808080"),
    READY: ("●", "#2e9e4f"),
    LOGIN: ("◐", "#c98a00"),
    AWAY: ("✕", "#d04545"),
}
_BY_PASSWORD, _BY_TOKEN = 0, 1
_EXAMPLE = "https://ct.example.org"


class ServerSection(Section):
    """The server: its address with those used before, its state, the login, the consent to uploads."""

    name = "ServerSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self._shown_address = ""
        self._shown_login = ""
        # The reader wants to connect: when that is done, the room is wanted for the rest.
        self._is_connecting = self._was_connected = False
        ui, server = self.ui, desk.server
        self._address_edit = qt.QLineEdit()
        self._address_edit.setPlaceholderText(_EXAMPLE)
        self._address_edit.connect("returnPressed()", self._connect)
        ui.addressBox.setLineEdit(self._address_edit)
        ui.addressBox.connect("editTextChanged(QString)", self._show_connect)
        ui.connectButton.connect("clicked(bool)", self._press_connect)
        ui.loginKindBox.connect("currentIndexChanged(int)", self._show_login_fields)
        ui.nameEdit.connect("textChanged(QString)", self._show_log_in)
        ui.secretEdit.connect("textChanged(QString)", self._show_log_in)
        ui.secretEdit.connect("returnPressed()", self._log_in)
        ui.logInButton.connect("clicked(bool)", self._log_in)
        ui.logOutButton.connect("clicked(bool)", self._log_out)
        ui.revokeButton.connect("clicked(bool)", self._revoke)
        self.follow(server.changed, self._show)
        # Also where it is revoked on the page of settings, which knows nothing of this panel.
        self.follow(Consents.changed, self._show_consent)
        self._show_addresses()
        ui.addressBox.setCurrentIndex(0 if desk.settings.addresses else -1)
        self._show()

    def enter(self) -> None:
        """The reader opens the module: a server that they left it with is connected to again."""
        self.desk.server.resume()
        # What was forgotten in the settings is out of the list.
        self._show()

    def _show(self) -> None:
        server, ui = self.desk.server, self.ui
        if server.address != self._shown_address:
            self._shown_address = server.address
            if server.address:
                ui.addressBox.setEditText(server.address)
        self._show_addresses()
        self._show_connect()
        dot, colour = _DOTS[server.state]
        ui.stateDot.text = dot
        ui.stateDot.styleSheet = f"color: {colour};"
        ui.stateLabel.text = state_in_words(server)
        self._make_room()
        ui.stateLabel.toolTip = plain_tip(role_in_words(server.person))
        logs_in = server.login_wanted is not None and server.login_wanted.wanted
        ui.logOutButton.visible = logs_in and server.person is not None and server.state in (READY, AWAY)
        self._show_login()
        ui.warningLabel.text = warnings_in_words(server)
        ui.warningLabel.visible = bool(ui.warningLabel.text)
        self._show_consent()
        info = server.info
        ui.noticeLabel.visible = info is not None
        if info is not None:
            ui.noticeLabel.text = _("{notice} (server\u00a0{version})").format(
                notice=info.notice, version=info.version
            )

    def _make_room(self) -> None:
        """Close the section once the server is there, and open it where it was left; the title says which."""
        server, button = self.desk.server, self.ui.serverButton
        button.text = title_in_words(server)
        if server.state == READY and self._is_connecting:
            self._is_connecting = False
            # What there is to beware of is read first.
            button.collapsed = not warnings_in_words(server)
        elif server.state == NONE and self._was_connected:
            button.collapsed = False
        self._was_connected = server.state != NONE

    def _show_addresses(self) -> None:
        """Those used before, the last one first; what is being typed stays."""
        box, addresses = self.ui.addressBox, list(self.desk.settings.addresses)
        if [box.itemText(index) for index in range(box.count)] == addresses:
            return
        typed, was_blocked = box.currentText, box.blockSignals(True)
        box.clear()
        box.addItems(addresses)
        box.setCurrentIndex(addresses.index(typed) if typed in addresses else -1)
        box.setEditText(typed)
        box.blockSignals(was_blocked)

    def _show_connect(self, text: str = "") -> None:
        button, typed = self.ui.connectButton, self.ui.addressBox.currentText.strip()
        if self._is_connected_to(typed):
            connecting = self.desk.server.state == CONNECTING
            button.text = _("Cancel") if connecting else _("Disconnect")
            button.toolTip = _("Work with this server no more")
            button.enabled = True
        else:
            button.text = _("Connect")
            button.toolTip = _("Work with the server at this address")
            button.enabled = bool(typed)

    def _is_connected_to(self, typed: str) -> bool:
        try:
            return self.desk.server.state != NONE and server_address(typed) == self.desk.server.address
        except AddressError:
            return False

    def _show_login(self) -> None:
        server, ui = self.desk.server, self.ui
        ui.loginFrame.visible = server.state == LOGIN
        if server.state != LOGIN or server.login_wanted is None:
            self._shown_login = ""
            return
        if self._shown_login != server.address:
            self._shown_login = server.address
            ui.serverButton.collapsed = False
            by_token = server.login_wanted.kind == "token_file"
            ui.loginKindBox.setCurrentIndex(_BY_TOKEN if by_token else _BY_PASSWORD)
            ui.nameEdit.text = ui.nameEdit.text or server.reader
            self._show_login_fields()
        for widget in (ui.loginKindBox, ui.nameEdit, ui.secretEdit):
            widget.enabled = not server.logging_in
        self._show_log_in()

    def _show_login_fields(self, index: int = 0) -> None:
        by_password = self.ui.loginKindBox.currentIndex == _BY_PASSWORD
        self.ui.nameLabel.visible = self.ui.nameEdit.visible = by_password
        self.ui.secretLabel.text = _("Password:") if by_password else _("Token:")
        self._show_log_in()

    def _show_log_in(self, text: str = "") -> None:
        self.ui.logInButton.enabled = self._can_log_in()

    def _can_log_in(self) -> bool:
        ui = self.ui
        named = bool(ui.nameEdit.text.strip()) or ui.loginKindBox.currentIndex == _BY_TOKEN
        return named and bool(ui.secretEdit.text) and not self.desk.server.logging_in

    def _show_consent(self) -> None:
        address = self.desk.server.address
        when = self.desk.questions.consent(address) if address else ""
        self.ui.consentLabel.visible = self.ui.revokeButton.visible = bool(when)
        if when:
            self.ui.consentLabel.text = _("You agreed to uploads on {when}").format(when=when_in_words(when))

    def _press_connect(self, checked: bool = False) -> None:
        if self._is_connected_to(self.ui.addressBox.currentText):
            self.desk.server.disconnect()
        else:
            self._connect()

    def _connect(self) -> None:
        self._is_connecting = True
        self.desk.server.connect(self.ui.addressBox.currentText)

    def _log_in(self, checked: bool = False) -> None:
        if not self._can_log_in():
            return
        ui: Any = self.ui
        name, secret = ui.nameEdit.text.strip(), ui.secretEdit.text
        # It stays in this window no longer than it is needed.
        ui.secretEdit.clear()
        if ui.loginKindBox.currentIndex == _BY_PASSWORD:
            self.desk.server.log_in(name, secret)
        else:
            self.desk.server.log_in_with_token(secret)

    def _log_out(self, checked: bool = False) -> None:
        self.desk.server.log_out()

    def _revoke(self, checked: bool = False) -> None:
        self.desk.questions.revoke(self.desk.server.address)
