"""``vpt score``: what one version says of all studies, computed ahead, so that the next one can be chosen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.active.job import COLD_START_LIMIT, DEFAULT_LIMIT, ScoringJob, ScoringProgress
from vpt_plugin.cli.console import plain, progress_bars
from vpt_plugin.cli.opened_studies import require_labels
from vpt_plugin.cli.options import (
    BackendOption,
    DeviceOption,
    LabelsDirOption,
    ModelsDirOption,
    PrecisionOption,
    TaskFileOption,
    TaskOption,
    choose_task,
)
from vpt_plugin.cli.words import count

if TYPE_CHECKING:
    from vpt_plugin.active.job import ScoringResult
    from vpt_plugin.tasks import ReadingTask

NetworkOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="The network that scores; by default the one that was served last, else the one that tells "
        "studies apart best without being trained.",
        show_default=False,
    ),
]
_STATES = {
    "loading": "loading the network",
    "scoring": "studies",
    "waiting": "waiting for the studies",
    "done": "studies",
}


def score(
    studies: Annotated[
        str,
        typer.Argument(
            metavar="STUDIES",
            help="A folder of studies, or the address of a DICOM archive.",
            show_default=False,
        ),
    ],
    task: TaskOption = None,
    model: NetworkOption = "",
    version: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which one; by default the one that is served. 0 needs no trained version.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            min=1,
            help="How large a random sample of all studies is scored; labelled ones outside it are, too. "
            f"Without a trained version {COLD_START_LIMIT} at most.",
        ),
    ] = DEFAULT_LIMIT,
    labels_dir: LabelsDirOption = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where trainings keep prepared studies, to be used.", show_default=False
        ),
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    backend: BackendOption = "auto",
) -> None:
    """Compute the features and probabilities of all studies, once per version, for `vpt next`.

    A server does this by itself in the background. What was computed before is kept: run the command again
    after it was stopped, or when there are new studies, and it goes on. Without a trained version the
    features of published weights are taken or, where there are none here, simple statistics of the images:
    enough to propose the first studies to label.

    \b
    Examples:
      vpt score studies --task nodule --model swin_t
      vpt score https://pacs.example.org/dicom-web --task pe --model swin_t --limit 2000
    """
    from vpt_plugin.active.scoring import Watch
    from vpt_plugin.active.worker import run
    from vpt_plugin.inference.engines import check_backend

    reading_task = choose_task(task, task_file)
    if labels_dir is not None:
        require_labels(labels_dir, new=False)
    model, version = _what_scores(reading_task, model, version, models_dir)
    job = ScoringJob(
        studies=studies,
        labels_dir=_absolute(labels_dir),
        task=reading_task.name,
        model=model,
        version=version,
        models_dir=_absolute(models_dir),
        task_files=(_absolute(task_file),) if task_file else (),
        cache=_absolute(cache),
        device=device,
        backend=check_backend(backend),
        precision=precision,
        limit=limit,
    )
    with progress_bars() as bars:
        bar = bars.add_task(_STATES["loading"], total=None)

        def show(now: ScoringProgress) -> None:
            bars.update(bar, description=_STATES[now.state], completed=now.done, total=now.total or None)
            if now.note:
                print(plain(now.note), file=sys.stderr)

        try:
            result = run(job, Watch(progress=show))
        except KeyboardInterrupt:
            print("stopped: what is scored is kept; the same command goes on", file=sys.stderr)
            raise typer.Exit(130) from None
    _print(job, result)


def _what_scores(
    task: ReadingTask, model: str, version: int | None, models_dir: Path | None
) -> tuple[str, int]:
    """The network and the version that `vpt next` would choose by, where they were not given."""
    from vpt_plugin.active.served_last import served_versions, untrained_network
    from vpt_plugin.models.catalog import MODELS
    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.training.model_store import ModelStore

    store = ModelStore(models_dir)
    if not model:
        served = served_versions(store, task, MODELS.values())
        for problem in served.problems:
            print(plain(problem), file=sys.stderr)
        if served.last is None:
            return untrained_network(MODELS.values(), WeightsFolder()).name, version or 0
        model, version = served.last.model, served.last.version if version is None else version
    if version is None:
        version = store.current_version(task.name, model) or 0
    return model, version


def _absolute(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())


def _print(job: ScoringJob, result: ScoringResult) -> None:
    by = f"{job.name} version {job.version}" if job.version else f"{job.name}, which is not trained yet"
    readable = result.total - result.unreadable
    typer.echo(
        f"{count(readable, 'study has', 'studies have')} scores by {by}: "
        f"{result.scored} computed in {result.seconds:.0f} s, {result.kept} from before."
    )
    if result.unreadable:
        typer.echo(f"Left out, unreadable: {count(result.unreadable, 'study', 'studies')}.")
    for warning in result.warnings:
        typer.echo(f"Warning: {warning}.")
