"""``vpt evaluate``: what a version is worth on the test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import counted, plain, print_table
from vpt_plugin.cli.options import (
    DeviceOption,
    LabelsDirOption,
    ModelOption,
    ModelsDirOption,
    PrecisionOption,
    TaskFileOption,
    TaskOption,
    choose_task,
)
from vpt_plugin.cli.split import SourceArgument
from vpt_plugin.cli.versions_evidence import print_coverage
from vpt_plugin.cli.words import count, estimate_in_words

if TYPE_CHECKING:
    from vpt_plugin.training.evaluation import Evaluation

_SHOWN = 10


def evaluate(
    source: SourceArgument,
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    version: Annotated[
        int | None, typer.Option(help="Which one; by default the one that is served.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
    labels_dir: LabelsDirOption = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where prepared studies are kept.", show_default=False)
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Evaluate a version on the test set: on the patients that `vpt split lock` locked, or a CSV's test rows.

    Studies that the version has seen are left out. Each look is noted, see `vpt split show`: whoever looks
    often, and keeps what looks best, has chosen by the test set, and its figures flatter.

    \b
    Examples:
      vpt evaluate studies --task nodule --model swin_t
      vpt evaluate site/manifest.csv --task pe --model swin_t --version 3
    """
    from vpt_plugin.training.evaluation import evaluate as run
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source

    reading_task = choose_task(task, task_file)
    with counted("test set") as show:
        found = run(
            open_source(source, labels_dir=labels_dir),
            reading_task,
            model,
            version,
            store=ModelStore(models_dir),
            cache=cache,
            device=device,
            precision=precision,
            progress=show,
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        _print(found)


def _print(found: Evaluation) -> None:
    from vpt_plugin.training.metrics import FIGURES

    card = found.card
    typer.echo(
        f"{card.task}/{card.model} version {card.version} on the test set: "
        f"{count(found.studies, 'study', 'studies')} of {count(found.patients, 'patient')}."
    )
    for finding, metrics in found.metrics.items():
        rows = [(FIGURES[name].title, estimate_in_words(each)) for name, each in metrics.items()]
        print_table((finding, "95 % interval over patients"), rows)
        if coverage := found.coverage.get(finding):
            print_coverage("Present, absent or unsure, decided by its validation studies:", coverage)
    if found.seen:
        names = ", ".join(found.seen[:_SHOWN]) + (", ..." if len(found.seen) > _SHOWN else "")
        typer.echo(
            f"Left out, because this version has seen them: {count(len(found.seen), 'study', 'studies')} "
            f"({plain(names)})."
        )
    for reason, number in sorted(found.left_out.items()):
        typer.echo(f"Left out, {reason}: {count(number, 'study', 'studies')}.")
    for warning in found.warnings:
        typer.echo(f"Warning: {warning}")
    looks = f"look number {found.looks} at it" if found.looks > 1 else "the first look at it"
    typer.echo(f"This was {looks}.")
