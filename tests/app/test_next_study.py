"""Which study next over HTTP: what is answered, to whom a study is kept, and what ends that."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

TOKENS = ("anna", "ben", "rita")


@pytest.fixture
def site(serve, tmp_path: Path) -> Callable[..., Any]:
    """Starts the app over some studies that nobody reads: ``s00.nii``, ``s01.nii`` and so on."""

    def start(count: int = 12, **conf: str) -> Any:
        (tmp_path / "studies").mkdir()
        for number in range(count):
            (tmp_path / "studies" / f"s{number:02d}.nii").write_bytes(b"x")
        return serve({"tasks": "nodule,pe", **conf})

    return start


def ask(running: Any, strategy: str = "random", **body: object) -> Any:
    """What the server answers to who asks for a study."""
    answer = running.ask("POST", f"/activelearning/{strategy}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def label(running: Any, study: str, state: str = "absent", **more: object) -> None:
    """Save a label of ``nodule``."""
    content = {
        "schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": state}}, **more,
    }  # fmt: skip
    answer = running.ask(
        "PUT", "/datastore/label", params={"image": study}, files={"label": ("l.json", json.dumps(content))}
    )
    assert answer.status_code == 200, answer.text


def held(running: Any) -> list[str]:
    return [lease["study"] for lease in running.ask("GET", "/activelearning/").json()["leases"]]


def test_the_answer_has_what_monai_labels_clients_look_for_and_why(site) -> None:
    running = site()
    told = ask(running, "auto", client_id="anna")
    assert {"id", "name", "weight", "vptct"} <= set(told)
    (proposal,) = told["vptct"]["studies"]
    assert proposal["study"] == told["id"] == proposal["lease"]["study"]
    assert proposal["why"]
    assert told["vptct"]["labels"] == {"lung_nodule": {"present": 0, "absent": 0, "indeterminate": 0}}
    assert (told["vptct"]["worklist"]["free"], told["vptct"]["worklist"]["held"]) == (11, 1)


def test_several_who_ask_at_once_get_a_study_each_and_then_nothing_is_left(site) -> None:
    running = site()
    with ThreadPoolExecutor(4) as readers:
        got = list(readers.map(lambda n: ask(running, client_id=f"r{n % 4}")["id"], range(12)))
    assert len(set(got)) == 12
    left = ask(running)
    assert "id" not in left
    assert left["vptct"]["studies"] == []
    assert left["vptct"]["worklist"]["held"] == 12
