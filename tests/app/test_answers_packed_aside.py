"""Over HTTP: nobody waits while an answer is made into the parts and files that one client asked for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from held_predictor import publish, write_study

from vpt_plugin.inference.heat import HeatMap


def test_maps_are_packed_off_the_device_and_answers_off_the_event_loop(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path / "studies" / "a.nii")
    publish(tmp_path / "models")
    running = serve()
    at_work: list[tuple[str, bool]] = []

    def watched(owner: Any, name: str, is_apart: Any) -> None:
        call = getattr(owner, name)

        def watch(*args: Any, **options: Any) -> Any:
            at_work.append((name, is_apart()))
            return call(*args, **options)

        monkeypatch.setattr(owner, name, watch)

    def off_the_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False

    import lib.routes.infer as route

    watched(HeatMap, "nifti", lambda: running.app.workplace.device.inside == 0)
    watched(route, "with_decisions", off_the_loop)
    watched(route, "response_of", off_the_loop)
    asked = {"params": json.dumps({"explain": True})}
    answer = running.ask("POST", "/infer/nodule_tiny", params={"image": "a.nii"}, data=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("multipart/form-data")
    assert at_work == [("nifti", True), ("with_decisions", True), ("response_of", True)]
