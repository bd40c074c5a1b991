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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

pytest.importorskip("pyarrow", reason="needs the extra `study`")

import pyarrow.parquet as pq

from vpt_plugin.bulk import job as bulk_job
from vpt_plugin.bulk import run
from vpt_plugin.bulk.job import BulkJob
from vpt_plugin.bulk.source import BulkSource
from vpt_plugin.cli.app import app
from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.tasks import TASKS

if TYPE_CHECKING:
    from vpt_plugin.cluster import RayPlace

STUDIES = 60
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
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
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

    last = vpt(*command)
    assert last.exit_code == 0, last.output
    assert f"answers.parquet: {STUDIES} of {STUDIES}, {STUDIES - kept} of them new." in last.output
    assert "studies/s" in last.output
    times = Counter(row["study"] for row in rows_of(out))
    assert times == Counter(f"ct-{number:03d}.nrrd" for number in range(STUDIES))


def test_one_command_and_the_other_give_the_same_probabilities_and_name_what_they_refuse(
    new_archive: Callable[[int], Path],
    phantom_files: list[Path],
    options: list[object],
    tmp_path: Path,
    ray_here: RayPlace,
) -> None:
    archive, out = new_archive(12), tmp_path / "out"
    (archive / "broken.nrrd").write_text("no NRRD")
    one_by_one = vpt("classify", archive, "--csv", *options)
    expected = {
        Path(row["study"]).name: float(row["probability"])
        for row in csv.DictReader(io.StringIO(one_by_one.stdout))
    }
    done = vpt("classify-all", archive, "--out", out, "--csv", "--workers", 1, *options)
    assert done.exit_code == 0, done.output
    assert {row["study"]: row["probability"] for row in rows_of(out)} == pytest.approx(expected, abs=1e-5)
    assert len(expected) == 12
    assert refused_of(out) == {"broken.nrrd": "UnreadableStudyError"}
    assert "Refused, see refused.parquet: 1 (1 UnreadableStudyError)." in done.output
    assert len((out / "answers.csv").read_text().splitlines()) == 13

    (archive / "broken.nrrd").unlink()
    os.link(phantom_files[0], archive / "broken.nrrd")
    again = vpt("classify-all", archive, "--out", out, *options)
    assert "answers.parquet: 12 of 13, 0 of them new." in again.output
    retried = vpt("classify-all", archive, "--out", out, "--retry-refused", *options)
    assert "answers.parquet: 13 of 13, 1 of them new." in retried.output
    assert refused_of(out) == {}

    other = vpt("classify-all", archive, "--out", out, "--version", 2, *options)
    assert other.exit_code == 2
    assert "holds answers for version 1, not 2" in other.output


@pytest.fixture
def job(bulk_models: Path, tmp_path: Path) -> BulkJob:
    """Of version 1, with one worker; its source is put in place by the test."""
    return BulkJob(
        "made up", tmp_path / "out", TASKS["nodule"], "tiny", models_dir=bulk_models, device="cpu", workers=1
    )


def made_up_source(
    monkeypatch: pytest.MonkeyPatch, places: Mapping[str, str], opener: Callable[..., object]
) -> None:
    source = BulkSource("made up", places, opener)  # type: ignore[arg-type]
    monkeypatch.setattr(run, "open_bulk_source", lambda place: source)


def test_a_study_that_ends_its_worker_three_times_is_refused_and_its_neighbours_are_answered(
    job: BulkJob, phantom_files: list[Path], monkeypatch: pytest.MonkeyPatch, ray_here: RayPlace
) -> None:
    places = {f"ct-{number:02d}": str(phantom_files[number % 6]) for number in range(20)}

    # Inside the test, so that it is sent to the workers whole.
    @contextmanager
    def opener(study: str, where: str) -> Iterator[OpenedStudy]:
        if study == "ct-07":
            os._exit(1)
        yield OpenedStudy(Path(where))

    made_up_source(monkeypatch, places, opener)
    result = run.classify_all(job, nullcontext(ray_here))
    assert refused_of(job.out) == {"ct-07": "WorkerDiedError"}
    assert Counter(row["study"] for row in rows_of(job.out)) == Counter(places.keys() - {"ct-07"})
    assert (result.progress.answered, result.progress.refused, result.answered) == (19, 1, 19)


def test_when_the_share_goes_away_the_run_ends_and_refuses_nothing(
    job: BulkJob,
    phantom_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    ray_here: RayPlace,
    tmp_path: Path,
) -> None:
    places = {f"ct-{number:02d}": str(phantom_files[0]) for number in range(4)}
    places |= {f"ct-{number:02d}": str(tmp_path / "gone" / f"{number}.nrrd") for number in range(4, 40)}

    @contextmanager
    def opener(study: str, where: str) -> Iterator[OpenedStudy]:
        yield OpenedStudy(Path(where))

    made_up_source(monkeypatch, places, opener)
    with pytest.raises(ArchiveUnreachableError, match=r"20 studies in a row could not be had"):
        run.classify_all(job, nullcontext(ray_here))
    settled = run.BulkFolder(job.out).parts.settled()
    assert (len(settled.answered), dict(settled.refused)) == (4, {})


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
