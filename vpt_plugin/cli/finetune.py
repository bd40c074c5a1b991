"""``vpt finetune``: a model from a site's own labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vpt_plugin.cli.console import progress_bars
from vpt_plugin.cli.options import (
    PRECISION_HELP,
    DeviceOption,
    ModelOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
)
from vpt_plugin.cli.words import card_in_words, command_line, progress_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpt_plugin.models.card import ModelCard
    from vpt_plugin.training.progress import Progress


def finetune(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="A CSV of studies, labels and splits; `vpt phantom` makes one.", show_default=False
        ),
    ],
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    pretraining: Annotated[
        str | None, typer.Option(help="What the network starts from: see `vpt models`.", show_default=False)
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Train the whole network, or its head alone.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="At most; after each comes a validation.", show_default=False)
    ] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="Optimizer steps per epoch.", show_default=False)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Clips per step.", show_default=False)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest one.", show_default=False)] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION_HELP, show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random.", show_default=False)] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a network on labelled studies.

    The result is published as the next version of this task and model, with its card in words at the end.
    What is not given is as in the library (vpt_plugin.training.config). A training that is stopped or fails
    leaves the published models as they were.

    \b
    Examples:
      vpt finetune phantoms/manifest.csv --task nodule --model tiny
      vpt finetune site/manifest.csv --task pe --model swin_t --pretraining kinetics --learning-rate 0.0001
    """
    from vpt_plugin.data.manifest import Manifest
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.finetune import finetune as run
    from vpt_plugin.training.model_store import ModelStore

    reading_task, spec = choose_task(task, task_file), get_model(model)
    given: dict[str, Any] = {
        "pretraining": pretraining, "train": train, "epochs": epochs, "steps_per_epoch": steps_per_epoch,
        "batch": batch, "learning_rate": learning_rate, "precision": precision, "seed": seed,
    }  # fmt: skip
    config = FinetuneConfig.from_dict({name: value for name, value in given.items() if value is not None})
    with progress_display() as show:
        result = run(
            Manifest.read(manifest),
            reading_task,
            spec,
            config,
            store=ModelStore(models_dir),
            device=device,
            progress=show,
        )
    typer.echo(card_in_words(result.card))
    for warning in result.warnings:
        typer.echo(f"\nwarning: {warning}")
    typer.echo(f"\n{result.decision}")
    typer.echo(next_steps(result.card, task_file, models_dir))


def next_steps(card: ModelCard, task_file: Path | None, models_dir: Path | None) -> str:
    """The commands that use the new model."""
    own_task = ["--task-file", task_file] if task_file else []
    own_place = ["--models-dir", models_dir] if models_dir else []
    classify = command_line(
        "vpt", "classify", "STUDY...", "--task", card.task, "--model", card.model, *own_task, *own_place
    )
    conf = [("tasks", card.task), ("models", card.model)]
    conf += [("task_file", str(task_file))] if task_file else []
    conf += [("models_dir", str(models_dir))] if models_dir else []
    serve = command_line(
        "python", "-m", "monailabel.main", "start_server", "--host", "127.0.0.1",
        "--app", "apps/vptct", "--studies", "STUDIES",
        *(word for name, value in conf for word in ("--conf", name, value)),
    )  # fmt: skip
    return f"\nTo classify with it:\n  {classify}\nTo serve it:\n  {serve}"


@contextmanager
def progress_display() -> Iterator[Callable[[Progress], None]]:
    """A live bar on stderr where that is a terminal, else a line per epoch."""
    with progress_bars(time_left=False) as bars:
        bar = bars.add_task("starting", total=None)
        last = ("", 0)

        def show(now: Progress) -> None:
            nonlocal last
            words = progress_in_words(now)
            bars.update(bar, description=words, completed=now.step, total=now.steps or None)
            if now.note or (bars.disable and (now.state, now.epoch) != last):
                print(now.note or words, file=sys.stderr)
            last = (now.state, now.epoch)

        yield show
