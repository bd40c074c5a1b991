"""``vpt versions check-precision``: whether a version may answer in bfloat16."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import counted, print_table
from vpt_plugin.cli.options import DeviceOption, LabelsDirOption, ModelsDirOption, TaskFileOption, choose_task
from vpt_plugin.cli.version_names import NameArgument, folder_of

if TYPE_CHECKING:
    from vpt_plugin.training.version_check import CheckedVersion


def check_precision(
    name: NameArgument,
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", help="By default the served one.", min=1, show_default=False),
    ] = None,
    studies: Annotated[
        str | None,
        typer.Option(
            "--studies",
            metavar="SOURCE",
            help="A folder of labelled studies, the address of an archive, or a CSV. By default those of the "
            "version's validation studies that are still prepared here. Of a version from elsewhere, whose "
            "validation studies nobody here knows, all labelled ones: naming them says that they may decide.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Begin no further study after that; by default all are measured. Too few decide nothing.",
            min=0,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
    labels_dir: LabelsDirOption = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where prepared studies are kept.", show_default=False)
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure how far bfloat16 moves a version's answers, on its validation studies; its card keeps it.

    Where no study's probability moves by more than 0.01 and no AUROC by more than 0.005, it answers in
    bfloat16 from then on, which is faster; else in float32. Every backend and every kind of device is
    measured by itself, so measure on the computer that answers. A training measures its own version.

    \b
    Examples:
      vpt versions check-precision nodule_swin_t
      vpt versions check-precision nodule_swin_t 3 --studies site/manifest.csv
    """
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source
    from vpt_plugin.training.version_check import check_version

    folder = folder_of(name, models_dir)
    with counted("studies") as show:
        checked = check_version(
            ModelStore(models_dir),
            choose_task(folder.task, task_file),
            folder.model,
            version,
            source=open_source(studies, labels_dir=labels_dir) if studies else None,
            cache=cache,
            device=device,
            most_seconds=math.inf if minutes is None else 60 * minutes,
            progress=show,
        )
    if as_json:
        found = {way: each.to_json() for way, each in checked.checks.items()}
        typer.echo(
            json.dumps({"version": checked.card.version, "own": checked.own, "checks": found}, indent=1)
        )
    else:
        _print(name, checked)


def _print(name: str, checked: CheckedVersion) -> None:
    rows = [
        (way, "bfloat16" if each.passed else "float32", each.words()) for way, each in checked.checks.items()
    ]
    print_table((f"{name} version {checked.card.version}", "answers in", "because"), rows)
    if not checked.own:
        typer.echo(
            "It is not known here which studies it was validated on, so these are other labelled ones. That "
            "they decide is your choice: take studies such as it will read."
        )
