"""QtQuestions: what the logic asks, as dialogs whose safe button is the one that Enter presses."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..address import is_protected, is_this_computer


class QtQuestions:
    """Asks in windows of their own."""

    def may_upload(self, address: str, why: str, what: str) -> bool:
        """Whether patients' data may leave this computer for this server."""
        text = (
            _("Upload to {address}? The study is copied to the server on this computer.")
            if is_this_computer(address)
            else _("Upload to {address}? Patient data leaves this computer.")
        ).format(address=address)
        parts = [why, what]
        if not is_protected(address):
            parts.append(_("The connection is not encrypted: others on the network can read along."))
        parts.append(
            _("You are asked once for this server. To take it back, press Revoke in the settings of VPTCT.")
        )
        return _asked(_("Upload patient data"), text, "\n\n".join(filter(None, parts)), _("Upload"))

    def confirm(self, title: str, text: str, ok_text: str) -> bool:
        """Whether to do something."""
        return _asked(title, text, "", ok_text)


def _asked(title: str, text: str, more: str, ok_text: str) -> bool:
    box: Any = qt.QMessageBox(slicer.util.mainWindow())
    box.setWindowTitle(title)
    box.setIcon(qt.QMessageBox.Question)
    # Plain: names of studies come from files, and must not be taken for markup.
    box.setTextFormat(qt.Qt.PlainText)
    box.setText(text)
    box.setInformativeText(more)
    box.setStandardButtons(qt.QMessageBox.Yes | qt.QMessageBox.Cancel)
    box.button(qt.QMessageBox.Yes).setText(ok_text)
    box.setDefaultButton(qt.QMessageBox.Cancel)
    agreed = bool(box.exec_() == qt.QMessageBox.Yes)
    # The main window would else keep it, hidden, until Slicer ends.
    box.deleteLater()
    return agreed
