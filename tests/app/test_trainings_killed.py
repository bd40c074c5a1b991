"""A real server, real trainings, and whatever may befall them: the served version answers as before."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import ServerProcess
from stand_in import alive, wait_until
from training_site import QUICK, Site, conf, environment, write_phantoms

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.training.model_store import ModelStore

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
# It would go on for minutes.
LONG = {**QUICK, "epochs": 400, "steps_per_epoch": 4, "patience": 400, "validation_share": 0.3}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with 16 labelled phantoms and a version that somebody put there."""
    root = tmp_path_factory.mktemp("site")
    for folder in ("studies", "models"):
        (root / folder).mkdir()
    labels = write_phantoms(root / "studies", 16)
    kept = LabelFolder(root / "studies" / "labels")
    for study, label in labels.items():
        kept.save(study, label)
    classifier = new_classifier(get_model("tiny"), ("lung_nodule",), seed=1)
    card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8)
    ModelStore(root / "models").publish(classifier, card, why="put here by hand")
    with ServerProcess(root / "studies", conf=conf(root), environment=environment(root)) as process:
        yield Site(process, root, labels)


@pytest.fixture(autouse=True)
def the_served_version_answers_as_before(site: Site) -> Iterator[None]:
    before = site.answers()
    yield
    # The last test ends the server.
    if site.process._process.poll() is None:
        assert site.answers() == before
    assert site.workers() == []


def after_epoch(number: int) -> Any:
    """Whether a training has begun the epoch after this one."""
    return lambda told: ((told["progress"] or {}).get("epoch") or 0) > number


def worker(site: Site) -> int:
    (pid,) = site.workers()
    return pid


def test_a_stop_answers_within_seconds_and_the_same_order_goes_on_with_damaged_copies_made_again(
    site: Site,
) -> None:
    number = site.train(LONG)
    epoch = site.wait(number, after_epoch(2))["progress"]["epoch"]
    pid = worker(site)
    began = time.monotonic()
    stopped = site.told("DELETE", f"/train/{number}")
    seconds = time.monotonic() - began
    print(f"a stop took {seconds:.2f} s")
    assert stopped["state"] == "stopped"
    assert seconds < 6
    assert not alive(pid)

    slices = next(iter((site.root / "home" / "prepared").rglob("slices.npy")))
    content = bytearray(slices.read_bytes())
    content[-100] ^= 0xFF
    slices.write_bytes(content)
    again = site.train(LONG)
    first = site.wait(again, after_epoch(0))
    assert any("prepared copy was damaged" in note and "made again" in note for note in first["notes"])
    assert first["progress"]["epoch"] >= epoch - 1
    assert any("goes on where it was" in note for note in first["notes"])
    site.told("DELETE", "/train/")


def test_a_killed_worker_is_told_and_so_is_a_full_disk_to_the_next_that_gets_its_turn(site: Site) -> None:
    number = site.train({**LONG, "seed": 1})
    waiting = site.train({**QUICK, "epochs": 1, "seed": 3})
    site.wait(number, after_epoch(0))
    os.kill(worker(site), signal.SIGKILL)
    told = site.wait(number)
    assert told["state"] == "failed"
    assert "killed from outside (signal 9)" in told["error"]["detail"]
    assert "What is served has not changed" in told["error"]["detail"]

    site.wait(waiting, lambda now: now["state"] == "running" and bool(site.workers()))
    # No file of this process may become larger from now on: its result does not fit.
    import resource

    resource.prlimit(worker(site), resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    told = site.wait(waiting)
    assert told["state"] == "failed", told
    words = f"{told['error']['detail']} {told['error']['hint']}"
    assert "File too large" in words or "room" in words
    assert str(site.root) not in words
    assert [each["version"] for each in site.told("GET", "/versions/nodule_tiny")["versions"]] == [1]
    assert list(site.models.rglob(".unfinished-*")) == []


def test_a_killed_server_leaves_no_training_and_tells_of_it_when_it_is_back(site: Site) -> None:
    number = site.train({**LONG, "seed": 5})
    site.wait(number, after_epoch(1))
    pid = worker(site)
    # The server alone: nothing else may end its training.
    os.kill(site.process._process.pid, signal.SIGKILL)
    site.process._process.wait()
    wait_until(lambda: not alive(pid), 5)
    site.process.start_again()
    told = site.told("GET", f"/train/{number}")
    assert told["state"] == "interrupted"
    assert told["progress"]["epoch"] >= 1
    assert "the server ended while this training ran" in told["error"]["detail"]
    assert "it goes on after the last epoch" in told["error"]["hint"]
    assert [each["version"] for each in site.told("GET", "/versions/nodule_tiny")["versions"]] == [1]


def test_a_damaged_checkpoint_is_told_and_a_stopped_server_ends_its_training_first(site: Site) -> None:
    newest = max((site.models / ".runs").rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    # As the killed server's training: ordered again, it goes on, from what is left of it.
    number = site.train({**LONG, "seed": 5})
    told = site.wait(number, after_epoch(1))
    assert any("goes on where it was" in note for note in told["notes"])
    assert any(f"{newest.name}: the checkpoint is damaged" in note for note in told["notes"])
    pid = worker(site)
    site.process._process.terminate()
    site.process._process.wait(30)
    assert not alive(pid)
    kept = json.loads((site.models / ".trainings" / f"{number:04d}.json").read_text())
    assert kept["state"] == "interrupted"
