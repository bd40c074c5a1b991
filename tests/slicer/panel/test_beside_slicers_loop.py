"""Long work beside Slicer's event loop, which keeps Python's lock: it goes on, and the window answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

# What a reader notices.
BLOCKED_MS = 100


@pytest.fixture
def desk(panel: Any, site: Any, wait_until: Callable[..., None]) -> Any:
    """The desk, connected to the server itself: a relay would be threads of this process, too."""
    server = panel.desk.server
    server.connect(site.process.url)
    wait_until(lambda: server.state == "login", 10)
    server.log_in_with_token(site.tokens["anna"])
    wait_until(lambda: server.state == "ready", 10)
    return panel.desk


def show_noise(wait_until: Callable[..., None], desk: Any) -> float:
    """A chest of noise that little makes smaller, only on this computer; returns its megabytes."""
    import slicer

    rng = np.random.default_rng(0)
    pixels = rng.integers(-1000, -900, (80, 256, 256), dtype=np.int16)
    pixels[:, 48:208, 24:232] = rng.integers(-200, 300, (80, 160, 208), dtype=np.int16)
    for left in (44, 140):
        pixels[:, 72:184, left : left + 72] = rng.integers(-950, -750, (80, 112, 72), dtype=np.int16)
    slicer.util.addVolumeFromArray(pixels, ijkToRAS=np.diag([-1.4, -1.4, 3.0, 1.0]), name="Outside CT")
    wait_until(lambda: desk.study.place is not None, 10)
    return pixels.nbytes / 1e6


def test_a_study_is_uploaded_and_classified(
    panel: Any, desk: Any, dialogs: Any, wait_until: Callable[..., None]
) -> None:
    import qt
    from standin.lag_meter import LagMeter
    from standin.slicer_event_loop import run_until
    from VPTCTLib.settings import UPLOAD_WHOLE

    desk.settings.set(UPLOAD_WHOLE, True)
    megabytes = show_noise(wait_until, desk)
    dialogs.answer(qt.QMessageBox.Yes)
    start = time.monotonic()
    with LagMeter() as lag:
        panel.panel.sections["StudySection"].ui.classifyButton.click()
        run_until(lambda: desk.classification.state == "idle", 60)
    seconds = time.monotonic() - start
    assert desk.classification.result is not None, panel.panel.ui.messageLabel.text
    print(f"{megabytes:.1f} MB in {seconds:.2f} s, {lag.ticks} ticks, {lag}")
    assert lag.busiest_ms < BLOCKED_MS, lag
