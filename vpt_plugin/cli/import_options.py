"""What the commands of ``vpt import`` have in common: their options, carrying out, the summary in words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vpt_plugin.cli.console import plain, print_table, progress_bars
from vpt_plugin.cli.words import command_line, count
from vpt_plugin.words import in_a_sentence, studies_in_words

if TYPE_CHECKING:
    from vpt_plugin.data.importers.import_run import ImportOutcome
    from vpt_plugin.data.importers.importer import Importer
    from vpt_plugin.data.manifest import ManifestStudy

ToOption = Annotated[
    Path,
    typer.Option("--to", help="The folder for the manifests and labels.", show_default=False),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="How many processes read. [default: the cores]", show_default=False
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Read everything, tell what would be done, write nothing.")
]
_SHOWN = 5
# The sides that a training needs, and for what.
_NEEDED = (("train", "train on"), ("validation", "validate on"))
_STOPPED = 130  # as shells have it for Ctrl+C


def carry_out(importer: Importer[Any], to: Path, workers: int | None, *, dry_run: bool) -> None:
    """Import with a progress bar, and print the summary and the next command.

    Raises:
        VptError: the import as a whole is not possible.
        typer.Exit: Ctrl+C was pressed.
    """
    from vpt_plugin.data.importers.import_run import run_import

    try:
        with progress_bars() as progress:
            bar = progress.add_task("studies", total=None)
            outcome = run_import(
                importer,
                to,
                workers=workers or os.cpu_count() or 1,
                dry_run=dry_run,
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
    except KeyboardInterrupt:
        kept = "" if dry_run else f" What was read is kept in {to}; the same command goes on from there."
        typer.echo(f"Stopped.{kept}", err=True)
        raise typer.Exit(_STOPPED) from None
    _print_outcome(outcome, to)


def _print_outcome(outcome: ImportOutcome, to: Path) -> None:
    patients = len({study.patient for study in outcome.studies})
    verb = "Imported" if outcome.manifests else "Would import"
    before = f", {outcome.unchanged:,} of them read by an earlier run" if outcome.unchanged else ""
    typer.echo(
        f"{verb} {studies_in_words(len(outcome.studies))} of {count(patients, 'patient')}{before}; "
        f"refused {len(outcome.refused):,}."
    )
    for note in outcome.set_notes:
        typer.echo(plain(note))
    _print_sides(outcome.studies)
    _print_some("Refused", outcome.refused)
    _print_some("Told of imported studies", {name: " ".join(notes) for name, notes in outcome.notes.items()})
    if outcome.manifests is None:
        typer.echo("Nothing was written: this was a dry run.")
        return
    _print_files(outcome, to)


def _print_sides(studies: tuple[ManifestStudy, ...]) -> None:
    from vpt_plugin.data.importers.written import strata_of
    from vpt_plugin.data.splits import SPLITS

    counts = Counter((stratum, study.split) for study in studies for stratum in strata_of(study))
    sizes = Counter(study.split for study in studies)
    rows = [("studies", *(f"{sizes[side]:,}" for side in SPLITS))]
    for stratum in sorted({stratum for stratum, _ in counts}):
        rows.append((stratum.replace("=", " "), *(f"{counts[stratum, side]:,}" for side in SPLITS)))
    print_table(("", *SPLITS), rows, right=SPLITS)


def _print_some(title: str, lines: Mapping[str, str]) -> None:
    """The first of them; the report has all."""
    if not lines:
        return
    typer.echo(f"{title}:")
    for name, text in list(lines.items())[:_SHOWN]:
        typer.echo(f"  {plain(name)}: {plain(text)}")
    if len(lines) > _SHOWN:
        typer.echo(f"  and {len(lines) - _SHOWN:,} more")


def _print_files(outcome: ImportOutcome, to: Path) -> None:
    from vpt_plugin.data.importers.import_run import REPORT

    assert outcome.manifests is not None
    fractions = ", ".join(
        f"{path.name} ({percent:g} % of the training side)"
        for percent, path in outcome.manifests.fractions.items()
    )
    typer.echo(f"Written to {to}: {outcome.manifests.whole.name}, {fractions}, {REPORT}.")
    following = []
    for task in sorted({task for study in outcome.studies for task in study.labels}):
        if lacking := _lacking(outcome.studies, task):
            typer.echo(
                f"{plain(task)}: {lacking}. Both sides need every finding present and absent: import more "
                f"studies, or change or empty the column split of {outcome.manifests.whole.name}."
            )
            continue
        file = outcome.task_files.get(task)
        named = ("--task-file", file) if file else ("--task", task)
        following.append(command_line("vpt", "finetune", outcome.manifests.whole, *named))
    if following:
        typer.echo("Next, for example:")
    for line in following:
        typer.echo(f"  {line}")


def _lacking(studies: tuple[ManifestStudy, ...], task: str) -> str:
    """The first state that a side lacks for a training, in words; "" where none does."""
    labels = [(study.split, study.labels[task]) for study in studies if task in study.labels]
    findings = sorted({name for _, label in labels for name in label.findings})
    for (side, purpose), finding in product(_NEEDED, findings):
        states = {
            label.findings[finding].state
            for own, label in labels
            if own == side and finding in label.findings
        }
        if lacking := next((state for state in ("present", "absent") if state not in states), ""):
            return f"too few to {purpose}: no {side} study has {in_a_sentence(finding)} {lacking}"
    return ""
