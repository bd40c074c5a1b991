"""A site that trains over HTTP: small phantoms, a real server, and what a reader's client asks of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from server_process import ServerProcess

from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_nifti
from vpt_plugin.labels import StudyLabel

# Coarse, with large nodules: quick to make, to read and to learn.
_PHANTOM = PhantomConfig(pixels=64, slice_spacings_mm=(5.0,), nodule_diameters_mm=(34.0, 48.0))
# One validation side with a third of the patients, so that two versions can be compared.
QUICK = {
    "epochs": 3, "steps_per_epoch": 12, "batch": 8, "learning_rate": 0.003, "folds": 0,
    "validation_share": 0.34,
}  # fmt: skip
# As if nothing was learned at all.
WORSE = {**QUICK, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-9, "seed": 7}


def write_phantoms(studies: Path, count: int) -> dict[str, StudyLabel]:
    """Phantoms, every second one with nodules; their labels by study, of two states, with slice ranges."""
    labels = {}
    for seed in range(count):
        phantom = make_phantom(seed, config=_PHANTOM, nodule=seed % 2 == 0, contrast=False, emboli=False)
        write_nifti(phantom.volume, studies / f"p{seed:02d}.nii")
        labels[f"p{seed:02d}.nii"] = phantom.labels["nodule"]
    return labels


@dataclass
class Site:
    """A server and its folders.

    Attributes:
        process: the server.
        root: holds ``studies``, ``models`` and ``home``.
        labels: what is true of each study.
        seen: the states of each training's progress, in their order.
    """

    process: ServerProcess
    root: Path
    labels: dict[str, StudyLabel]
    seen: dict[int, list[str]] = field(default_factory=dict)

    @property
    def models(self) -> Path:
        """Where versions lie."""
        return self.root / "models"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer to a request, whatever it is."""
        return requests.request(method, f"{self.process.url}{path}", timeout=120, **options)

    def told(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer that has to be a good one."""
        answer = self.ask(method, path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def label(self, studies: Sequence[str]) -> None:
        """Save what is true of these studies, as a reader would."""
        for study in studies:
            content = json.dumps(self.labels[study].to_json()).encode()
            self.told(
                "PUT", "/datastore/label", params={"image": study}, files={"label": ("label.json", content)}
            )

    def train(self, settings: dict[str, Any]) -> int:
        """Order a training; its number."""
        return int(self.told("POST", "/train/nodule_tiny", json=settings)["id"])

    def wait(
        self, number: int, until: Callable[[dict[str, Any]], bool] | None = None, seconds: float = 150
    ) -> dict[str, Any]:
        """Watch a training until something holds, or to its end; what is then told of it."""
        deadline = time.monotonic() + seconds
        states = self.seen.setdefault(number, [])
        while time.monotonic() < deadline:
            now = self.told("GET", f"/train/{number}")
            state = (now["progress"] or {}).get("state")
            if state and state not in states:
                states.append(state)
            if until is not None and until(now):
                return now
            if now["state"] not in ("queued", "running"):
                assert until is None, f"it ended before: {now}"
                return now
            time.sleep(0.05)
        raise AssertionError(f"training {number} took too long: {self.told('GET', '/train/')}")

    def answers(self) -> tuple[int, float]:
        """The version that answers for a study, and the probability it gives."""
        answer = self.told("POST", "/infer/nodule_tiny", params={"image": "p00.nii"})["vptct"]
        return int(answer["model"]["version"]), float(answer["findings"][0]["probability"])

    def workers(self) -> list[int]:
        """The processes that train for this site."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if b"training.worker" in command and str(self.models).encode() in command and not dead:
                found.append(int(folder.name))
        return found


def conf(root: Path) -> dict[str, str]:
    """The configuration of a server for one task and the tiny network."""
    return {
        "tasks": "nodule", "models": "tiny", "device": "cpu", "models_dir": str(root / "models"),
        "scoring": "off",
    }  # fmt: skip


def environment(root: Path) -> dict[str, str]:
    """Prepared studies lie with the site."""
    return {"VPTCT_HOME": str(root / "home")}
