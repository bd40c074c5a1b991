"""``vpt classify-all`` on Ray: every study answered once, whoever is killed on the way."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

pytest.importorskip("pyarrow", reason="needs the extra `study`")

import pyarrow.parquet as pq
from pool_here import PoolHere
from unsuitable_studies import without_lungs

from vpt_plugin.bulk import job as bulk_job
from vpt_plugin.bulk import run
from vpt_plugin.bulk.job import BulkJob
from vpt_plugin.bulk.source import BulkSource
from vpt_plugin.cli.app import app
from vpt_plugin.cluster import RayPlace
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.phantom import write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.conformal_record import ConformalRecord, ConformalScores
from vpt_plugin.training.model_store import ModelStore

HERE = RayPlace(None, cpus=2, gpus=0)
STUDIES = 40
PATIENCE_SECONDS = 60.0
# Reads slowly and writes often, so that there is something to kill and something to go on with.
SLOW_DRIVER = """
from functools import partial
from test_bulk_run import BulkJob, bulk_job, run, slowed
from vpt_plugin.cli.app import main

run.open_bulk_source = slowed(run.open_bulk_source)
bulk_job.BulkJob = partial(BulkJob, studies_of_a_part=3)
main()
"""


def slowed(opened: Callable[[str], BulkSource]) -> Callable[[str], BulkSource]:
    """Opens the same source, of which each study takes a tenth of a second longer."""

    def open_slowly(place: str) -> BulkSource:
        source = opened(place)

        # In here, so that it is sent to the workers whole.
        def opener(study: str, where: object) -> object:
            time.sleep(0.1)
            return source.opener(study, where)

        return replace(source, opener=opener)  # type: ignore[arg-type]

    return open_slowly


def deadly(opened: Callable[[str], BulkSource]) -> Callable[[str], BulkSource]:
    """Opens the same source, of which a study ends the process that reads it."""

    def open_with_poison(place: str) -> BulkSource:
        source = opened(place)

        def opener(study: str, where: object) -> object:
            if "deadly" in study:
                os._exit(1)
            return source.opener(study, where)

        return replace(source, opener=opener)  # type: ignore[arg-type]

    return open_with_poison


@contextmanager
def interrupted_when(what: Callable[[], bool]) -> Iterator[None]:
    """Ctrl+C for this very process, as soon as something is so."""

    def watch() -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not what() and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    watcher.join()


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def options(bulk_models: Path) -> list[object]:
    return ["--task", "nodule", "--model", "tiny", "--models-dir", bulk_models, "--device", "cpu"]


def rows_of(out: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(out / "answers.parquet").to_pylist()
    return rows


def refused_of(out: Path) -> dict[str, str]:
    return {row["study"]: row["error"] for row in pq.read_table(out / "refused.parquet").to_pylist()}


def answered_so_far(out: Path) -> int:
    parts = sorted((out / "parts").glob("part-*.parquet"))
    return sum(pq.ParquetFile(part).metadata.num_rows for part in parts)


def wait_until(what: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)


def worker_of(driver: int) -> int:
    children = psutil.Process(driver).children(recursive=True)
    return next(each.pid for each in children if "StudyWorker" in " ".join(each.cmdline()))


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL and no SIGINT to another process")
def test_killed_and_stopped_and_resumed_every_study_has_one_answer(
    new_archive: Callable[[int], Path],
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ray_here: RayPlace,
) -> None:
    out = tmp_path / "out"
    command = ["classify-all", str(new_archive(STUDIES)), "--out", str(out), "--workers", "1"]
    command += map(str, options)

    with subprocess.Popen(
        [sys.executable, "-c", SLOW_DRIVER, *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))},
    ) as first:  # fmt: skip
        wait_until(lambda: answered_so_far(out) >= 3, first)
        second = vpt(*command)
        assert second.exit_code == 2
        assert "another program fills" in second.output
        before = answered_so_far(out)
        os.kill(worker_of(first.pid), signal.SIGKILL)
        wait_until(lambda: answered_so_far(out) >= before + 9, first)
        first.kill()
    after_kill = answered_so_far(out)
    assert after_kill < STUDIES

    monkeypatch.setattr(run, "open_bulk_source", slowed(run.open_bulk_source))
    monkeypatch.setattr(bulk_job, "BulkJob", partial(BulkJob, studies_of_a_part=3))
    with interrupted_when(lambda: answered_so_far(out) >= after_kill + 3):
        stopped = vpt(*command)
    assert stopped.exit_code == 130, stopped.output
    assert "stopped. What is answered is kept; the same command goes on." in stopped.output
    monkeypatch.undo()
    kept = answered_so_far(out)
    assert after_kill < kept < STUDIES

    # What the last command does needs no other process.
    monkeypatch.setattr(run, "WorkerPool", PoolHere)
    last = vpt(*command)
    assert last.exit_code == 0, last.output
    assert f"answers.parquet: {STUDIES} of {STUDIES}, {STUDIES - kept} of them new." in last.output
    assert "studies/s" in last.output
    times = Counter(row["study"] for row in rows_of(out))
    assert times == Counter(f"ct-{number:03d}.nrrd" for number in range(STUDIES))


def test_both_commands_give_the_same_probabilities_and_a_study_that_ends_its_worker_stops_no_other(
    new_archive: Callable[[int], Path],
    phantom_files: list[Path],
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ray_here: RayPlace,
) -> None:
    archive, out = new_archive(12), tmp_path / "out"
    (archive / "broken.nrrd").write_text("no NRRD")
    one_by_one = vpt("classify", archive, "--csv", *options)
    expected = {
        Path(row["study"]).name: float(row["probability"])
        for row in csv.DictReader(io.StringIO(one_by_one.stdout))
    }
    os.link(phantom_files[0], archive / "ct-005-deadly.nrrd")
    with monkeypatch.context() as patched:
        patched.setattr(run, "open_bulk_source", deadly(run.open_bulk_source))
        patched.setattr(bulk_job, "BulkJob", partial(BulkJob, lives=2))
        done = vpt("classify-all", archive, "--out", out, "--csv", "--workers", 1, *options)
    assert done.exit_code == 0, done.output
    assert {row["study"]: row["probability"] for row in rows_of(out)} == pytest.approx(expected, abs=1e-5)
    assert len(expected) == 12
    assert refused_of(out) == {
        "broken.nrrd": "UnreadableStudyError", "ct-005-deadly.nrrd": "WorkerDiedError",
    }  # fmt: skip
    assert "Refused, see refused.parquet: 2 (1 UnreadableStudyError; 1 WorkerDiedError)." in done.output
    assert len((out / "answers.csv").read_text().splitlines()) == 13

    # What follows needs no other process.
    monkeypatch.setattr(run, "WorkerPool", PoolHere)
    (archive / "broken.nrrd").unlink()
    os.link(phantom_files[0], archive / "broken.nrrd")
    again = vpt("classify-all", archive, "--out", out, *options)
    assert "answers.parquet: 12 of 14, 0 of them new." in again.output
    retried = vpt("classify-all", archive, "--out", out, "--retry-refused", *options)
    assert "answers.parquet: 14 of 14, 2 of them new." in retried.output
    assert refused_of(out) == {}

    other = vpt("classify-all", archive, "--out", out, "--version", 2, *options)
    assert other.exit_code == 2
    assert "holds answers for version 1, not 2" in other.output


def test_unsuitable_studies_are_answered_where_asked_at_the_rate_that_was_asked_for(
    phantom_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = ConformalScores.of([0.9] * 19, [0.1] * 19)
    card = ModelCard(
        "nodule", "tiny", ("lung_nodule",), "none", 16,
        conformal=ConformalRecord({"lung_nodule": scores}, folds=False, measured={}),
    )  # fmt: skip
    ModelStore(tmp_path / "models").publish(new_classifier(MODELS["tiny"], card.findings, seed=3), card)
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    os.link(phantom_files[0], archive / "chest.nrrd")
    write_nrrd(without_lungs(read_study(phantom_files[0])), archive / "water.nrrd")
    monkeypatch.setattr(run, "WorkerPool", PoolHere)
    monkeypatch.setattr("vpt_plugin.cluster.ray_cluster", lambda address: nullcontext(HERE))

    def all_of(*asked: object) -> Result:
        options = ["--task", "nodule", "--model", "tiny", "--models-dir", tmp_path / "models"]
        return vpt("classify-all", archive, *options, "--device", "cpu", *asked)

    refusing = all_of("--out", out)
    assert refused_of(out) == {"water.nrrd": "UnsuitableStudyError"}
    assert "--unsuitable warn answers them all the same, into another folder" in refusing.output
    (row,) = rows_of(out)
    assert (row["study"], row["error_rate"]) == ("chest.nrrd", 0.1)

    mixed = all_of("--out", out, "--unsuitable", "warn", "--error-rate", 0.05)
    assert mixed.exit_code == 2
    assert "unsuitable studies: refuse, not warn; error rate 0.1, not 0.05" in " ".join(mixed.output.split())

    all_of("--out", tmp_path / "all", "--unsuitable", "warn", "--error-rate", 0.05)
    chest, water = rows_of(tmp_path / "all")
    assert refused_of(tmp_path / "all") == {}
    assert (water["suitability"], water["sure"], water["error_rate"]) == ("unfit", "unsure", 0.05)
    assert chest["suitability"] != "unfit"
    assert chest["sure"] is not None

    for wrong in (["--unsuitable", "perhaps"], ["--error-rate", "2"]):
        refused = all_of("--out", tmp_path / "never", *wrong)
        assert refused.exit_code == 2
    assert not (tmp_path / "never").exists()


def test_without_ray_the_error_names_the_command_that_installs_it(
    new_archive: Callable[[int], Path],
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    without = vpt("classify-all", new_archive(1), "--out", tmp_path / "out", *options)
    assert without.exit_code == 2
    assert 'pip install "vptct[study]"' in without.output
