"""The site of a reader's whole day: phantoms of which some are labelled, one version, a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from day_network import day_phantoms, publish
from relay import Relay
from server_process import ServerProcess

STUDIES = 22
LABELLED = 16


@dataclass(frozen=True)
class DaySite:
    """What the reader's day is about.

    Attributes:
        process: the server.
        relay: what the reader's computer asks; it can refuse.
        token: of the reader, a reviewer.
        root: holds ``studies`` and ``mine``, a phantom that only the reader's computer has.
        truth: what is true of each study, as the JSON of a label.
    """

    process: ServerProcess
    relay: Relay
    token: str
    root: Path
    truth: dict[str, Any]

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """What the server itself says, not by way of the panel."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(
            method, f"{self.relay.target}{path}", headers=headers, timeout=60, **options
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def day_site(root: Path, spread_out: Callable[..., None], *, versions: int = 1) -> Iterator[DaySite]:
    """Start it, with so many versions; 16 of 22 studies are labelled, so that a training can begin."""
    from vpt_plugin.store.tokens import TokenFile

    truth = _write_studies(root)
    publish(root, spread_out, versions)
    token = TokenFile(root / "tokens").add("rita", "reviewer")
    conf = {
        "tasks": "nodule", "models": "tiny", "device": "cpu", "scoring": "off",
        "models_dir": str(root / "models"), "token_file": str(root / "tokens"),
    }  # fmt: skip
    environment = {"VPTCT_HOME": str(root / "home")}
    with (
        ServerProcess(root / "studies", conf=conf, environment=environment) as process,
        Relay(process.url) as relay,
    ):
        site = DaySite(process, relay, token, root, truth)
        for study in sorted(truth)[:LABELLED]:
            label = ("label.json", json.dumps(truth[study]).encode())
            site.ask("PUT", "/datastore/label", params={"image": study}, files={"label": label})
        yield site
        process.kill()


def _write_studies(root: Path) -> dict[str, Any]:
    from vpt_plugin.data.phantom import make_phantom, write_nifti

    config = day_phantoms()
    (root / "studies").mkdir()
    truth = {}
    for seed in range(STUDIES + 1):
        # Those without a label, and the reader's own, all have a nodule, so that there is one to mark.
        nodule = seed >= LABELLED or seed % 2 == 0
        phantom = make_phantom(seed, config=config, nodule=nodule, contrast=False, emboli=False)
        if seed == STUDIES:
            write_nifti(phantom.volume, root / "mine.nii")
            break
        write_nifti(phantom.volume, root / "studies" / f"p{seed:02d}.nii")
        truth[f"p{seed:02d}.nii"] = {**phantom.labels["nodule"].to_json(), "annotator": ""}
    return truth
