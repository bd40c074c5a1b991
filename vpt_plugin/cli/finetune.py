"""``vpt finetune``: a model from a site's own labels."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain, progress_bars
from vpt_plugin.cli.options import (
    PRECISION_HELP,
    DeviceOption,
    LabelsDirOption,
    ModelOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
    who,
)
from vpt_plugin.cli.settings import training_settings
from vpt_plugin.cli.words import card_in_words, command_line, duration, progress_in_words
from vpt_plugin.training.torchrun import torchrun_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpt_plugin.models.card import ModelCard
    from vpt_plugin.training.finetune import FinetuneResult
    from vpt_plugin.training.progress import Progress

# The engines that train and validate, as Ignite names their loggers.
_ENGINES = ("SupervisedTrainer", "SupervisedEvaluator")
_SHOWN = 3


def finetune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A CSV of studies and labels (`vpt phantom` makes one), a folder of studies that readers "
            "labelled, or the address of a DICOM archive.",
            show_default=False,
        ),
    ],
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    labels_dir: LabelsDirOption = None,
    pretraining: Annotated[
        str | None,
        typer.Option(
            help="What it starts from: see `vpt models`; ct, kinetics+ct or imagenet+ct with --start.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="The classifier to start from: nodule_swin_t, or nodule_swin_t:3.", show_default=False
        ),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="whole, head, or head_first: the head alone, then all.", show_default=False),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="How clips speak for a study without slices.", show_default=False)
    ] = None,
    augmentation: Annotated[
        str | None, typer.Option(help="auto, paper, light or none.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="At most; after each comes a validation.", show_default=False)
    ] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="Optimizer steps per epoch.", show_default=False)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Clips, or bags of clips, per step.", show_default=False)
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest one.", show_default=False)] = None,
    rate_search: Annotated[
        bool | None,
        typer.Option("--rate-search", help="Choose it on a tenth of the studies.", show_default=False),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without a better AUROC until it ends.", show_default=False)
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="0: one validation side; 2 to 10: each study is validated once. Not with a CSV that gives "
            "sides, as that of vpt phantom.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(help="youden, or for example sensitivity:0.95.", show_default=False)
    ] = None,
    comparison: Annotated[
        str | None,
        typer.Option(help="When it is served: better, significant or not_worse.", show_default=False),
    ] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION_HELP, show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random.", show_default=False)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting; may be repeated.", show_default=False),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Settings, one NAME: VALUE per line.", show_default=False),
    ] = None,
    report: Annotated[bool, typer.Option(help="Write figures and an HTML report beside the version.")] = True,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Learning curves for TensorBoard.", show_default=False)
    ] = None,
    mlflow: Annotated[
        Path | None, typer.Option(metavar="FILE.db", help="Figures for MLflow.", show_default=False)
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where prepared studies are kept.", show_default=False)
    ] = None,
    prepared_gb: Annotated[
        float,
        typer.Option(help="How large that may become; what is used least recently goes first.", min=0),
    ] = 50.0,
    prepared_hu: Annotated[
        bool,
        typer.Option(
            help="Keep studies there in HU, too, where there is room: another task need not read them again."
        ),
    ] = True,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a network on labelled studies, and serve it if it is better than what is served.

    The result is published as the next version of this task and model. It is compared with the served version
    on the same validation studies; where it is not better, it is kept as a candidate, and both figures are
    told. What is not given is as in the library (vpt_plugin.training.config). A training that is stopped or
    fails leaves what is served as it was.

    \b
    Examples:
      vpt finetune phantoms/manifest.csv --task nodule --model tiny
      vpt finetune /data/ct --task pe --model swin_t --pretraining kinetics --threshold sensitivity:0.95
      vpt finetune /data/ct --task pe --settings pe.yaml --set folds=5 --tensorboard curves
    """
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.finetune import finetune as run
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source
    from vpt_plugin.training.tracking import TrackingPlaces

    reading_task, spec = choose_task(task, task_file), get_model(model)
    options = {
        "pretraining": pretraining, "start": start, "train": train, "pooling": pooling,
        "augmentation": augmentation, "epochs": epochs, "steps_per_epoch": steps_per_epoch, "batch": batch,
        "learning_rate": learning_rate, "rate_search": rate_search, "patience": patience, "folds": folds,
        "threshold": threshold, "comparison": comparison, "precision": precision, "seed": seed,
    }  # fmt: skip
    config = FinetuneConfig.from_dict(training_settings(settings, set_ or (), options))
    store = ModelStore(models_dir)
    with _interruptible(), progress_display() as show:
        result = run(
            open_source(source, labels_dir=labels_dir),
            reading_task,
            spec,
            config,
            store=store,
            cache=cache,
            prepared_gb=prepared_gb,
            prepared_hu=prepared_hu,
            device=device,
            progress=show,
            tracking=TrackingPlaces(tensorboard, mlflow),
            report=report,
            by=who(),
        )
    if torchrun_rank() > 0:
        return  # the first process tells it
    typer.echo(result_in_words(result, store.current_version(reading_task.name, spec.name)))
    typer.echo(next_steps(result.card, task_file, models_dir))


def result_in_words(result: FinetuneResult, served: int | None) -> str:
    """What was published, what is to be known of it, what was decided, and where the report lies.

    Args:
        result: of the training.
        served: the version that is served now.
    """
    card = result.card
    name = f"{card.task}_{card.model}"
    parts = [card_in_words(card), *(f"warning: {warning}" for warning in result.warnings), result.decision]
    if left_out := result.left_out:
        more = [f"and {len(left_out) - _SHOWN} more: see above."] if len(left_out) > _SHOWN else []
        parts.insert(1, "\n".join([*map(plain, left_out[:_SHOWN]), *more]))
    if (seconds := card.training.get("seconds")) is not None:
        parts.append(f"It took {duration(seconds)}.")
    if result.served:
        parts.append(f"Served now: {name} version {card.version}.")
    else:
        others = f"Served now: {name} version {served}." if served else f"No version of {name} is served."
        parts.append(
            f"{others} Version {card.version} is a candidate; to serve it all the same:\n"
            f"  vpt versions promote {name} {card.version} --why TEXT"
        )
    if result.report is not None:
        parts.append(f"Report: {result.report}")
    return "\n\n".join(parts)


def next_steps(card: ModelCard, task_file: Path | None, models_dir: Path | None) -> str:
    """The commands that use the new model."""
    own_task = ["--task-file", task_file] if task_file else []
    own_place = ["--models-dir", models_dir] if models_dir else []
    classify = command_line(
        "vpt", "classify", "STUDY...", "--task", card.task, "--model", card.model, *own_task, *own_place
    )
    conf = [("tasks", card.task), ("models", card.model)]
    conf += [("task_file", str(task_file.absolute()))] if task_file else []
    # A server may be started elsewhere.
    conf += [("models_dir", str(models_dir.absolute()))] if models_dir else []
    # As `make serve`: threads that spin while they wait slow everything down beside another program.
    quiet = () if os.name == "nt" else ("OMP_WAIT_POLICY=PASSIVE",)
    serve = command_line(
        *quiet, "python", "-m", "monailabel.main", "start_server", "--host", "127.0.0.1",
        "--app", "apps/vptct", "--studies", "STUDIES",
        *(word for name, value in conf for word in ("--conf", name, value)),
    )  # fmt: skip
    return f"\nTo classify with what is served:\n  {classify}\nTo serve it to readers:\n  {serve}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl+C ends a training in words."""
    # The engines log the same interruption as a crash, each on a line of its own.
    loggers = [logging.getLogger(f"ignite.engine.engine.{name}") for name in _ENGINES]
    for logger in loggers:
        logger.addFilter(_no_interruption)
    try:
        yield
    except KeyboardInterrupt:
        print(
            "Stopped. What is served stays as it was; the same command goes on from the last whole epoch.",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    finally:
        for logger in loggers:
            logger.removeFilter(_no_interruption)


def _no_interruption(_: logging.LogRecord) -> bool:
    """Whether a line of a log is of anything but Ctrl+C, which is told in words."""
    return not isinstance(sys.exc_info()[1], KeyboardInterrupt)


@contextmanager
def progress_display() -> Iterator[Callable[[Progress], None]]:
    """A live bar on stderr where that is a terminal, else a line per epoch; the first process's alone."""
    if torchrun_rank() > 0:
        yield lambda now: None
        return
    from vpt_plugin.training.progress import Progress

    with progress_bars(time_left=False) as bars:
        bar = bars.add_task("starting", total=None)
        last = Progress("")

        def show(now: Progress) -> None:
            nonlocal last
            words = progress_in_words(now)
            bars.update(bar, description=words)
            # What has no steps, such as publishing, leaves the bar as full as it was.
            if now.steps:
                bars.update(bar, completed=now.step, total=now.steps)
            if now.note or (bars.disable and _is_news(now, last)):
                print(now.note or words, file=sys.stderr)
            last = now

        yield show


def _is_news(now: Progress, last: Progress) -> bool:
    """Whether progress deserves a line of a log: what is done now, and every epoch once it is validated."""
    if now.state == "validating":
        return False
    if (now.state, now.fold) != (last.state, last.fold):
        return True
    return now.epoch != last.epoch and now.validation_auroc is None
