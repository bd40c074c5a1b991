"""Fixtures that every test may use."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from orthanc_process import HOW_TO_INSTALL, OrthancProcess, what_is_missing

if TYPE_CHECKING:
    from vpt_plugin.cluster import RayPlace
    from vpt_plugin.ct.volume import Volume
    from vpt_plugin.models.classifier import Classifier
    from vpt_plugin.tasks import ReadingTask

# Before any test loads torch: its threads otherwise spin while they wait for each other, which on a computer
# that is busy with something else makes a small network a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Ray would end its workers where memory runs short, though most of it is held by the tests themselves.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
# Ray's workers give way to other programs; here the programs beside them are tests that wait for them.
os.environ.setdefault("RAY_worker_niceness", "0")
# Not whichever backend this computer happens to have; those of OpenVINO ask for it.
os.environ["VPTCT_BACKEND"] = "torch"


# Files of one long test each. xdist hands out those of many tests first and the others in this order: begun
# last, one of these would leave the other processes with nothing to do.
_BEGUN_EARLY = ("test_runner_killed.py", "test_train_end_to_end.py", "test_whole_day.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files that have few tests before others that have few."""
    items.sort(key=lambda item: item.path.name not in _BEGUN_EARLY)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collect garbage in the main thread where nothing else does: see ``standin.start``."""
    if not gc.isenabled():
        end_of_file = nextitem is None or nextitem.path != item.path
        # A full look takes a while; networks that were trained leave far more objects behind than that.
        gc.collect(2 if end_of_file or gc.get_count()[0] > 10_000 else 1)
    if (nextitem is None or nextitem.path != item.path) and sys.platform == "linux":
        _give_memory_back()


def _give_memory_back() -> None:
    """What trainings freed and kept for their next step: several processes share this computer."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def disk_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits until files are on the disk: for tests that pull no plug and write hundreds of them."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real chest CTs that VPT_TEST_DATA names; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VPT_TEST_DATA", "not-set"))
    if not folder.is_dir():
        pytest.skip("needs real CTs: set VPT_TEST_DATA to a folder that holds lidc-idri-0001/ and the others")
    return folder


@pytest.fixture(scope="session")
def spread_out() -> Callable[[Classifier, ReadingTask, Volume], None]:
    """Sets a classifier's random head so that the study's clips get logits around 0 with a deviation of 1.5.

    A fresh head says nearly the same of every clip, and a mistake in what the network sees would not show.
    """
    import torch

    from vpt_plugin.inference import Predictor
    from vpt_plugin.models.card import ModelCard

    def spread(classifier: Classifier, task: ReadingTask, volume: Volume) -> None:
        seen: list[torch.Tensor] = []
        hook = classifier.head.register_forward_hook(lambda head, inputs, output: seen.append(inputs[0]))
        card = ModelCard(task.name, classifier.spec.name, task.findings, "none", classifier.spec.clip_slices)
        Predictor(classifier, task, card, device="cpu", precision="float32", unsuitable="warn").predict(
            volume
        )
        hook.remove()
        features = torch.cat(seen).double()
        direction = torch.linalg.svd(features - features.mean(dim=0)).Vh[0]
        weight = 1.5 / (features @ direction).std() * direction
        with torch.no_grad():
            classifier.head.weight.copy_(weight)
            classifier.head.bias.copy_(-(features.mean(dim=0) @ weight))

    return spread


@pytest.fixture(scope="session")
def new_orthanc() -> Iterator[Callable[..., OrthancProcess]]:
    """Starts a real Orthanc, a DICOM archive, and stops it after the last test."""
    if missing := what_is_missing():
        # CI sets it: there the archive's tests must not be left out in silence.
        if os.environ.get("VPT_REQUIRE_ARCHIVE") == "1":
            pytest.fail(f"{missing} not found. {HOW_TO_INSTALL}")
        pytest.skip(f"needs a DICOM archive: {missing} not found. {HOW_TO_INSTALL}")
    with ExitStack() as running:
        yield lambda **options: running.enter_context(OrthancProcess(**options))


@pytest.fixture(scope="session")
def ray_here() -> Iterator[RayPlace]:
    """Ray on this computer, two cores to share out; one start for all tests that need it."""
    # Asked without loading it: what keeps it off the network must be set before.
    if find_spec("ray") is None:
        pytest.skip("needs Ray: the extra `study`")
    from vpt_plugin.cluster import ray_cluster

    with ray_cluster(cpus=2, gpus=0) as place:
        yield place
