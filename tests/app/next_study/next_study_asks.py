"""What readers and their clients ask of an app in this process."""

from __future__ import annotations

import json
from typing import Any


def ask(running: Any, strategy: str = "random", *, token: str = "", **body: object) -> Any:
    """What the server answers to who asks for a study."""
    answer = running.ask("POST", f"/activelearning/{strategy}", token=token, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def label(running: Any, study: str, state: str = "absent", *, token: str = "", **more: object) -> None:
    """Save a label of ``nodule``."""
    content = {
        "schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": state}}, **more,
    }  # fmt: skip
    files = {"label": ("l.json", json.dumps(content).encode())}
    answer = running.ask("PUT", "/datastore/label", token=token, params={"image": study}, files=files)
    assert answer.status_code == 200, answer.text


def skip(running: Any, study: str, *, token: str = "", **body: object) -> Any:
    return running.ask("POST", f"/activelearning/skips/{study}", token=token, json=body)


def state(running: Any, *, token: str = "") -> Any:
    return running.ask("GET", "/activelearning/", token=token).json()


def held(running: Any, *, token: str = "") -> list[str]:
    return sorted(lease["study"] for lease in state(running, token=token)["leases"])
