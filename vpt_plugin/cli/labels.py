"""``vpt labels``: what readers said, out of the folder and into it, its history, and whether all is well."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import print_or_write, progress_bars
from vpt_plugin.cli.labels_agreement import agreement
from vpt_plugin.cli.labels_lidc import import_lidc
from vpt_plugin.cli.labels_place import FolderArgument, place_of
from vpt_plugin.cli.options import LabelsDirOrLabelsOption
from vpt_plugin.cli.words import count
from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from vpt_plugin.store.exchange import ImportPlan
    from vpt_plugin.store.label_table import LabelEntry
    from vpt_plugin.store.labels import LabelFolder, SavedLabel

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Labels: check, history, agreement, export, import.\n\nFor example: vpt labels check studies",
)

_JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]
_TaskOption = Annotated[
    str | None, typer.Option("--task", "-t", help="Only this task's labels.", show_default=False)
]

app.command("import-lidc")(import_lidc)
app.command("agreement")(agreement)


@app.callback()
def _labels() -> None:
    # These commands tell of damaged files themselves; a log line beside that would only tell it twice.
    for module in ("label_versions", "label_conflicts", "worklist_history"):
        logging.getLogger(f"vpt_plugin.store.{module}").addHandler(logging.NullHandler())


@app.command()
def check(
    folder: FolderArgument, labels: LabelsDirOrLabelsOption = None, as_json: _JsonOption = False
) -> None:
    """Look whether all labels are well.

    Nothing is changed, and a server may run beside it. It tells the counts by task and state, damaged files,
    labels whose study is not there, labels that were set aside in a conflict, readers who disagree, studies
    that nobody is offered because they were skipped, what a stock MONAI Label left there and what killed
    programs left over. The exit code is 1 when something needs a person: a damaged file, a label without its
    study, a label that was set aside. The rest is told but is no fault.

    \b
    Examples:
      vpt labels check studies
      vpt labels check /srv/vptct/labels --json
      vpt labels check studies --labels-dir /srv/vptct/labels
    """
    from vpt_plugin.cli.labels_report import print_checkup
    from vpt_plugin.store.checkup import check_labels
    from vpt_plugin.store.stock import find_stock_files

    place = place_of(folder, labels)
    found = check_labels(place.labels(), place.study_ids(), find_stock_files(place.root))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        print_checkup(found, place)
    if found.needs_a_person:
        raise typer.Exit(1)


@app.command()
def history(
    folder: FolderArgument,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's id.", show_default=False)],
    task: _TaskOption = None,
    labels: LabelsDirOrLabelsOption = None,
    as_json: _JsonOption = False,
) -> None:
    """Show what was ever said of a study.

    Who, when and what, the oldest first, with what was set aside in a conflict and what is damaged.

    \b
    Examples:
      vpt labels history studies p01--ct.nii.gz
      vpt labels history studies p01--ct.nii.gz --task pe --json
    """
    from vpt_plugin.cli.labels_report import print_history
    from vpt_plugin.store.study_history import study_history

    found = study_history(place_of(folder, labels).labels(), study, task)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        print_history(found)


@app.command()
def export(
    folder: FolderArgument,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table, a row per finding.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document; the default.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new file; by default stdout.", show_default=False),
    ] = None,
    task: _TaskOption = None,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="The whole history, not the newest versions alone.")
    ] = False,
    labels: LabelsDirOrLabelsOption = None,
) -> None:
    """Write labels as JSON, or as a table for a spreadsheet.

    Both hold all that a label says, and `vpt labels import` takes both. A text in the table that a
    spreadsheet would take for a formula, a number or a date begins with an apostrophe.

    \b
    Examples:
      vpt labels export studies -o labels.json --all-versions
      vpt labels export studies --csv -o labels.csv
      vpt labels export studies --csv --task pe > pe.csv
    """
    from vpt_plugin.store.exchange import entries_of, write_document
    from vpt_plugin.store.label_table import ENCODING, write_table

    if as_csv and as_json:
        raise typer.BadParameter("use either --json or --csv, not both.")
    as_csv = as_csv or (not as_json and output is not None and output.suffix.lower() == ".csv")
    place = place_of(folder, labels)
    found = place.labels()
    entries = entries_of(found, task=task, all_versions=all_versions)
    data = write_table(entries).encode(ENCODING) if as_csv else write_document(entries).encode()
    print_or_write(data, output)
    studies = len({entry.study for entry in entries})
    typer.echo(f"{count(len(entries), 'label')} of {count(studies, 'study', 'studies')}.", err=True)
    if damaged := found.damaged():
        typer.echo(
            f"{count(len(damaged), 'damaged file')} left out: see `vpt labels check {folder}`.", err=True
        )
        raise typer.Exit(1)


@app.command("import")
def import_labels(
    folder: FolderArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What was exported, or another folder of labels.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and stop.")] = False,
    keep_unknown: Annotated[
        bool, typer.Option("--keep-unknown", help="Take labels of studies that are not there, too.")
    ] = False,
    labels: LabelsDirOrLabelsOption = None,
) -> None:
    """Add labels from a file or from another folder.

    The other folder may be a backup, or come from another computer. Nothing is replaced. What the history
    holds already is passed over; the rest becomes new versions, the oldest first, and the last of them then
    counts. One entry that cannot be used refuses the whole file before anything is written. Broken off, the
    same command goes on where it stopped.

    The exit code is 1 when labels were left out: of studies that are not there, or from damaged files.

    \b
    Examples:
      vpt labels import studies labels.csv --dry-run
      vpt labels import studies labels.json
      vpt labels import studies /media/backup/labels
    """
    from vpt_plugin.cli.labels_report import print_import
    from vpt_plugin.store.exchange import plan_import

    place = place_of(folder, labels, new=True)
    entries, damaged = _entries(source)
    studies = None if keep_unknown else place.study_ids()
    if studies is None and not keep_unknown:
        raise ConfigurationError(
            f"{folder}: which studies these labels are of is not known.",
            "Give the folder of the studies, or take labels of any study with --keep-unknown.",
        )
    target = place.labels()
    plan = plan_import(entries, target, studies)
    saved = [] if dry_run else _carry_out(plan, target)
    print_import(plan, saved, damaged, dry_run=dry_run)
    if plan.strangers or damaged:
        raise typer.Exit(1)


def _carry_out(plan: ImportPlan, target: LabelFolder) -> list[SavedLabel]:
    from vpt_plugin.store.exchange import carry_out

    with progress_bars() as progress:
        bar = progress.add_task("labels", total=len(plan.new))
        return carry_out(
            plan, target, progress=lambda done, total: progress.update(bar, completed=done, total=total)
        )


def _entries(source: Path) -> tuple[list[LabelEntry], Sequence[Path]]:
    """What is to be imported, and the damaged files that had to be left out."""
    from vpt_plugin.store.exchange import entries_of, read_exported

    if not source.is_dir():
        return read_exported(source), ()
    labels = place_of(source, None).labels()
    return entries_of(labels, all_versions=True), [each.path for each in labels.damaged()]
