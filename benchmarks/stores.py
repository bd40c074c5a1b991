"""Scans, worklists and label commands over 10,000 and 100,000 studies: seconds and memory, a line each.

The studies are those of ``many_studies.py``: a third NIfTI files side by side, a sixth NIfTI files in folders
of their own, half DICOM folders of one series or two; every third has a label. Every line is a process of its
own, with the files in the system's memory. For 100,000 it is said how many times as long a line took as
for 10,000: ten times is linear.

The quick form has NIfTI files side by side in the place of all others, and some of the lines; the full one
makes 450,000 files for 100,000 studies, 1.8 GB, and removes them. No time here has a target; that every label
is found has.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from many_studies import LIBRARY, make_studies, nifti_file, put, write_labels
from side_by_side import SideBySide, Target, parser

COUNTS = (10_000, 100_000)
# A link to one file more than ext4 takes.
_LINKS_OF_A_FILE = 60_000
_FILES_IN_A_FOLDER = 1_000
LINES = (
    "first look, without an index",
    "second look: all listed once more, and the index written",
    "first look after a restart, with the index",
    "look without a change",
    "first count of labels",
    "next count of labels",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "vpt studies list": ("studies", "list", "{studies}", "--csv"),
    "vpt labels check": ("labels", "check", "{studies}"),
    "vpt labels export": ("labels", "export", "{studies}", "-o", "{scratch}/labels.csv"),
    "vpt next": ("next", "{studies}", "--task", "nodule", "--strategy", "random"),
    "vpt worklist": (
        "worklist", "{studies}", "--task", "nodule", "--strategy", "random", "-o", "{scratch}/worklist.csv"
    ),
}  # fmt: skip
# What the quick form has time for.
QUICK = {
    10_000: frozenset({*LINES, *COMMANDS} - {"vpt next"}),
    100_000: frozenset(
        {
            "first look, without an index",
            "look without a change",
            "first count of labels",
            "vpt studies list",
            "vpt labels check",
            "vpt labels export",
        }
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Make the studies, measure, remove them."""
    options = parser(__doc__)
    options.add_argument(
        "--only", nargs=2, metavar=("LINE", "FOLDER"), help="one line, for the script itself"
    )
    options.add_argument("--folder", type=Path, help="where to make them; by default a temporary folder")
    arguments = options.parse_args(argv)
    if arguments.only:
        line, folder = arguments.only
        print(json.dumps({"seconds": LIBRARY[line](Path(folder)), "mib": _peak_mib(resource.RUSAGE_SELF)}))
        return 0
    bench = SideBySide("stores", "Scans, worklists and label commands")
    before: dict[str, float] = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            (link_studies if arguments.quick else make_studies)(Path(name) / "studies", count)
            wanted = QUICK[count] if arguments.quick else frozenset({*LINES, *COMMANDS})
            before = measure(bench, Path(name), count, before, wanted)
    return bench.finish()


def measure(
    bench: SideBySide, folder: Path, count: int, before: dict[str, float], wanted: frozenset[str]
) -> dict[str, float]:
    """The rows of one number of studies; the seconds of each line that is wanted."""
    seconds: dict[str, float] = {}
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        **{line: lambda line=line: _look(line, folder / "studies") for line in LINES},  # type: ignore[misc]
        **{name: lambda words=words: _command(words, folder) for name, words in COMMANDS.items()},  # type: ignore[misc]
    }
    for name, way in ways.items():
        if name not in wanted:
            bench.skip(f"{count:,} studies", name, "full form only")
            continue
        seconds[name], mib = way()
        note = f"{mib:,.0f} MiB at most"
        if name in before:
            note += f"; {seconds[name] / before[name]:.1f} times as long as for {COUNTS[0]:,}"
        bench.figure(f"{count:,} studies", name, seconds[name], "s", note=note)
    labels = len((folder / "scratch" / "labels.csv").read_text(encoding="utf-8").splitlines()) - 1
    every_third = len(range(0, count, 3))
    target = Target(at_least=every_third, at_most=every_third)
    bench.figure(f"{count:,} studies", "labels exported", labels, "", target=target)
    return seconds


def link_studies(root: Path, count: int) -> None:
    """NIfTI files, 1,000 side by side in a folder, as links to a few; every third has a label."""
    content, source = nifti_file(), root
    for number in range(count):
        path = root / f"{number // _FILES_IN_A_FOLDER:03d}" / f"p{number:06d}.nii.gz"
        if number % _LINKS_OF_A_FILE == 0:
            put(path, content)
            source = path
            continue
        if number % _FILES_IN_A_FOLDER == 0:
            path.parent.mkdir(exist_ok=True)
        os.link(source, path)
    write_labels(root)


def _look(line: str, studies: Path) -> tuple[float, float]:
    """Seconds and MiB of one line of ``many_studies``, in a process of its own."""
    command = [sys.executable, __file__, "--only", line, str(studies)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return said["seconds"], said["mib"]


def _command(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds and MiB of a command, its start included."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    filled = [word.format(studies=folder / "studies", scratch=scratch) for word in words]
    run = (
        "import resource, subprocess, sys, time; began = time.perf_counter(); "
        "done = subprocess.run([sys.executable, '-m', 'vpt_plugin.cli', *sys.argv[1:]], "
        "stdout=subprocess.DEVNULL); seconds = time.perf_counter() - began; "
        "print(done.returncode, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    environment = {**os.environ, "VPTCT_HOME": str(scratch / "home")}
    command = [sys.executable, "-c", run, *filled]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
    if said[0] != "0":
        raise RuntimeError(f"vpt {' '.join(filled)} ended with {said[0]}")
    return float(said[1]), float(said[2])


def _peak_mib(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
