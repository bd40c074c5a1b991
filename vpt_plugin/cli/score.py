"""``vpt score``: what one version says of all studies, computed ahead, so that the next one can be chosen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.active.job import DEFAULT_LIMIT, ScoringJob, ScoringProgress
from vpt_plugin.cli.console import plain, progress_bars
from vpt_plugin.cli.options import (
    DeviceOption,
    LabelsDirOption,
    ModelOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
)
from vpt_plugin.cli.words import count

if TYPE_CHECKING:
    from vpt_plugin.active.job import ScoringResult

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
    model: ModelOption = "swin_t",
    version: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Which one; by default the one that is served. 0 needs no trained version.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="How many studies at most, drawn at random, and labelled ones besides.")
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
    from vpt_plugin.training.model_store import ModelStore

    reading_task = choose_task(task, task_file)
    if version is None:
        version = ModelStore(models_dir).current_version(reading_task.name, model) or 0
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
