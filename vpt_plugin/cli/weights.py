"""``vpt weights``: pretrained weights on this computer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import print_error, print_table, progress_bars
from vpt_plugin.cli.words import megabytes
from vpt_plugin.errors import WeightsError
from vpt_plugin.models.sources import WEIGHTS, WeightsSource, get_source

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Pretrained weights: list, fetch, import, verify.\n\nFor example: vpt weights fetch swin_t",
)

_Names = Annotated[
    list[str], typer.Argument(metavar="NAME", help="As `vpt weights list` calls them.", show_default=False)
]


@app.command("list")
def list_weights() -> None:
    """The published weights there are, their licences, and which are on this computer.

    \b
    Example:
      vpt weights list
    """
    from vpt_plugin.models.weights import WeightsFolder

    folder = WeightsFolder()
    rows = [
        (
            source.name,
            ", ".join((source.model, *source.also_for)),
            source.pretraining,
            megabytes(source.bytes),
            "yes" if folder.has(source) else "no",
            source.url,
        )
        for source in WEIGHTS.values()
    ]
    print_table(("name", "model", "pretraining", "size", "on disk", "published at"), rows, right=("size",))
    licences: dict[str, list[str]] = {}
    for source in WEIGHTS.values():
        licences.setdefault(source.licence, []).append(source.name)
    for licence, names in licences.items():
        typer.echo(f"Licence of {', '.join(names)}: {licence}")


@app.command()
def fetch(names: _Names) -> None:
    """Download weights from their publishers; a download that was cut off goes on where it stopped.

    \b
    Examples:
      vpt weights fetch swin_t
      vpt weights fetch slow_r50 slowfast_r50 csn_r101
    """
    from vpt_plugin.models.weights import WeightsFolder

    folder = WeightsFolder()
    with progress_bars() as progress:
        for source in _sources(names):
            bar = progress.add_task(f"bytes of {source.name}", total=source.bytes)
            path = folder.fetch(source, progress=partial(_advance, progress, bar))
            typer.echo(f"{source.name}: {path}")


def _advance(progress: Progress, bar: TaskID, done: int, total: int | None) -> None:
    progress.update(bar, completed=done, total=total)


@app.command("import")
def import_weights(
    name: Annotated[str, typer.Argument(help="As `vpt weights list` calls it.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="The downloaded file.", show_default=False)],
) -> None:
    """Take weights from a file, for computers without internet.

    The file is loaded once to see that every entry is there; then it is copied.

    \b
    Example:
      vpt weights import swin_t /media/usb/swin3d_t-7615ae03.pth
    """
    from vpt_plugin.models.weights import WeightsFolder

    (source,) = _sources([name])
    typer.echo(f"{source.name}: {WeightsFolder().import_file(source, file)}")


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="By default all that are here.", show_default=False),
    ] = None,
) -> None:
    """Check weights on this computer against their checksums.

    \b
    Examples:
      vpt weights verify
      vpt weights verify swin_t
    """
    from vpt_plugin.models.weights import WeightsFolder

    folder = WeightsFolder()
    sources = _sources(names) if names else [each for each in WEIGHTS.values() if folder.has(each)]
    if not sources:
        typer.echo("There are no weights on this computer yet: `vpt weights fetch NAME` downloads them.")
    bad = 0
    for source in sources:
        try:
            folder.verify(source)
            typer.echo(f"{source.name}: as it should be")
        except WeightsError as error:
            print_error(error)
            bad += 1
    if bad:
        raise typer.Exit(1)


def _sources(names: Sequence[str]) -> list[WeightsSource]:
    """The sources of those names; all are looked up before anything is done."""
    return [get_source(name) for name in names]
