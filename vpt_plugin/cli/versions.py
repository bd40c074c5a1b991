"""``vpt versions``: the versions of the models trained here, and which of them is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vpt_plugin.cli.console import plain
from vpt_plugin.cli.options import ModelsDirOption, who
from vpt_plugin.cli.version_names import NameArgument, folder_of
from vpt_plugin.cli.versions_evidence import check_evidence
from vpt_plugin.cli.versions_precision import check_precision
from vpt_plugin.cli.words import count

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Versions of trained models: list, show, compare, promote, rollback, export, import, prune, "
    "check-precision, check-evidence."
    "\n\nFor example: vpt versions promote nodule_tiny 3 --why 'better on our own studies'",
)

_Version = Annotated[int, typer.Argument(metavar="VERSION", help="Its number.", min=1, show_default=False)]
_WhyOption = Annotated[
    str, typer.Option("--why", help="For the record, for whoever wonders later.", show_default=False)
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]


@app.command("list")
def list_versions(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only this one: <task>_<model>.", show_default=False),
    ] = None,
    models_dir: ModelsDirOption = None,
    as_json: _JsonOption = False,
) -> None:
    """All versions, which of them are served, and how good they were found to be.

    The exit code is 1 where a version, or the record of what is served, is damaged.

    \b
    Examples:
      vpt versions list
      vpt versions list nodule_tiny --json
    """
    from vpt_plugin.cli.versions_report import listing, print_listing
    from vpt_plugin.training.model_store import ModelStore

    found = listing([folder_of(name, models_dir)] if name else ModelStore(models_dir).folders())
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in found], indent=1))
    else:
        print_listing(found)
    if any(each.problem for each in found):
        raise typer.Exit(1)


@app.command()
def show(
    name: NameArgument,
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", help="By default the served one.", min=1, show_default=False),
    ] = None,
    models_dir: ModelsDirOption = None,
    as_json: _JsonOption = False,
) -> None:
    """The card of a version, and when and why it was served.

    \b
    Examples:
      vpt versions show nodule_tiny
      vpt versions show nodule_tiny 2 --json
    """
    from vpt_plugin.cli.versions_report import print_card
    from vpt_plugin.inference.typicality import LostReference
    from vpt_plugin.training.model_store import ModelStore

    folder = folder_of(name, models_dir)
    store = ModelStore(models_dir)
    card = store.card(folder.task, folder.model, version)
    if as_json:
        served = folder.served().to_json()
        typer.echo(json.dumps({"card": card.to_json(), "served": served}, indent=1))
    else:
        reference = store.reference(card)
        lost = reference.why if isinstance(reference, LostReference) else ""
        print_card(card, folder.served(), lost=lost)


@app.command()
def compare(
    name: NameArgument,
    first: _Version,
    second: _Version,
    models_dir: ModelsDirOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Two versions side by side, and which is better on the studies that both were validated on.

    Their figures may be compared where both were found on the same studies. Beside them stands what both
    said of each study that neither had learned from, with the share of resamples that speaks for the second.

    \b
    Examples:
      vpt versions compare nodule_tiny 2 3
      vpt versions compare nodule_tiny 2 3 --json
    """
    from vpt_plugin.cli.versions_report import comparability, print_comparison
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.recorded import compare_recorded

    folder, store = folder_of(name, models_dir), ModelStore(models_dir)
    cards = (
        store.card(folder.task, folder.model, first),
        store.card(folder.task, folder.model, second),
    )
    recorded = compare_recorded(store, folder.task, folder.model, first, second)
    if as_json:
        comparable, explanation = comparability(*cards)
        answer: dict[str, Any] = {"comparable": comparable, "explanation": explanation}
        answer["on_the_same_studies"] = recorded.figures_json() if recorded else None
        typer.echo(json.dumps({**answer, "versions": [card.to_json() for card in cards]}, indent=1))
    else:
        print_comparison(*cards, recorded)


@app.command()
def promote(
    name: NameArgument, version: _Version, why: _WhyOption, models_dir: ModelsDirOption = None
) -> None:
    """Serve this version from now on; a running server takes it at the next request.

    It is loaded first: a damaged version is refused, and what was served stays.

    \b
    Example:
      vpt versions promote nodule_tiny 3 --why "better on the studies of our second scanner"
    """
    from vpt_plugin.training.model_store import ModelStore

    folder = folder_of(name, models_dir)
    card = ModelStore(models_dir).promote(folder.task, folder.model, version, why=why, by=who())
    typer.echo(f"{name}: version {card.version} is served from now on.")
    for warning in card.training.get("warnings", ()):
        typer.echo(plain(f"warning: {warning}"))


@app.command()
def rollback(name: NameArgument, why: _WhyOption, models_dir: ModelsDirOption = None) -> None:
    """Serve again what was served before. Twice goes back two versions.

    \b
    Example:
      vpt versions rollback nodule_tiny --why "misses nodules in the apices"
    """
    from vpt_plugin.training.model_store import ModelStore

    folder = folder_of(name, models_dir)
    card = ModelStore(models_dir).rollback(folder.task, folder.model, why=why, by=who())
    typer.echo(f"{name}: version {card.version} is served again.")


@app.command()
def export(
    name: NameArgument,
    version: _Version,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A zip file or a new folder; by default NAME-v0001.zip.",
            show_default=False,
        ),
    ] = None,
    models_dir: ModelsDirOption = None,
) -> None:
    """Write a version into a file for another computer. It is checked first; nothing is overwritten.

    \b
    Examples:
      vpt versions export nodule_tiny 3
      vpt versions export nodule_tiny 3 -o /media/usb/nodule_tiny.zip
    """
    from vpt_plugin.training.model_store import ModelStore

    folder = folder_of(name, models_dir)
    into = output or Path(f"{name}-v{version:04d}.zip")
    typer.echo(ModelStore(models_dir).export(folder.task, folder.model, version, into))


@app.command("import")
def import_version(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What was exported.", show_default=False)],
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it from now on; else it is a candidate.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="For the record, with --serve.", show_default=False)] = "",
    models_dir: ModelsDirOption = None,
) -> None:
    """Take a version from another computer. It gets the next number here.

    Its checksum is checked and it is loaded once. Nothing that is here is replaced.

    \b
    Examples:
      vpt versions import /media/usb/nodule_tiny.zip
      vpt versions import /media/usb/nodule_tiny.zip --serve --why "trained in Leipzig"
    """
    from vpt_plugin.training.model_store import ModelStore

    card = ModelStore(models_dir).import_(source, serve=serve, why=why, by=who())
    name = f"{card.task}_{card.model}"
    typer.echo(f"{source}: now version {card.version} of {name}.")
    if serve:
        typer.echo("It is served from now on.")
    else:
        typer.echo(f"It is a candidate: vpt versions promote {name} {card.version} --why TEXT serves it.")


@app.command()
def prune(
    name: NameArgument,
    keep: Annotated[int, typer.Option("--keep", help="How many of the newest stay.", show_default=False)],
    rollback_too: Annotated[
        bool, typer.Option("--rollback-too", help="Remove even what a rollback would serve.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed, and stop.")] = False,
    models_dir: ModelsDirOption = None,
) -> None:
    """Remove old versions for good; never the served one, nor the one that a rollback would serve.

    \b
    Examples:
      vpt versions prune nodule_tiny --keep 5 --dry-run
      vpt versions prune nodule_tiny --keep 5
    """
    from vpt_plugin.training.model_store import ModelStore

    folder, store = folder_of(name, models_dir), ModelStore(models_dir)
    choose = store.prunable if dry_run else store.prune
    removed = choose(folder.task, folder.model, keep=keep, rollback_too=rollback_too)
    numbers = f": {', '.join(map(str, removed))}" if removed else ""
    typer.echo(f"{name}: {count(len(removed), 'version')} {'to remove' if dry_run else 'removed'}{numbers}.")


app.command("check-precision")(check_precision)
app.command("check-evidence")(check_evidence)
