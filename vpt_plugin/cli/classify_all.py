"""``vpt classify-all``: answers for a whole archive, on all cores, GPUs or computers there are."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain, progress_bars
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
from vpt_plugin.cli.words import duration
from vpt_plugin.words import studies_in_words

if TYPE_CHECKING:
    from vpt_plugin.bulk.job import BulkJob, BulkProgress, BulkResult
    from vpt_plugin.bulk.run import Watch

# Where no bar is shown, a line tells so often how far it came.
_SECONDS_OF_A_LINE = 60.0
_GOES_ON = "What is answered is kept; the same command goes on."


def classify_all(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of studies, a CSV with the columns study and path, or the address of a DICOM "
            "archive.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the answers, new or to go on with.",
            show_default=False,
        ),
    ],
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    version: Annotated[
        int | None,
        typer.Option(
            "--version", help="A version of the model; by default the one that is served.", show_default=False
        ),
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    backend: BackendOption = "auto",
    unsuitable: UnsuitableOption = "refuse",
    error_rate: ErrorRateOption = 0.1,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that answer; by default one per core, or per GPU share.",
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of a GPU per worker: with 0.25 four of them read and compute on each GPU. By default "
            "a whole one, where there are any.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="host:6379 of a Ray cluster; by default this computer alone. Its computers need the studies "
            "and the models under the same paths.",
            show_default=False,
        ),
    ] = None,
    retry_refused: Annotated[
        bool, typer.Option("--retry-refused", help="Try again what was refused before.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write answers.csv beside answers.parquet.")] = False,
) -> None:
    """Answer for a whole archive, such as 100,000 studies; for a few there is `vpt classify`.

    Studies are answered by several processes at once, on this computer or on a Ray cluster. Answers are
    written to DIR all the time: stop the command, or lose power, and the same command goes on where it was;
    no study is answered twice. At the end DIR holds answers.parquet, a row per study and finding, and
    refused.parquet, a row per study that could not be answered, with the reason.

    Needs Ray and pyarrow: pip install "vptct[study]".

    \b
    Examples:
      vpt classify-all archive/ --task nodule --model swin_t --out answers
      vpt classify-all https://pacs.example.org/dicom-web --task pe --model swin_t --out answers --gpus 0.25
      vpt classify-all studies.csv --task nodule --model swin_t --out answers --address head:6379
    """
    from vpt_plugin.bulk.job import BulkJob
    from vpt_plugin.bulk.parts import require_parquet
    from vpt_plugin.bulk.run import classify_all as run
    from vpt_plugin.cluster import ray_cluster

    job = BulkJob(
        source=source,
        out=out.absolute(),
        task=choose_task(task, task_file),
        model=model,
        version=version,
        models_dir=models_dir,
        device=device,
        precision=precision,
        backend=backend,
        unsuitable=unsuitable,
        error_rate=error_rate,
        workers=workers,
        gpus=gpus,
        retry_refused=retry_refused,
        as_csv=as_csv,
    )
    require_parquet()
    try:
        with _shown() as watch:
            result = run(job, ray_cluster(address), watch)
    except KeyboardInterrupt:
        print(f"stopped. {_GOES_ON}", file=sys.stderr)
        raise typer.Exit(130) from None
    except OSError:
        print(_GOES_ON, file=sys.stderr)
        raise
    _print(job, result)


@contextmanager
def _shown() -> Iterator[Watch]:
    """A bar with the speed where there is a terminal, else a line every minute."""
    from vpt_plugin.bulk.job import BulkProgress

    # The words have the time left, from the speed of all workers since they began.
    with progress_bars(time_left=False) as bars:
        bar = bars.add_task(speed_in_words(BulkProgress(0, 0)), total=None)
        told_at = time.monotonic()

        def show(now: BulkProgress) -> None:
            nonlocal told_at
            words = speed_in_words(now)
            bars.update(bar, description=words, completed=now.done, total=now.total)
            if bars.disable and time.monotonic() - told_at >= _SECONDS_OF_A_LINE:
                print(f"{now.done:,} of {now.total:,} studies: {words}", file=sys.stderr, flush=True)
                told_at = time.monotonic()

        yield show


def speed_in_words(now: BulkProgress) -> str:
    """``2 workers, 3.2 studies/s, 14 refused, 2 h 5 min left``."""
    if not now.workers:
        return "starting the workers"
    words = [f"{now.workers} worker{'' if now.workers == 1 else 's'}"]
    speed = now.studies_per_second
    if not math.isnan(speed):
        words.append(f"{speed:.1f} studies/s" if speed >= 1 else f"{60 * speed:.1f} studies/min")
    if now.refused:
        words.append(f"{now.refused:,} refused")
    if not math.isnan(speed):
        words.append(f"{duration((now.total - now.done) / speed)} left")
    return ", ".join(words)


def _print(job: BulkJob, result: BulkResult) -> None:
    now = result.progress
    new = now.answered + now.refused
    typer.echo(
        f"Studies with an answer in {job.out / 'answers.parquet'}: {result.answered:,} of {now.total:,}, "
        f"{now.answered:,} of them new."
    )
    if new:
        speed = now.studies_per_second
        typer.echo(
            f"This run looked at {studies_in_words(new)} in {duration(now.seconds)}: {speed:.2f} studies/s, "
            f"{60 * speed:.0f} studies/min, with {now.workers} worker{'' if now.workers == 1 else 's'}, "
            f"which took {duration(result.starting_seconds)} to start."
        )
    if result.refused:
        reasons = "; ".join(f"{number:,} {error}" for error, number in sorted(result.refused.items()))
        typer.echo(plain(f"Refused, see refused.parquet: {sum(result.refused.values()):,} ({reasons})."))
        typer.echo("--retry-refused tries them again.")
    if "UnsuitableStudyError" in result.refused:
        typer.echo("Of unsuitable studies: --unsuitable warn answers them all the same, into another folder.")
    typer.echo("For research only; not a medical device.")
