"""A server's network that answers when a test lets it, over studies small enough for milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom, write_nifti
from vpt_plugin.errors import CancelledError
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.training.model_store import ModelStore


def write_study(path: Path) -> None:
    """16 slices of noise, as a NIfTI file, or as a DICOM folder where the path is called no such file."""
    hu = np.random.default_rng(0).integers(-1000, 300, (16, 32, 32)).astype(np.int16)
    path.parent.mkdir(exist_ok=True)
    write = write_nifti if path.suffix == ".nii" else write_dicom
    write(Volume(hu, (2.5, 8.0, 8.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), path.name), path)


def publish(models: Path, *, seed: int = 0) -> int:
    """Random weights of ``nodule_tiny``, served from now on; their version."""
    classifier = new_classifier(get_model("tiny"), ("lung_nodule",), seed=seed)
    card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16, synthetic=True)
    return ModelStore(models).publish(classifier, card).version


class HeldPredictor:
    """Stands before ``Predictor.predict``: notes which studies it is asked about, and holds the answers.

    Attributes:
        studies: that it was asked about, in their order.
    """

    def __init__(self, predict: Callable[..., Any]) -> None:
        self.studies: list[str] = []
        self._predict = predict
        self._go = threading.Semaphore(0)

    def release(self, times: int = 1) -> None:
        """Let so many more answers go."""
        self._go.release(times)

    def __call__(self, predictor: Predictor, study: Any, **options: Any) -> Any:
        self.studies.append(study.study)
        while not self._go.acquire(timeout=0.01):
            if options["cancelled"]():
                raise CancelledError
        return self._predict(predictor, study, **options)


class Site:
    """A server in this process that listens, with a held network.

    Args:
        running: the app with its routes.
        port: where it listens.
        network: of the server.
    """

    def __init__(self, running: Any, port: int, network: HeldPredictor) -> None:
        self.running = running
        self.network = network
        self.url = f"http://127.0.0.1:{port}"

    def classify(
        self, image: str = "", *, session_id: str = "", timeout: float = 60, **options: Any
    ) -> requests.Response:
        """The answer about a study."""
        url, named = f"{self.url}/infer/nodule_tiny", {"image": image, "session_id": session_id}
        return requests.post(url, params=named, timeout=timeout, **options)

    def get(self, route: str) -> requests.Response:
        """The answer of another route."""
        return requests.get(f"{self.url}{route}", timeout=60)

    def batch(self, **options: Any) -> requests.Response:
        """A batch whose lines come one by one."""
        return requests.post(f"{self.url}/batch/infer/nodule_tiny", stream=True, timeout=60, **options)

    @property
    def workplace(self) -> Any:
        """What all requests share."""
        return self.running.app.workplace


@contextmanager
def listening(running: Any, network: HeldPredictor) -> Iterator[Site]:
    """The site, while it listens; in the end nothing is held any more."""
    with running.listening() as port:
        try:
            yield Site(running, port, network)
        finally:
            network.release(10_000)
