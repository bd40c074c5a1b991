"""Slicer's own self-test of the module runs in the stand-in, too."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_self_test_passes_without_a_server(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    monkeypatch.delenv("VPTCT_TEST_SERVER", raising=False)
    slicer.selfTests["VPTCT"](msec=0)


def test_the_self_test_passes_with_a_server(
    panel: Any, site: Any, dialogs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    monkeypatch.setenv("VPTCT_TEST_SERVER", site.relay.url)
    monkeypatch.setenv("VPTCT_TEST_TOKEN", site.tokens["uwe"])
    dialogs.answer(qt.QMessageBox.Yes)
    panel.desk.choice.select_task("nodule")
    slicer.selfTests["VPTCT"](msec=0)
    assert panel.desk.classification.result is not None


def test_it_fails_where_the_module_does_not_do_what_it_should(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer
    from VPTCTLib.panel import selftest

    monkeypatch.setattr(selftest, "jump_to", lambda volume, z_mm: None)
    with pytest.raises(AssertionError, match="is shown"):
        slicer.selfTests["VPTCT"](msec=0)
