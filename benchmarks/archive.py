"""200 studies, by `vpt classify` and by `vpt classify-all`: studies per minute, memory, are all cores busy?

Quick: phantoms of some 110 slices of 128 x 128 and `tiny`, so that reading, starting and writing weigh more
than in an archive. Long: studies of 300 slices of 512 x 512 and `slowfast_r50`. Few of them are different
files; the others are links to those, so that the disk's memory holds all.

What studies per minute are compared with is the paper's way (a), with the same network: a few of
them, as DICOM folders, one after the other, its start not counted either. That it says what ours says is
looked at by `whole_study.py`.

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
from side_by_side import Row, SideBySide, Target, parser
from studies import noise
from way_process import WayProcess

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import make_phantom, write_dicom, write_nrrd
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import get_task
from vpt_plugin.training.model_store import ModelStore

# Ours, because the issue of an archive is that no core waits: of all cores, and of memory from half to half.
BUSY_PER_CENT = 85.0
PAPER = "(a) paper's way"
GROWTH = 1.1
# They are alike, so that a few of them say how long (a) takes for one.
BASELINE_STUDIES = 5


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
        baseline = one_after_the_other(bench, folder, archive)
        one_by_one = watch([*_vpt("classify", folder, archive), "--csv"])
        work = since_first_answer(one_by_one)
        report(bench, "vpt classify", one_by_one, work, arguments.studies)
        compare(bench, "vpt classify", work, arguments.studies, baseline, archive)
        all_cores = watch([*_vpt("classify-all", folder, archive), "--out", str(folder / "answers")])
        work = while_workers_answered(all_cores)
        report(bench, "vpt classify-all", all_cores, work, arguments.studies)
        compare(bench, "vpt classify-all", work, arguments.studies, baseline, archive)
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


def one_after_the_other(bench: SideBySide, folder: Path, archive: Archive) -> float:
    """(a) over a few of the studies, as DICOM: studies per minute."""
    seconds = []
    with WayProcess("peers.paper:WholeStudy", {"study": ""}) as paper:
        paper(network=archive.network, warm_up=True)
        for number in range(min(archive.distinct, BASELINE_STUDIES)):
            study = folder / f"dicom-{number}"
            write_dicom(archive.study(number), study)
            seconds.append(paper(network=archive.network, study=str(study)).seconds)
            shutil.rmtree(study)
    per_minute = 60 * len(seconds) / sum(seconds)
    note = f"{len(seconds)} studies as DICOM, {archive.words}, {archive.network}"
    bench.figure(PAPER, "without its start", per_minute, "studies/min", note=note)
    return per_minute


def compare(
    bench: SideBySide, name: str, work: Sequence[Look], studies: int, baseline: float, archive: Archive
) -> None:
    """Studies per minute, and how many times those of (a) that is."""
    per_minute = 60 * studies / (work[-1].seconds - work[0].seconds)
    note = f"{studies} studies, {archive.words}, {archive.network}"
    bench.add(
        Row(
            name, "without its start", "studies/min", per_minute, per_minute, per_minute, 1,
            against=PAPER, ratio=per_minute / baseline, note=note,
        )
    )  # fmt: skip


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
