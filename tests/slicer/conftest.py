"""One real server for all tests of the Slicer module's client, with a login and a relay in front of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from relay import Relay
from server_process import ServerProcess
from standin.wheel import missing_scene
from VPTCTLib.client import Client
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.login import TokenLogin
from VPTCTLib.transport.retry import RetryRule

# Before any test says ``import slicer``: from then on it is the wheel's, without the files of this folder.
missing_scene()

QUICK_RETRY = RetryRule(first_wait_seconds=0.01, factor=1.0)
STUDIES = 80


@dataclass
class Site:
    """A server and its folders.

    Attributes:
        process: the server.
        relay: what clients ask.
        root: holds ``studies``, ``models`` and ``tokens``.
        tokens: of people, by name.
        unused: studies that no test has taken yet.
    """

    process: ServerProcess
    relay: Relay
    root: Path
    tokens: dict[str, str]
    unused: list[str] = field(default_factory=lambda: [f"s{number:02d}.nii" for number in range(STUDIES)])

    def client(self, name: str = "anna") -> Client:
        """Somebody's client."""
        return Client(Connection(self.relay.url, login=TokenLogin(self.tokens[name]), retry=QUICK_RETRY))

    def new_study(self) -> str:
        """A study without a label, for one test alone; one that the server offered to others may have one."""
        history, study = self.client().labels.history, self.unused.pop()
        while any(history(study, task).versions for task in ("nodule", "pe")):
            study = self.unused.pop()
        return study


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, spread_out: Callable[..., None]) -> Iterator[Site]:
    """Small studies and one DICOM folder; two versions of one network for one of two tasks."""
    root = tmp_path_factory.mktemp("slicer site")
    tokens = _write_site(root, spread_out)
    conf = {
        "tasks": "nodule,pe",
        "models": "tiny",
        "device": "cpu",
        "scoring": "off",
        "models_dir": str(root / "models"),
        "token_file": str(root / "tokens"),
    }
    with (
        ServerProcess(root / "studies", conf=conf, environment={"VPTCT_HOME": str(root / "home")}) as process,
        Relay(process.url) as relay,
    ):
        yield Site(process, relay, root, tokens)
        # There is nothing to keep: a server that ends of itself takes its time.
        process.kill()


def _write_site(root: Path, spread_out: Callable[..., None]) -> dict[str, str]:
    import torch

    from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_dicom, write_nifti
    from vpt_plugin.models.card import Estimate, ModelCard
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.models.classifier import new_classifier
    from vpt_plugin.store.tokens import TokenFile
    from vpt_plugin.tasks import TASKS
    from vpt_plugin.training.model_store import ModelStore

    studies = root / "studies"
    studies.mkdir()
    config = PhantomConfig(pixels=48, slice_spacings_mm=(6.0,), nodule_diameters_mm=(34.0, 48.0))
    volume = make_phantom(0, config=config, nodule=True, contrast=False, emboli=False).volume
    write_nifti(volume, studies / "s00.nii")
    for number in range(1, STUDIES):
        shutil.copy(studies / "s00.nii", studies / f"s{number:02d}.nii")
    write_dicom(volume, studies / "p01" / "ct")
    classifier = new_classifier(get_model("tiny"), TASKS["nodule"].findings, seed=0)
    with torch.no_grad():
        spread_out(classifier, TASKS["nodule"], volume)
    for _ in range(2):
        ModelStore(root / "models").publish(
            classifier,
            ModelCard(
                task="nodule", model="tiny", findings=("lung_nodule",), pretraining="none",
                clip_slices=get_model("tiny").clip_slices, trained_on=70, synthetic=True,
                validation_auroc={"lung_nodule": Estimate(0.91, (0.83, 0.97), 15)},
                thresholds={"lung_nodule": 0.5}, created="2026-11-20T20:31:05Z",
            ),
        )  # fmt: skip
    file = TokenFile(root / "tokens")
    people = {"anna": "annotator", "ben": "annotator", "rita": "reviewer", "uwe": "user"}
    return {name: file.add(name, role) for name, role in people.items()}
