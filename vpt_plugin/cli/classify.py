"""``vpt classify``: answers for studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import middle_cut, print_error, progress_bars
from vpt_plugin.cli.explained import HeatMapFolder
from vpt_plugin.cli.options import (
    BackendOption,
    DeviceOption,
    ErrorRateOption,
    ModelOption,
    ModelsDirOption,
    PrecisionOption,
    TaskFileOption,
    TaskOption,
    UnsuitableOption,
    choose_task,
)
from vpt_plugin.cli.report import FORMATS, Report
from vpt_plugin.errors import StudyError, VptError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vpt_plugin.cli.other_versions import Ask
    from vpt_plugin.ct.reduced import ReducedStudy
    from vpt_plugin.ct.volume import Volume
    from vpt_plugin.inference import Prediction, Predictor

# A longer name of a study leaves no room for its bar.
_MAX_NAME = 30
# From so many on a backend that starts slowly pays.
_MANY_STUDIES = 20


def classify(
    studies: Annotated[
        list[Path],
        typer.Argument(
            metavar="STUDY",
            help="A DICOM folder, .zip, .tar.gz or file, a NIfTI, NRRD or MHA file, or a folder of such.",
            show_default=False,
        ),
    ],
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of results as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line per study and finding.")] = False,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", help="A version of the model; by default the one that is served.", show_default=False
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            "--series",
            metavar="UID",
            help="The SeriesInstanceUID to read of a DICOM study; by default the one that suits best.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    backend: BackendOption = "auto",
    stride: Annotated[
        str,
        typer.Option(
            "--stride",
            help="Which clips are looked at: task (all of the task's), or coarse-to-fine: clips side by "
            "side, then finer ones around those that matter (coarse-to-fine:8: every 8 slices).",
        ),
    ] = "task",
    unsuitable: UnsuitableOption = "refuse",
    error_rate: ErrorRateOption = 0.1,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            metavar="FOLDER",
            help="Write heat maps here: where in the study the network saw what it says, a NIfTI file per "
            "study and finding; none is overwritten. It takes about twice as long as the answer.",
            show_default=False,
        ),
    ] = None,
    versions: Annotated[
        int,
        typer.Option(
            "--versions",
            metavar="N",
            help="Ask the N newest other versions of the model, too, and tell how far they disagree. Each "
            "takes as long as the answer again.",
            show_default=False,
        ),
    ] = 0,
) -> None:
    """Answer for one study or many.

    An answer is a probability and a decision per finding, with the slices that speak for it.

    A folder that holds several studies stands for all of them: every NIfTI, NRRD and MHA file in it and
    below, and every folder of DICOM files. A folder whose DICOM files are all of one examination is one
    study; of its series the one that suits best is read, or the one of --series. A study that cannot be
    answered is named on stderr and the rest go on; the exit code is then 1.

    For a whole archive there is `vpt classify-all`: it uses all cores and GPUs, and can be stopped.

    \b
    Examples:
      vpt classify ct.nii.gz --task nodule --model tiny
      vpt classify exam.zip dicom_folder/ --task pe --model swin_t --json > answers.json
      vpt classify incoming/ --task nodule --csv > answers.csv
      vpt classify ct.nii.gz --task nodule --model tiny --explain heat_maps/ --versions 3
    """
    if as_json and as_csv:
        raise typer.BadParameter("use either --json or --csv, not both.")
    from vpt_plugin.cli.other_versions import ask_others
    from vpt_plugin.cli.studies import expand
    from vpt_plugin.inference import Predictor
    from vpt_plugin.models.device import choose_device, heed_cpu_quota, keep_freed_memory
    from vpt_plugin.training.model_store import ModelStore

    reading_task = choose_task(task, task_file)
    paths = expand(studies)
    many = len(paths) >= _MANY_STUDIES
    heat_maps = None if explain is None else HeatMapFolder(explain, paths, reading_task.findings)

    if choose_device(device).type == "cpu":
        # Before the predictor is made, because a backend that compiles fixes its threads then.
        keep_freed_memory()
        heed_cpu_quota()
    store = ModelStore(models_dir)
    make = partial(
        Predictor,
        task=reading_task, device=device, precision=precision, backend=backend, many_studies=many,
        stride=stride, unsuitable=unsuitable, error_rate=error_rate,
    )  # fmt: skip
    classifier, card = store.load(reading_task, model, version)
    predictor = make(classifier, card=card, reference=store.reference(card))
    others = ask_others(store, reading_task, card, versions, make)
    # With a few studies it does not matter how long they take.
    for note in predictor.engine.notes if many else ():
        typer.echo(f"Note: {note}.", err=True)
    report = FORMATS["json" if as_json else "csv" if as_csv else "table"]()
    failed = _answer(paths, series, predictor, others, report, heat_maps)
    if failed:
        typer.echo(f"{len(failed)} could not be answered: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _answer(
    studies: Sequence[Path],
    series_uid: str | None,
    predictor: Predictor,
    others: Ask,
    report: Report,
    heat_maps: HeatMapFolder | None,
) -> list[str]:
    """Answers for the studies in their order; the names of those that gave none."""
    from vpt_plugin.inference.pipeline import Failed, answer_studies

    failed = []
    with report, progress_bars() as progress:
        shown = _Shown(series_uid, predictor, others, progress, heat_maps)
        with closing(answer_studies(studies, shown.read, shown.answer)) as outcomes:
            for outcome in progress.track(outcomes, total=len(studies), description="studies"):
                if not isinstance(outcome, Failed):
                    report.add(str(outcome.study), outcome.answer)
                    continue
                if not isinstance(outcome.error, (VptError, MemoryError, OSError)):
                    raise outcome.error
                print_error(_about(outcome.study, outcome.error))
                failed.append(str(outcome.study))
    return failed


def _about(path: Path, error: VptError | MemoryError | OSError) -> StudyError:
    """The error as one of this study, so that its name is told."""
    if isinstance(error, StudyError):
        return error
    if isinstance(error, VptError):
        return StudyError(str(path), error.message, error.hint)
    if isinstance(error, MemoryError):
        return StudyError(str(path), "there is not enough memory for it.", "Close other programs.")
    return StudyError(str(path), f"{error}.")


@dataclass(frozen=True)
class _Read:
    """A study that was read, whole where it is to be explained, and the bar that shows how far it is."""

    path: Path
    reduced: ReducedStudy
    volume: Volume | None
    seconds: float
    bar: TaskID


class _Shown:
    """Reads and answers studies, each with a bar from the moment when its reading begins."""

    def __init__(
        self,
        series_uid: str | None,
        predictor: Predictor,
        others: Ask,
        progress: Progress,
        heat_maps: HeatMapFolder | None,
    ) -> None:
        self._heat_maps = heat_maps
        self._series_uid = series_uid
        self._predictor = predictor
        self._others = others
        self._progress = progress

    def read(self, path: Path, stopped: Callable[[], bool]) -> _Read:
        """The study at a path."""
        bar = self._progress.add_task(f"clips of {middle_cut(path.name, _MAX_NAME)}", total=None)
        try:
            began = perf_counter()
            reduced, volume = self._content(path)
            return _Read(path, reduced, volume, perf_counter() - began, bar)
        except BaseException:
            self._progress.remove_task(bar)
            raise

    def _content(self, path: Path) -> tuple[ReducedStudy, Volume | None]:
        from vpt_plugin.ct.reader import read_study
        from vpt_plugin.ct.reduced import read_reduced, reduce_volume

        pixels, name = self._predictor.spec.resize_px, str(path)
        if self._heat_maps is None:
            return read_reduced(path, pixels=pixels, name=name, series_uid=self._series_uid), None
        volume = read_study(path, name=name, series_uid=self._series_uid)
        return reduce_volume(volume, pixels=pixels), volume

    def answer(self, study: _Read, stopped: Callable[[], bool]) -> Prediction:
        """The answer for a study that was read."""
        try:
            prediction = self._predictor.predict(
                study.reduced,
                progress=lambda done, total: self._progress.update(study.bar, completed=done, total=total),
                cancelled=stopped,
                read_seconds=study.seconds,
            )
            prediction = self._others(prediction, study.reduced, cancelled=stopped)
            if self._heat_maps is None or study.volume is None:
                return prediction
            return self._heat_maps.explained(
                study.path, study.volume, prediction, self._predictor, cancelled=stopped
            )
        finally:
            self._progress.remove_task(study.bar)
