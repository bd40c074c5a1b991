"""Random clips of 32 slices from the training cache and from the paper's HDF5 file, and how large both are.

Both hold the same prepared studies, 300 slices of 256 x 256. A clip of theirs comes as three channels of
float32, one of ours as uint8, which goes to the device as it is and becomes float there; a further row makes
float32 of ours here, too. The files are in memory where nothing else is said. Then: what the levels of a
second task's HU window cost, of the study's master and of the DICOM files again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers.paper_cache import Clips, write
from side_by_side import SideBySide, Target, parser
from studies import noise

from vpt_plugin.ct.reduced import reduce_volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.tasks import HUWindow, get_task

PAPER, OURS = "(a) HDF5, float32", "ours, uint8"
SLICES, PIXELS, LENGTH = 300, 256, 32
WINDOW = get_task("nodule").hu_window
SPEED, SIZE = Target(at_least=25), Target(at_most=0.25)
# A clip of theirs takes milliseconds, one of ours a twentieth of one.
CLIPS = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Run all races."""
    options = parser(__doc__)
    options.add_argument("--studies", type=int, default=4)
    options.add_argument("--rounds", type=int, help="5 in the quick form, else 15")
    arguments = options.parse_args(argv)
    rounds = arguments.rounds or (5 if arguments.quick else 15)
    bench = SideBySide("cache", f"random clips of {LENGTH} slices of {PIXELS} x {PIXELS} for training")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = make_caches(folder, arguments.studies)
        clips = Clips(theirs, LENGTH)
        race_clips(bench, ours, clips, rounds)
        clips.close()
        compare_sizes(bench, folder, ours, theirs)
        race_cold(bench, ours, rounds)
        race_second_task(bench, folder, 3 if arguments.quick else 7)
    return bench.finish()


def make_caches(folder: Path, studies: int) -> tuple[dict[str, PreparedStudy], Path]:
    """The same studies in our cache, without masters, and in their file."""
    made = {f"study-{seed}": noise(SLICES, pixels=PIXELS, seed=seed) for seed in range(studies)}
    ours = PreparedStudies(
        folder / "ours", WINDOW, pixels=PIXELS, masters=False, read=lambda path, **_: made[path.name]
    )
    prepared = {}
    for study in made:
        (folder / study).touch()
        prepared[study] = ours.get(folder / study)
    theirs = folder / "theirs.h5"
    write(theirs, {name: reduce_volume(each, pixels=PIXELS).hu for name, each in made.items()}, WINDOW)
    return prepared, theirs


def race_clips(bench: SideBySide, ours: dict[str, PreparedStudy], clips: Clips, rounds: int) -> None:
    """The same random clips from both; they have to show the same."""
    asked = random_clips(list(ours), CLIPS, seed=0)
    study, start = asked[0]
    apart = np.abs(as_float(ours[study].clip(start, LENGTH)) - clips(study, start)[0]).max()
    if apart > 0.5 / 255 + 1e-6:
        raise SystemExit(f"the two caches hold different studies: {apart} apart")
    through_map = partial(
        _each, asked, lambda study, start: np.array(ours[study].slices[start : start + LENGTH])
    )
    race = bench.race(
        f"{CLIPS} random clips",
        {
            PAPER: partial(_each, asked, clips),
            OURS: partial(_each, asked, lambda study, start: ours[study].clip(start, LENGTH)),
            "ours, as float32 on the CPU": partial(
                _each, asked, lambda study, start: as_float(ours[study].clip(start, LENGTH))
            ),
            "ours, through a map of the file": through_map,
        },
        rounds=rounds,
        against=PAPER,
        targets={OURS: SPEED},
    )  # fmt: skip
    for way in race.times:
        bench.figure("random clips", way, [CLIPS / seconds for seconds in race.times[way]], "clips/s")


def compare_sizes(bench: SideBySide, folder: Path, ours: dict[str, PreparedStudy], theirs: Path) -> None:
    """Bytes per study, with all that lies beside the voxels."""
    own = sum(file.stat().st_size for study in ours.values() for file in study.file.parent.iterdir())
    other = theirs.stat().st_size
    for way, size in ((PAPER, other), (OURS, own)):
        bench.figure("size", way, size / len(ours) / 2**20, "MiB", note="per study")
    bench.figure("size", f"{OURS}, as a share of (a)'s", own / other, "", target=SIZE)


def race_cold(bench: SideBySide, ours: dict[str, PreparedStudy], rounds: int) -> None:
    """One clip of each study when the disk has to be asked: at one go, and through a map."""
    what = "clips from the disk"
    if not hasattr(os, "posix_fadvise"):
        bench.skip(what, OURS, "this system cannot be asked to forget a file")
        return
    studies = list(ours.values())
    starts = count(1)

    def cold(read: Callable[[PreparedStudy, int], object]) -> None:
        start = 7 * next(starts) % (SLICES - LENGTH)
        for study in studies:
            forget(study.file)
        for study in studies:
            read(study, start)

    at_one_go, mapped = "ours, at one go", "ours, through a map of the file"
    bench.race(
        what,
        {
            mapped: partial(cold, lambda study, start: np.array(study.slices[start : start + LENGTH])),
            at_one_go: partial(cold, lambda study, start: study.clip(start, LENGTH)),
        },
        rounds=rounds,
        against=mapped,
        notes={at_one_go: f"{len(studies)} clips, one of each study"},
    )


def race_second_task(bench: SideBySide, folder: Path, rounds: int) -> None:
    """The levels of another HU window for a study that was prepared before, 300 slices of 512 x 512."""
    study = folder / "dicom"
    write_dicom(noise(SLICES), study)
    with_master, without = folder / "with", folder / "without"
    PreparedStudies(with_master, WINDOW, pixels=PIXELS).get(study)
    widths = count(100)

    def prepare(cache: Path, *, masters: bool) -> None:
        window = HUWindow(centre=0, width=next(widths))
        PreparedStudies(cache, window, pixels=PIXELS, masters=masters).get(study)

    again = "the DICOM files are read again"
    bench.race(
        "levels for a second task",
        {
            again: partial(prepare, without, masters=False),
            "of the master in HU": partial(prepare, with_master, masters=True),
        },
        rounds=rounds,
        against=again,
    )


def random_clips(studies: Sequence[str], number: int, seed: int) -> list[tuple[str, int]]:
    """Studies and first slices, drawn."""
    rng = np.random.default_rng(seed)
    drawn = zip(
        rng.integers(len(studies), size=number), rng.integers(SLICES - LENGTH, size=number), strict=True
    )
    return [(studies[study], int(start)) for study, start in drawn]


def as_float(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A clip in [0, 1]."""
    return np.multiply(clip, 1 / 255, dtype=np.float32)


def forget(file: Path) -> None:
    """Let the system drop what it holds of a file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _each(asked: Sequence[tuple[str, int]], read: Callable[[str, int], object]) -> None:
    for study, start in asked:
        read(study, start)


if __name__ == "__main__":
    raise SystemExit(main())
