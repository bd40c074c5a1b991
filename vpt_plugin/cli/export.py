"""``vpt export`` and ``vpt import-bundle``: trained models for other programs, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.options import ModelsDirOption, TaskFileOption, choose_task, who
from vpt_plugin.cli.version_names import NameArgument, folder_of
from vpt_plugin.export import check_format


def export(
    name: NameArgument,
    kind: Annotated[
        str, typer.Option("--format", "-f", help="bundle (MONAI), torchscript or onnx.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A new folder (bundle) or file; by default NAME-v0001, NAME-v0001.ts or NAME-v0001.onnx.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", help="Its number; by default the served one.", min=1, show_default=False),
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
) -> None:
    """Write a trained model for other programs: as a MONAI bundle, as TorchScript or as ONNX.

    What is written is held against our own network first, to 1e-4, and says how a study is read for it: a
    bundle in its metadata, the others inside and in a file beside, NAME.onnx.json. A bundle answers for whole
    studies by itself. Nothing is overwritten. To another VPTCT a model goes with `vpt versions export`.

    \b
    Examples:
      vpt export nodule_tiny --format bundle
      vpt export nodule_swin_t --format onnx --version 3 -o swin_t.onnx
    """
    check_format(kind)
    folder = folder_of(name, models_dir)
    task = choose_task(folder.task, task_file)
    from vpt_plugin.export.version import export_version
    from vpt_plugin.training.model_store import ModelStore

    place, difference = export_version(
        ModelStore(models_dir), task, folder.model, kind, output, version=version
    )
    typer.echo(place)
    typer.echo(f"Held against our network: logits differ by {difference:.1g} at most.", err=True)


def import_bundle(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="Its folder, as `vpt export` wrote it.", show_default=False),
    ],
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it from now on; else it is a candidate.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="For the record, with --serve.", show_default=False)] = "",
    models_dir: ModelsDirOption = None,
) -> None:
    """Take a model back out of a MONAI bundle that VPTCT wrote, as the next version here.

    Its checksums are compared, and none of the bundle's code is run. A bundle of somebody else is refused: it
    does not say how a study is read for it.

    \b
    Example:
      vpt import-bundle nodule_tiny-v0003
    """
    from vpt_plugin.export.import_bundle import import_bundle as take
    from vpt_plugin.training.model_store import ModelStore

    card = take(bundle, ModelStore(models_dir), serve=serve, why=why, by=who())
    name = f"{card.task}_{card.model}"
    typer.echo(f"{bundle}: now version {card.version} of {name}.")
    if serve:
        typer.echo("It is served from now on.")
    else:
        typer.echo(f"It is a candidate: vpt versions promote {name} {card.version} --why TEXT serves it.")
