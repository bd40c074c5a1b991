"""A made-up archive of 2,000 tiny studies: raced, killed, resumed, and every study counted.

First ``vpt classify``, which answers one study after the other, is raced by ``vpt classify-all`` with one and
two workers. Then one run is killed (SIGKILL) several times, its driver and one of its workers, and goes on
each time; every study must have one answer, and the same one as before. Last the driver's memory is
measured for 2,000 and 20,000 studies.

::

    .venv/bin/python benchmarks/bulk.py [--studies 2000] [--workers 1 2] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from machine import about_this_machine
from side_by_side import RESULTS

from vpt_plugin.data.phantom import PhantomConfig, make_phantom, write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import get_task
from vpt_plugin.training.model_store import ModelStore

DISTINCT = 100
# Some 23 slices of 64 x 64 pixels.
TINY = PhantomConfig(pixels=64, slice_spacings_mm=(12.0,))
MANY = 10
# Shares of the studies that are written when somebody is killed.
KILLS = ((0.2, "driver"), (0.45, "worker"), (0.7, "driver"))
_SPEED = re.compile(r"([\d.]+) studies/s")
_LOOK_SECONDS = 0.1


def main() -> int:
    """Make the archive, race, kill, count; 1 where a study is missing, doubled or answered otherwise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="keeps everything; by default it goes at the end")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="vptct-bulk-"))
    try:
        return _all(folder, given.studies, given.workers)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


def _all(folder: Path, studies: int, workers: Sequence[int]) -> int:
    machine = about_this_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores; {studies} studies of some 23 slices of 64 x 64\n")
    place = make_archive(folder, studies)
    race = _race(folder, place, workers)
    trial = _trial(folder, place, workers[-1], answers_of(folder / f"race-{workers[-1]}"))
    memory = {str(number): _driver_mib(folder, place, number) for number in (studies, MANY * studies)}
    for number, mib in memory.items():
        print(f"the driver's memory with {number} studies: {mib:.0f} MiB")
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "studies": studies, "race": race, "trial": trial, "driver_mib": memory}
    (RESULTS / "bulk.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    return int(not trial["every study once"])


def make_archive(folder: Path, studies: int) -> Path:
    """So many studies, of which every hundredth is the same file, and a model that was never trained."""
    place = folder / "studies"
    for number in range(studies):
        study = place / f"p{number % 97:02d}" / f"ct-{number:05d}.nrrd"
        study.parent.mkdir(parents=True, exist_ok=True)
        if study.exists():
            continue
        if number < DISTINCT:
            phantom = make_phantom(number, nodule=bool(number % 2), contrast=False, emboli=False, config=TINY)
            write_nrrd(phantom.volume, study)
        else:
            first = number % DISTINCT
            os.link(place / f"p{first % 97:02d}" / f"ct-{first:05d}.nrrd", study)
    if not (folder / "models").is_dir():
        spec, task = get_model("tiny"), get_task("nodule")
        card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices, synthetic=True)
        ModelStore(folder / "models").publish(new_classifier(spec, task.findings, seed=3), card)
    return place


def _race(folder: Path, place: Path, workers: Sequence[int]) -> dict[str, dict[str, float]]:
    """Seconds from the start of the command to its end, and studies per second without the start."""
    studies = sum(1 for _ in place.rglob("*.nrrd"))
    print(f"{'':28}{'whole command':>16}{'studies/s':>12}{'ratio':>8}")
    rows: dict[str, dict[str, float]] = {}
    began = time.perf_counter()
    done = subprocess.run(
        [*_vpt("classify", folder, place), "--csv"], check=True, capture_output=True, text=True
    )
    alone = time.perf_counter() - began
    assert len(done.stdout.splitlines()) == studies + 1
    rows["vpt classify"] = {"seconds": alone, "studies_per_second": studies / alone}
    for number in workers:
        out = folder / f"race-{number}"
        shutil.rmtree(out, ignore_errors=True)
        began = time.perf_counter()
        command = [*_classify_all(folder, place, out), "--workers", str(number)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - began
        found = _SPEED.search(said)
        assert found is not None
        rows[f"classify-all, {number} workers"] = {
            "seconds": seconds,
            "studies_per_second": float(found[1]),
        }
    for name, row in rows.items():
        row["ratio"] = alone / row["seconds"]
        print(
            f"{name:28}{row['seconds']:>14.1f} s{row['studies_per_second']:>12.1f}{row['ratio']:>7.2f}x",
            flush=True,
        )
    print()
    return rows


def _trial(
    folder: Path, place: Path, workers: int, expected: dict[str, float]
) -> dict[str, float | bool | list[str]]:
    """One run, killed on the way; what came of it."""
    out = folder / "killed"
    shutil.rmtree(out, ignore_errors=True)
    command = [*_classify_all(folder, place, out), "--workers", str(workers)]
    kills = []
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for share, whom in KILLS:
        if not _wait_for(running, out, int(share * len(expected))):
            break
        victim = running.pid if whom == "driver" else next(_workers_of(running.pid))
        os.kill(victim, signal.SIGKILL)
        kills.append(f"{whom} after {len(answers_of(out))} answers")
        print(f"killed the {kills[-1]}", flush=True)
        if whom == "driver":
            running.wait()
            running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    print(running.communicate()[0])
    rows = pq.read_table(out / "answers.parquet", columns=["study", "probability"]).to_pylist()
    times = Counter(row["study"] for row in rows)
    once = set(times) == set(expected) and set(times.values()) == {1}
    apart = max(abs(row["probability"] - expected[row["study"]]) for row in rows)
    print(f"every study once: {'yes' if once else 'NO'}; probabilities apart by at most {apart:.1e}\n")
    return {"kills": kills, "every study once": once and apart < 1e-6, "apart": apart}


def answers_of(out: Path) -> dict[str, float]:
    """The probability of every study that is written so far."""
    rows = [
        row
        for part in sorted((out / "parts").glob("part-*.parquet"))
        for row in pq.read_table(part, columns=["study", "probability"]).to_pylist()
    ]
    return {row["study"]: row["probability"] for row in rows}


def _wait_for(running: subprocess.Popen[str], out: Path, answers: int) -> bool:
    while running.poll() is None:
        if len(answers_of(out)) >= answers:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _workers_of(driver: int) -> Iterator[int]:
    for process in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.Error):
            if "StudyWorker" in " ".join(process.cmdline()):
                yield process.pid


def _driver_mib(folder: Path, place: Path, studies: int) -> float:
    """The most memory of the driver's process; of many studies the rows of a CSV lead to the same files."""
    rows = folder / f"{studies}.csv"
    files = sorted(place.rglob("*.nrrd"))
    lines = [f"study-{number:06d},{files[number % len(files)]}" for number in range(studies)]
    rows.write_text("\n".join(["study,path", *lines]) + "\n")
    out = folder / f"memory-{studies}"
    shutil.rmtree(out, ignore_errors=True)
    running = subprocess.Popen(_classify_all(folder, rows, out), stdout=subprocess.DEVNULL)
    peak, driver = 0, psutil.Process(running.pid)
    while running.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, driver.memory_info().rss)
        time.sleep(_LOOK_SECONDS)
    return peak / 2**20


def _classify_all(folder: Path, place: Path, out: Path) -> list[str]:
    return [*_vpt("classify-all", folder, place), "--out", str(out)]


def _vpt(command: str, folder: Path, place: Path) -> list[str]:
    return [
        sys.executable, "-m", "vpt_plugin.cli", command, str(place), "--task", "nodule", "--model", "tiny",
        "--models-dir", str(folder / "models"), "--device", "cpu",
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
