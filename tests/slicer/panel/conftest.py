"""The Slicer application's stand-in, with the module loaded: what the tests of the panel share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_picture import make_small
from standin.wheel import missing_scene, missing_window, skip_or_fail

MODULE = Path(__file__).resolve().parents[3] / "slicer_module" / "VPTCT" / "VPTCT.py"


@pytest.fixture(scope="session")
def app() -> Any:
    """``slicer.app``; from now on ``import qt, ctk, slicer`` works as in Slicer."""
    skip_or_fail(missing_scene() or missing_window())
    from standin.start import start

    return start()


@pytest.fixture(scope="session")
def main_window(app: Any) -> Iterator[Any]:
    """The main window, offscreen."""
    from standin.main_window import MainWindow

    made = MainWindow()
    app.set_window(made)
    made.show()
    yield made
    made.close()
    app.set_window(None)


@pytest.fixture
def window(main_window: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The main window over an empty scene, with settings, data folder and dialogs of this test alone."""
    import qt
    import slicer
    from standin import sample_data
    from standin.dialogs import dialogs

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    slicer.mrmlScene.Clear()
    qt.QSettings().clear()
    dialogs.clear()
    slicer.dicomDatabase.clear()
    slicer.app.settingsDialog().panels.clear()
    sample_data.registered.clear()
    yield main_window
    slicer.mrmlScene.Clear()
    slicer.app.disconnect("startupCompleted()")
    assert dialogs.unused() == 0, "a dialog that a test answers was not shown"


@pytest.fixture
def no_slot_errors() -> Iterator[list[BaseException]]:
    """An error in a slot, an event filter or an observer of the scene fails the test."""
    from standin.slot_errors import no_swallowed_errors

    with no_swallowed_errors() as errors:
        yield errors


@pytest.fixture
def dialogs(window: Any) -> Any:
    """Answers dialogs: ``dialogs.answer(qt.QMessageBox.Yes)``; one that is not answered fails the test."""
    from standin.dialogs import dialogs

    return dialogs


@pytest.fixture
def wait_until(app: Any) -> Callable[..., None]:
    """``wait_until(condition, seconds)`` lets Qt's events go on until the condition holds, or fails."""
    from standin.waiting import wait_until

    return wait_until


@pytest.fixture
def panel(window: Any, no_slot_errors: list[BaseException]) -> Iterator[Any]:
    """VPTCT as a reader opens it: its ``VPTCTWidget``. At the end it cleans up, and nothing of it runs on."""
    from standin.opened_module import opened_module

    with opened_module(MODULE) as widget:
        yield widget


@pytest.fixture
def picture(window: Any, tmp_path: Path) -> Callable[..., Path]:
    """``picture(name)`` saves the whole window as name.png in VPT_SCREENSHOTS, else in the test's folder.

    ``picture(name, widget)`` scrolls the panel to the widget first; ``panel_only=True`` leaves out the views.
    """
    kept_in = os.environ.get("VPT_SCREENSHOTS", "")
    folder = Path(kept_in or tmp_path)

    def take(name: str, widget: Any = None, *, panel_only: bool = False) -> Path:
        from standin.waiting import let_events_go_on

        window.draw()
        let_events_go_on(0.05)
        if widget is not None:
            window.scroll_to(widget)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        assert (window.panel if panel_only else window).grab().save(str(path))
        if kept_in:
            make_small(path)
        return path

    return take
