"""SettingsPanel: the module's page of Slicer's settings (Edit > Application Settings)."""

from __future__ import annotations

from typing import Any, Callable

import ctk
import qt
from slicer.i18n import tr as _

from ..consent import Consents
from ..logic.words import when_in_words
from ..settings import CA_BUNDLE, SETTINGS, Setting, Settings
from .settings_store import stored_key

_SECONDS = (2, 3600)


class SettingsPanel:
    """A row for each setting, and what the module remembers of servers.

    Slicer's settings dialog keeps the rows in step with what is stored, and takes changes back on Cancel.

    Args:
        settings: of this computer.

    Attributes:
        widget: the page.
        rows: the widgets of the settings, by their keys.
        lists: of what is remembered of servers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consents = Consents(settings.store)
        self.widget: Any = ctk.ctkSettingsPanel()
        self.rows: dict[str, Any] = {}
        self._kept: dict[str, str] = {}
        self.lists: list[Remembered] = []
        layout = qt.QVBoxLayout(self.widget)
        form = qt.QFormLayout()
        layout.addLayout(form)
        for setting in SETTINGS:
            self._add_row(form, setting)
        self._add_list(
            layout,
            Remembered(
                _("Servers to which studies may be uploaded"),
                _("Revoke"),
                _("You are asked again before a study is uploaded to this server"),
                self._agreed,
                self._consents.revoke,
            ),
        )
        self._add_list(
            layout,
            Remembered(
                _("Servers that were used"),
                _("Forget"),
                _("Take this address out of the list in the panel"),
                lambda: {address: address for address in settings.addresses},
                self._forget,
            ),
        )
        layout.addStretch(1)
        self._shown = _WhenShown(self.show)
        self.widget.installEventFilter(self._shown)

    def show(self) -> None:
        """Bring it up to date: the panel may have changed settings, and more servers may be remembered."""
        value_of: Callable[[Any], object] = self._settings.get
        for setting in SETTINGS:
            setattr(self.rows[setting.key], self._kept[setting.key], value_of(setting))
        for each in self.lists:
            each.show()

    def _add_row(self, form: Any, setting: Setting[Any]) -> None:
        if isinstance(setting.default, bool):
            row, kept, signal = qt.QCheckBox(setting.title), "checked", "toggled(bool)"
            form.addRow(row)
        elif isinstance(setting.default, int):
            row, kept, signal = _spin_box(), "value", "valueChanged(int)"
            form.addRow(f"{setting.title}:", row)
        else:
            row, kept, signal = qt.QLineEdit(), "text", "textChanged(QString)"
            form.addRow(f"{setting.title}:", self._with_button(row) if setting is CA_BUNDLE else row)
        row.toolTip = setting.tip
        # What it shows when it is registered is what "Restore defaults" brings back.
        setattr(row, kept, setting.default)
        self.rows[setting.key], self._kept[setting.key] = row, kept
        self.widget.registerProperty(stored_key(setting.key), row, kept, str(qt.SIGNAL(signal)))

    def _with_button(self, edit: Any) -> Any:
        """A line for a file, and a button that opens a dialog for it."""
        line, button = qt.QWidget(), qt.QPushButton(_("Choose..."))
        layout = qt.QHBoxLayout(line)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(edit)
        layout.addWidget(button)
        button.toolTip = _("Choose a file of certificates")
        button.connect("clicked(bool)", lambda: self._choose_file(edit))
        return line

    def _choose_file(self, edit: Any) -> None:
        chosen = qt.QFileDialog.getOpenFileName(
            self.widget, _("Certificates"), edit.text, _("Certificates (*.pem *.crt *.cer);;All files (*)")
        )
        if chosen:
            edit.text = chosen

    def _add_list(self, layout: Any, remembered: Remembered) -> None:
        layout.addWidget(remembered.widget)
        self.lists.append(remembered)
        remembered.show()

    def _agreed(self) -> dict[str, str]:
        return {
            address: _("{address}, agreed on {when}").format(
                address=address, when=when_in_words(consent.when)
            )
            for address, consent in self._consents.all.items()
        }

    def _forget(self, address: str) -> None:
        self._settings.forget_address(address)
        if self._settings.connected == address:
            self._settings.connected = ""


class Remembered:
    """A list of servers, with a button that takes the chosen ones away."""

    def __init__(
        self,
        title: str,
        take_away: str,
        tip: str,
        read: Callable[[], dict[str, str]],
        remove: Callable[[str], object],
    ) -> None:
        self._read, self._remove = read, remove
        self._addresses: list[str] = []
        self.widget: Any = qt.QGroupBox(title)
        layout = qt.QHBoxLayout(self.widget)
        self.list: Any = qt.QListWidget()
        self.list.setSelectionMode(qt.QAbstractItemView.ExtendedSelection)
        self.list.setMaximumHeight(90)
        self.list.toolTip = title
        self.button: Any = qt.QPushButton(take_away)
        self.button.toolTip = tip
        layout.addWidget(self.list)
        layout.addWidget(self.button, 0, qt.Qt.AlignTop)
        self.list.connect("itemSelectionChanged()", self._show_button)
        self.button.connect("clicked(bool)", self._press)

    def show(self) -> None:
        """What is remembered now."""
        lines = self._read()
        self._addresses = list(lines)
        self.list.clear()
        self.list.addItems(list(lines.values()))
        self._show_button()

    def _show_button(self) -> None:
        self.button.enabled = bool(self.list.selectedItems())

    def _press(self) -> None:
        for item in self.list.selectedItems():
            self._remove(self._addresses[self.list.row(item)])
        self.show()


class _WhenShown(qt.QObject):  # type: ignore[misc]
    """Calls when a widget comes on screen."""

    def __init__(self, call: Callable[[], object]) -> None:
        qt.QObject.__init__(self)
        self._call = call

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """Qt asks before the widget itself."""
        if event.type() == qt.QEvent.Show:
            self._call()
        return False


def _spin_box() -> Any:
    """For the settings that are times."""
    box = qt.QSpinBox()
    box.setRange(*_SECONDS)
    box.setSuffix(_(" s"))
    return box
