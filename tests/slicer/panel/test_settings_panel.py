"""The module's page of Slicer's settings: what is changed there is what the panel goes by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def page(panel: Any, no_slot_errors: list[BaseException]) -> Iterator[Any]:
    """The page as Slicer's dialog has it; the settings that it keeps are empty before."""
    import qt
    import slicer
    from VPTCTLib.panel.settings_panel import SettingsPanel
    from VPTCTLib.panel.settings_store import SettingsStore
    from VPTCTLib.settings import Settings

    page = SettingsPanel(Settings(SettingsStore(qt.QSettings())))
    slicer.app.settingsDialog().addPanel("VPTCT", page.widget)
    yield page
    page.widget.hide()
    page.widget.deleteLater()


def test_every_setting_has_a_row_with_its_value_and_says_what_it_does(page: Any) -> None:
    from VPTCTLib.settings import SETTINGS

    shown = {"VPTCT.reader": "text", "VPTCT.ca_bundle": "text", "VPTCT.refresh_seconds": "value"}
    assert list(page.rows) == [setting.key for setting in SETTINGS]
    for setting in SETTINGS:
        row = page.rows[setting.key]
        assert row.property(shown.get(setting.key, "checked")) == setting.default
        assert row.toolTip == setting.tip


def test_what_is_changed_there_counts_at_once_and_cancel_takes_it_back(page: Any, panel: Any) -> None:
    from VPTCTLib.settings import PRESELECT, READER, REFRESH_SECONDS

    settings = panel.desk.settings
    page.rows[READER.key].text = "Dr. Ünal"
    page.rows[PRESELECT.key].click()
    page.rows[REFRESH_SECONDS.key].value = 7
    assert (settings.get(READER), settings.get(PRESELECT), settings.get(REFRESH_SECONDS)) == (
        "Dr. Ünal", True, 7,
    )  # fmt: skip
    page.widget.resetSettings()
    assert (settings.get(READER), settings.get(PRESELECT), settings.get(REFRESH_SECONDS)) == ("", False, 20)


def test_what_was_stored_before_is_shown_also_after_a_restart(page: Any, panel: Any) -> None:
    import qt
    from VPTCTLib.settings import NEXT_AFTER_SUBMIT

    panel.desk.settings.set(NEXT_AFTER_SUBMIT, True)
    page.widget.show()
    assert page.rows[NEXT_AFTER_SUBMIT.key].checked
    qt.QSettings().sync()
    assert "next_after_submit=true" in Path(qt.QSettings().fileName()).read_text(encoding="utf-8")


def test_a_file_of_certificates_is_chosen_in_a_dialog(page: Any, panel: Any, dialogs: Any) -> None:
    import qt
    from VPTCTLib.settings import CA_BUNDLE

    (choose,) = [each for each in page.widget.findChildren(qt.QPushButton) if each.text == "Choose..."]
    dialogs.answer("/etc/ssl/site.pem", "")
    choose.click()
    choose.click()
    assert panel.desk.settings.get(CA_BUNDLE) == "/etc/ssl/site.pem"


def test_consents_are_revoked_and_servers_forgotten(
    page: Any, panel: Any, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    settings, questions = panel.desk.settings, panel.desk.questions
    for address in ("https://a.example.org", "https://b.example.org"):
        settings.remember_address(address)
        page._consents.give(address, "2026-11-20T20:31:05Z")
    settings.connected = "https://b.example.org"
    page.widget.resize(560, 520)
    page.widget.show()
    agreed, used = page.lists
    assert [agreed.list.count, used.list.count, agreed.button.enabled] == [2, 2, False]
    agreed.list.setCurrentRow(0)
    agreed.button.click()
    assert not questions.consent("https://a.example.org")
    assert questions.consent("https://b.example.org") == "2026-11-20T20:31:05Z"
    used.list.setCurrentRow(0)
    used.button.click()
    assert (settings.addresses, settings.connected) == (("https://a.example.org",), "")
    page.widget.grab().save(str(picture("unused").parent / "settings.png"))


def test_slicer_gets_one_page_and_one_sample_however_often_it_starts(panel: Any) -> None:
    import slicer

    dialog = slicer.app.settingsDialog()
    slicer.app.startupCompleted.emit()
    page = dialog.panels["VPTCT"]
    panel.onReload()
    slicer.app.startupCompleted.emit()
    assert dialog.panels["VPTCT"] is page
