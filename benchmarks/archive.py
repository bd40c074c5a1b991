"""200 studies, by `vpt classify` and by `vpt classify-all`: studies per minute, memory, are all cores busy?

Quick: phantoms of some 110 slices of 128 x 128 and `tiny`, so that reading, starting and writing weigh more
than in an archive. Long: studies of 300 slices of 512 x 512 and `slowfast_r50`. Few of them are different
files; the others are links to those, so that the disk's memory holds all.

How busy the cores were is told from the first answer to the last: what the command computed, of that and of
what the cores waited. Memory is that of the command with all its processes, and it is bounded: no more in the
second half than in the first.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from process_tree import Look, Watched, busy_per_cent, watch
from side_by_side import SideBySide, Target, parser
from studies import noise

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import make_phantom, write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import get_task
from vpt_plugin.training.model_store import ModelStore

# Ours, because the issue of an archive is that no core waits: of all cores, and of memory from half to half.
BUSY_PER_CENT = 85.0
GROWTH = 1.1


@dataclass(frozen=True)
class Archive:
    """What the studies are and which network answers."""

    network: str
    distinct: int
    study: Callable[[int], Volume]
    words: str


def _phantom(seed: int) -> Volume:
    return make_phantom(seed, nodule=bool(seed % 2), contrast=False, emboli=False).volume


QUICK = Archive("tiny", 10, _phantom, "phantoms of some 110 slices of 128 x 128")
LONG = Archive("slowfast_r50", 4, lambda seed: noise(300, seed=seed), "300 slices of 512 x 512")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the archive, answer it twice."""
    options = parser(__doc__)
    options.add_argument("--studies", type=int, default=200)
    arguments = options.parse_args(argv)
    archive = QUICK if arguments.quick else LONG
    title = f"{arguments.studies} studies: {archive.words}, {archive.network}"
    bench = SideBySide("archive", title)
    folder = Path(tempfile.mkdtemp(prefix="vptct-archive-"))
    try:
        make(folder, archive, arguments.studies)
        one_by_one = watch([*_vpt("classify", folder, archive), "--csv"])
        report(bench, "vpt classify", one_by_one, since_first_answer(one_by_one), arguments.studies)
        all_cores = watch([*_vpt("classify-all", folder, archive), "--out", str(folder / "answers")])
        report(bench, "vpt classify-all", all_cores, while_workers_answered(all_cores), arguments.studies)
    finally:
        shutil.rmtree(folder)
    return bench.finish()


def make(folder: Path, archive: Archive, studies: int) -> None:
    """The studies, and a model that was never trained."""
    place = folder / "studies"
    place.mkdir()
    for number in range(studies):
        study = place / f"ct-{number:04d}.nrrd"
        if number < archive.distinct:
            write_nrrd(archive.study(number), study)
        else:
            os.link(place / f"ct-{number % archive.distinct:04d}.nrrd", study)
    spec, task = get_model(archive.network), get_task("nodule")
    card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices, synthetic=True)
    ModelStore(folder / "models").publish(new_classifier(spec, task.findings, seed=3), card)


def since_first_answer(watched: Watched) -> list[Look]:
    """The looks at `vpt classify` once it had printed an answer."""
    before = next(number for number, line in enumerate(watched.output) if ".nrrd," in line)
    return [look for look in watched.looks if look.lines > before]


def while_workers_answered(watched: Watched) -> list[Look]:
    """The looks at `vpt classify-all` from the first answer of a worker to the last: Ray names them so."""
    seen = [number for number, look in enumerate(watched.looks) if "ray::StudyWorker.answer" in look.names]
    return list(watched.looks[seen[0] : seen[-1] + 1])


def report(bench: SideBySide, name: str, watched: Watched, work: Sequence[Look], studies: int) -> None:
    """The rows of one command."""
    bench.figure(name, "whole command", watched.seconds, "s")
    seconds = work[-1].seconds - work[0].seconds
    bench.figure(name, "without its start", 60 * studies / seconds, "studies/min")
    busy = busy_per_cent(work)
    bench.figure(name, "busy, of what the cores had left", busy, "%", target=Target(at_least=BUSY_PER_CENT))
    bench.figure(name, "peak memory", watched.peak_mib, "MiB")
    halves = work[: len(work) // 2], work[len(work) // 2 :]
    first, second = (max((look.mib for look in half), default=float("nan")) for half in halves)
    bench.figure(name, "memory, second half to first", second / first, "", target=Target(at_most=GROWTH))


def _vpt(command: str, folder: Path, archive: Archive) -> list[str]:
    return [
        sys.executable, "-m", "vpt_plugin.cli", command, str(folder / "studies"), "--task", "nodule",
        "--model", archive.network, "--models-dir", str(folder / "models"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
