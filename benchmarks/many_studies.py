"""Ten thousand small studies: how long a start, a look and a listing take, and how much memory, as a table.

The studies are made up: a third NIfTI files side by side, a sixth NIfTI files in folders of their own, a
third DICOM folders of one series, a sixth examinations of two series; every series has three slices of 8 x 8.
Every third study has a label. First the library is measured, each line in processes of its own, then the real
server, with all of them and, for comparison, with ten.

::

    .venv/bin/python benchmarks/many_studies.py [--studies 10000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import pydicom
import SimpleITK as sitk  # noqa: N813  as everybody writes it

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "apps"))

from server_process import ServerProcess

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store import index
from vpt_plugin.store.labels import LabelFolder, label_bytes
from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder

SLICES = 3
ROUNDS = 5
SERVERS = 3
# After a look that took long the next one waits as well.
PATIENCE_SECONDS = 20
REQUESTS = (
    ("/info/", "the server and what it serves"),
    ("/datastore/", "how many studies, how many with labels"),
    ("/datastore/?output=all", "all studies with their labels"),
    ("/datastore/?output=train", "the labelled studies"),
)


def main() -> None:
    """Make the studies, measure, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to make them; by default a temporary folder")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(LIBRARY[arguments.only](arguments.folder)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        many, few = Path(folder) / "many", Path(folder) / "few"
        began = time.perf_counter()
        make_studies(many, arguments.studies)
        make_studies(few, 10)
        print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python", end=" ")
        print(f"{platform.python_version()}; made in {time.perf_counter() - began:.0f} s\n")
        print_library(many, arguments.studies)
        print_server(many, few, arguments.studies)


def make_studies(root: Path, count: int) -> None:
    """Studies of every kind, and a label for every third of them."""
    nifti, slices = nifti_file(), dicom_slices()
    for number in range(count):
        name = f"p{number:05d}"
        kind = number % 6
        if kind < 2:
            put(root / "nifti" / f"{name}.nii.gz", nifti)
        elif kind == 2:
            put(root / "nested" / name / "ct.nii.gz", nifti)
        else:
            series = ("ct",) if kind < 5 else ("scout", "thin")
            for each in series:
                put_series(root / "dicom" / name / each, slices, number)
    write_labels(root)


def write_labels(root: Path) -> None:
    """A label for every third study."""
    labels = root / LABELS_FOLDER
    for study in StudyFolder(root).ids()[::3]:
        finding = FindingLabel("present" if study[-1] in "02468z" else "absent")
        label = StudyLabel(
            "nodule", {"lung_nodule": finding}, annotator="reader", created="2026-11-20T20:31:05Z"
        )
        put(labels / "final" / study / "nodule.0001.json", label_bytes(label))


def put(path: Path, data: bytes) -> None:
    """A file, with the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_series(folder: Path, slices: list[bytes], number: int) -> None:
    """The slices of one series, with StudyInstanceUIDs of one length in place of that of the template."""
    for position, data in enumerate(slices):
        put(folder / f"{position}.dcm", data.replace(UID_TEMPLATE, b"1.2.3.%08d" % number))


UID_TEMPLATE = b"1.2.3.99999999"


def nifti_file() -> bytes:
    """A small volume as a NIfTI file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii"
        sitk.WriteImage(sitk.GetImageFromArray(volume().hu), str(path))
        return gzip.compress(path.read_bytes(), mtime=0)


def dicom_slices() -> list[bytes]:
    """The files of a small series, of the examination ``UID_TEMPLATE``."""
    with tempfile.TemporaryDirectory() as folder:
        write_dicom(volume(), Path(folder) / "ct")
        files = []
        for path in sorted((Path(folder) / "ct").iterdir()):
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID = UID_TEMPLATE.decode()
            dataset.save_as(path)
            files.append(path.read_bytes())
        return files


def volume() -> Volume:
    """Three slices of noise."""
    hu = np.random.default_rng(0).integers(-1000, 400, size=(SLICES, 8, 8), dtype=np.int16)
    return Volume(hu, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")


def first_scan(root: Path) -> float:
    """Without an index: every folder listed, a header of every DICOM folder read."""
    return seconds(lambda: folder_of(root, index=False).ids())


def first_scan_with_index(root: Path) -> float:
    """With the index of an earlier start."""
    folder = folder_of(root, index=True)
    return seconds(folder.ids)


def scan_without_change(root: Path) -> float:
    """The look that a request makes when the last one is older than two seconds."""
    folder = folder_of(root, index=True)
    folder.ids()
    return seconds(lambda: folder.scan(now=True))


def scan_after_one_study_came(root: Path) -> float:
    """The same after one file was copied in."""
    folder = folder_of(root, index=True)
    folder.ids()
    new = root / "nested" / "p00002" / "new.nii"
    new.write_bytes(b"x")
    taken = seconds(lambda: folder.scan(now=True))
    new.unlink()
    return taken


def scan_of_a_slow_share(root: Path) -> float:
    """A look without a change where each question to the disk is answered a millisecond later."""
    folder = folder_of(root, index=True)
    folder.ids()
    at_once = Path.stat

    def later(path: Path, **options: bool) -> os.stat_result:
        time.sleep(0.001)
        return at_once(path, **options)

    with mock.patch.object(Path, "stat", later):
        return seconds(lambda: folder.scan(now=True))


def write_the_index(root: Path) -> float:
    """Two looks far enough apart for all folders to settle; the second one writes the index."""
    (root / LABELS_FOLDER / index.FILE_NAME).unlink(missing_ok=True)
    clock = Clock()
    folder = StudyFolder(
        root,
        fresh_seconds=0,
        labelled=LabelFolder(root / LABELS_FOLDER).labelled,
        index_folder=root / LABELS_FOLDER,
        clock=clock,
    )
    folder.ids()
    clock.ahead += 20
    return seconds(folder.ids)


def first_count_of_labels(root: Path) -> float:
    """All labels read."""
    labels = LabelFolder(root / LABELS_FOLDER)
    return seconds(lambda: labels.counts("nodule"))


def next_count_of_labels(root: Path) -> float:
    """The same again: each study's folder of labels asked for its time stamp."""
    labels = LabelFolder(root / LABELS_FOLDER)
    labels.counts("nodule")
    return seconds(lambda: labels.counts("nodule"))


LIBRARY: dict[str, Callable[[Path], float]] = {
    "first look, without an index": first_scan,
    "second look: all listed once more, and the index written": write_the_index,
    "first look after a restart, with the index": first_scan_with_index,
    "look without a change": scan_without_change,
    "look after one study came": scan_after_one_study_came,
    "look without a change, each question answered 1 ms later": scan_of_a_slow_share,
    "first count of labels": first_count_of_labels,
    "next count of labels": next_count_of_labels,
}


class Clock:
    """The real clock, which can be put ahead."""

    ahead = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead


def folder_of(root: Path, *, index: bool) -> StudyFolder:
    """The studies as the server has them."""
    labels = LabelFolder(root / LABELS_FOLDER)
    return StudyFolder(root, labelled=labels.labelled, index_folder=labels.root if index else None)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def print_library(root: Path, count: int) -> None:
    """A table of the library's part; every line in fresh processes."""
    print(f"| {count:,} studies on a local disk, files in memory | s |\n|---|---:|")
    for what in LIBRARY:
        command = [sys.executable, __file__, "--only", what, "--folder", str(root)]
        times = [
            float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(ROUNDS)
        ]
        print(f"| {what} | {statistics.median(times):.2f} |", flush=True)
    print()


def print_server(many: Path, few: Path, count: int) -> None:
    """A table of the server's part: medians of several servers, in turns."""
    columns: dict[str, list[dict[str, float]]] = {}
    for _ in range(SERVERS):
        (many / LABELS_FOLDER / index.FILE_NAME).unlink(missing_ok=True)
        for name, root in ((f"{count:,} studies", many), ("the same, restarted", many), ("10 studies", few)):
            columns.setdefault(name, []).append(measure_server(root))
    print(f"| server | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for what in columns["10 studies"][0]:
        medians = [statistics.median(each[what] for each in runs) for runs in columns.values()]
        print(f"| {what} | {' | '.join(f'{each:,.0f}' for each in medians)} |")


def measure_server(root: Path) -> dict[str, float]:
    """Start-up, answers and memory of a real server."""
    found: dict[str, float] = {}
    began = time.perf_counter()
    with ServerProcess(root, conf={"models": "tiny"}) as server:
        found["start until `/info/` answers, ms"] = 1000 * (time.perf_counter() - began)
        for path, what in REQUESTS:
            times = [seconds(lambda path=path: ask(server, path)) for _ in range(ROUNDS)]
            found[f"`{path}`: {what}, ms"] = 1000 * statistics.median(times)
        time.sleep(PATIENCE_SECONDS)
        found["`/datastore/?output=all` when a new look is due, ms"] = 1000 * seconds(
            lambda: ask(server, "/datastore/?output=all")
        )
        found["peak memory, MiB"] = max(memory())
    return found


def ask(server: ServerProcess, path: str) -> None:
    """One request, answered in full."""
    answer = server.http.get(server.url + path, timeout=60)
    answer.raise_for_status()


def memory() -> Iterator[float]:
    """The peak of each process that this one started, MiB; by Linux."""
    for process in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{process.pid}/status").read_text()
        yield int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
