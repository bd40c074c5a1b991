"""The app's modules on the path, as MONAI Label puts them there, and one real server for all tests."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import requests
import torch
import uvicorn
from fastapi import FastAPI
from monailabel.config import settings
from monailabel.interfaces.utils.app import apps

APPS = Path(__file__).resolve().parents[2] / "apps"
sys.path[:0] = [str(APPS), str(APPS / "vptct"), str(Path(__file__).parent)]

from lib.access.conf import read_access_conf  # noqa: E402  only now on the path
from lib.access.install import choose_login, middleware  # noqa: E402
from lib.errors import install as install_errors  # noqa: E402
from lib.routes.install import install as install_routes  # noqa: E402
from lib.worklist.desk import WorklistDesk  # noqa: E402
from main import VptctApp  # noqa: E402
from server_process import ServerProcess  # noqa: E402

from vpt_plugin.ct.volume import Volume  # noqa: E402
from vpt_plugin.data.phantom import write_dicom, write_mha, write_nifti, write_nrrd  # noqa: E402
from vpt_plugin.models.card import Estimate, ModelCard  # noqa: E402
from vpt_plugin.models.catalog import get_model  # noqa: E402
from vpt_plugin.models.classifier import new_classifier  # noqa: E402
from vpt_plugin.store.source import StudySource  # noqa: E402
from vpt_plugin.tasks import TASKS  # noqa: E402
from vpt_plugin.training.model_store import ModelStore  # noqa: E402


def noise(slices: int, *, seed: int = 0, pixels: int = 96) -> Volume:
    """A volume of noise with a bright ball in it: quick to make, and no two clips look alike."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:slices, :pixels, :pixels]
    ball = (z - slices * 0.3) ** 2 + (y - pixels / 2) ** 2 + (x - pixels / 3) ** 2 < (slices / 6) ** 2
    hu = rng.integers(-900, -300, (slices, pixels, pixels)) + 600 * ball
    return Volume(
        hu=hu.astype(np.int16),
        spacing_mm=(2.5, 3.0, 3.0),
        origin_mm=(-140.0, -150.0, -320.5),
        direction=np.eye(3)[:, ::-1].copy(),
        study=f"noise{seed}",
    )


def random_card(task: str, model: str) -> ModelCard:
    """The card of random weights, published on purpose: what they say means nothing."""
    findings = TASKS[task].findings
    return ModelCard(
        task=task,
        model=model,
        findings=findings,
        pretraining="none",
        clip_slices=get_model(model).clip_slices,
        trained_on=70,
        synthetic=True,
        validation_auroc={name: Estimate(0.91, (0.83, 0.97), 15) for name in findings},
        thresholds=dict.fromkeys(findings, 0.5),
        created="2026-11-20T20:31:05Z",
    )


@dataclass(frozen=True)
class Workshop:
    """The folders that the server works on."""

    studies: Path
    models: Path
    uploads: Path


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Studies in every format, and a long one."""
    root = tmp_path_factory.mktemp("a folder with spaces")
    shop = Workshop(root / "studies", root / "models", root / "uploads")
    for folder in (shop.studies, shop.models, shop.uploads):
        folder.mkdir()
    volume = noise(40)
    write_dicom(volume, shop.studies / "p01" / "ct")
    write_nifti(volume, shop.studies / "p02.nii.gz")
    write_nrrd(volume, shop.studies / "p03.nrrd")
    write_nifti(noise(2400, seed=1, pixels=64), shop.studies / "long.nii")
    shutil.make_archive(str(shop.uploads / "dicom"), "zip", shop.studies / "p01")
    write_mha(volume, shop.uploads / "volume.mha")
    return shop


@pytest.fixture(scope="session")
def publish(workshop: Workshop, spread_out: Callable[..., None]) -> Callable[..., ModelCard]:
    """Publishes random weights, which tell clips apart, where the server looks for models."""

    def publish_random(task: str, model: str, *, seed: int = 0) -> ModelCard:
        classifier = new_classifier(get_model(model), TASKS[task].findings, seed=seed)
        with torch.no_grad():
            spread_out(classifier, TASKS[task], noise(40))
        return ModelStore(workshop.models).publish(classifier, random_card(task, model))

    return publish_random


@dataclass(frozen=True)
class Client:
    """The server with the requests that the tests make.

    Attributes:
        process: the server.
        at_start: what lay in the temporary folder when the server was up: MONAI Label's settings of its log,
            and the empty folder, with a lock beside it, where the server keeps uploads while it reads them.
    """

    process: ServerProcess
    at_start: frozenset[Path]

    def get(self, route: str, **options: object) -> requests.Response:
        return requests.get(f"{self.process.url}{route}", timeout=120, **options)  # type: ignore[arg-type]

    def infer(
        self,
        model: str = "nodule_tiny",
        *,
        file: Path | None = None,
        named: str = "",
        timeout: float = 120,
        **query: str,
    ) -> requests.Response:
        """Asks about a study; ``named`` is what an uploaded file is called there, which makes it another."""
        params = query.pop("params", None)
        files = {"file": (named or file.name, file.read_bytes())} if file else None
        return requests.post(
            f"{self.process.url}/infer/{model}",
            params=query,
            data={"params": params} if params is not None else None,
            files=files,
            timeout=timeout,
        )

    def save_label(self, image: str, label: bytes, **query: str) -> requests.Response:
        return requests.put(
            f"{self.process.url}/datastore/label",
            params={"image": image, **query},
            files={"label": ("label.json", label)},
            timeout=120,
        )

    def open_session(self, *files: tuple[str, bytes], **query: str) -> requests.Response:
        """Uploads these files, each a name and what is in it."""
        return requests.put(
            f"{self.process.url}/session/",
            params=query,
            files=[("files", file) for file in files],
            timeout=120,
        )

    def left_behind(self) -> list[Path]:
        """What lies in the server's temporary folder."""
        found = self.process.temporary.rglob("*")
        # Torch makes its cache's folder once, at the first inference, unless a parent process has named one.
        ours = (path for path in found if "torchinductor_" not in str(path))
        return sorted(set(ours) - self.at_start)


@pytest.fixture(scope="session")
def client(workshop: Workshop, publish: Callable[..., ModelCard]) -> Iterator[Client]:
    """A real server with two trained networks for one task and none for the other, started once."""
    publish("nodule", "tiny")
    publish("nodule", "slow_r50")
    conf = {
        "tasks": "pe,nodule",
        "models": "tiny,slow_r50",
        "device": "cpu",
        "scoring": "off",
        # Noise has no lungs.
        "unsuitable": "warn",
        "models_dir": str(workshop.models),
    }
    with ServerProcess(workshop.studies, conf=conf) as process:
        yield Client(process, frozenset(process.temporary.rglob("*")))


@dataclass(frozen=True)
class InProcess:
    """The app with its routes in this very process, where a test can put its own parts in.

    Attributes:
        app: what MONAI Label would call.
        server: answers requests.
        temporary: where the server keeps uploads while it reads them.
    """

    app: VptctApp
    server: FastAPI
    temporary: Path

    def ask(self, method: str, path: str, *, token: str = "", **options: object) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self.server, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", headers=headers
            ) as client:
                return await client.request(method, path, **options)  # type: ignore[arg-type]

        return asyncio.run(answer())

    def serve_studies(self, source: StudySource) -> None:
        """Have it serve these studies from now on."""
        app = self.app
        app.datastore().studies = source
        app.worklists = WorklistDesk.of(
            app.served, source, app.labels_folder, app.model_store, lambda task: {}
        )

    @contextmanager
    def listening(self) -> Iterator[int]:
        """It listens on this computer meanwhile; yields the port."""
        config = uvicorn.Config(
            self.server, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()

    def left_behind(self) -> list[Path]:
        """What lies in the server's temporary folder."""
        return sorted(self.temporary.rglob("*"))


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., InProcess]]:
    """Starts the app in this process, over ``tmp_path/studies`` or another folder, for one test."""
    started: list[InProcess] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSION_PATH", str(tmp_path / "sessions"))
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))

    def start(conf: Mapping[str, str] | None = None, *, studies: Path | None = None) -> InProcess:
        folder = tmp_path / "studies" if studies is None else studies
        folder.mkdir(exist_ok=True)
        (tmp_path / "models").mkdir(exist_ok=True)
        conf = {
            "tasks": "nodule,pe",
            "models": "tiny",
            "scoring": "off",
            "unsuitable": "warn",
            "models_dir": str(tmp_path / "models"),
            **(conf or {}),
        }
        app = VptctApp(str(tmp_path / "app"), str(folder), dict(conf))
        monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", app.app_dir)
        monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", app.studies)
        monkeypatch.setitem(apps, f"{app.app_dir}{app.studies}", app)
        started.append(InProcess(app, _server(app, conf), temporary))
        return started[-1]

    yield start
    for each in started:
        each.app.worklists.notes.close()


def _server(app: VptctApp, conf: Mapping[str, str]) -> FastAPI:
    """What ``VptctApp.on_init_complete`` makes of MONAI Label's server, made of one with the same routes."""
    with warnings.catch_warnings():
        # It imports a module that Python is about to remove.
        warnings.simplefilter("ignore", DeprecationWarning)
        from monailabel.app import app as stock

    server = FastAPI(openapi_url="/openapi.json", docs_url=None)
    # The schema's own route is the new server's: it lists the routes of the server that it was made for.
    server.router.routes.extend(
        route for route in stock.router.routes if getattr(route, "path", "") != "/openapi.json"
    )
    access = read_access_conf(conf)
    server.state.login = choose_login(access)
    server.user_middleware = middleware(server.state.login, access)
    install_errors(server, app._secret_folders())
    install_routes(server, app.served)
    return server
