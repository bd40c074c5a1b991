"""``vpt phantom``: made-up studies with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.console import progress_bars
from vpt_plugin.cli.words import command_line


def phantom(
    folder: Annotated[Path, typer.Argument(help="A new folder for the studies.", show_default=False)],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many studies.")] = 240,
    task: Annotated[
        str, typer.Option("--task", "-t", help="What they are labelled for: nodule or pe.")
    ] = "nodule",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="nifti, nrrd, mha or dicom; given more than once, the studies take turns. [default: nifti]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same studies.")] = 0,
    prevalence: Annotated[
        float, typer.Option(min=0, max=1, help="Share of them that show the task's finding.")
    ] = 0.5,
) -> None:
    """Make phantom studies with known truth.

    They are chest CTs drawn by numbers, with labels and a manifest to train from, for trying things out. A
    model trained on them must never be used on patients, and says so.

    \b
    Examples:
      vpt phantom phantoms --count 240 --task nodule
      vpt phantom phantoms --count 10 --task pe --format dicom --format nifti --seed 7
      vpt phantom rare --count 360 --task nodule --prevalence 0.1
    """
    from vpt_plugin.data.phantom import write_phantom_set

    with progress_bars() as progress:
        bar = progress.add_task("studies", total=count)
        manifest = write_phantom_set(
            folder,
            count=count,
            seed=seed,
            task=task,
            formats=tuple(formats or ["nifti"]),
            prevalence=prevalence,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    typer.echo(f"{count} studies in {folder}, listed with their labels in {manifest}.")
    train = command_line("vpt", "finetune", manifest, "--task", task, "--model", "tiny")
    typer.echo(f"\nTo train on them:\n  {train}")
