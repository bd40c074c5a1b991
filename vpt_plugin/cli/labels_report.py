"""What ``vpt labels`` prints for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vpt_plugin.cli.console import plain, print_table
from vpt_plugin.cli.words import command_line, count
from vpt_plugin.labels import STATES, StudyLabel

if TYPE_CHECKING:
    from vpt_plugin.cli.labels_place import Place
    from vpt_plugin.store.checkup import Checkup, Orphan
    from vpt_plugin.store.exchange import Followed, ImportPlan
    from vpt_plugin.store.labels import DamagedLabel, Disagreement, SavedLabel, SetAsideLabel
    from vpt_plugin.store.study_history import StudyHistory
    from vpt_plugin.store.worklist_check import WorklistCheck

_MAX_SHOWN = 20


def print_checkup(found: Checkup, place: Place) -> None:
    """All that a checkup found, and what to do about it."""
    typer.echo(f"Labels in {place.root}: of {count(found.labelled, 'study', 'studies')}.")
    if found.studies is None:
        typer.echo("Whether these studies are there is not looked at: their folder is not known.")
    else:
        typer.echo(f"Studies in {place.studies_root}: {found.studies}.")
    if found.counts:
        rows = [(task, *(str(states[state]) for state in STATES)) for task, states in found.counts.items()]
        print_table(("task", *STATES), rows, right=STATES)
    root = place.root
    print_section(
        "Damaged files; the newest readable version counts", [_damaged(each) for each in found.damaged]
    )
    print_section("Labels whose study is not there", [_orphan(each, root) for each in found.orphans])
    print_section("Set aside in a conflict and not settled", [_aside(each, root) for each in found.set_aside])
    print_section(
        "Readers who disagree; the newest label counts", [_disagreement(each) for each in found.disagreements]
    )
    print_section(
        "Left by a stock MONAI Label, which VPTCT never changes",
        [f"{each.path}: {each.what}" for each in found.stock],
    )
    print_section(
        "Left over from programs that were killed; the server sweeps it when it starts",
        [str(path) for path in found.leftovers],
    )
    _print_worklist(found.worklist)
    things = len(found.damaged) + len(found.orphans) + len(found.set_aside)
    verdict = "All is well." if found.labelled else "There are no labels yet."
    typer.echo(f"\n{count(things, 'thing needs', 'things need')} a person." if things else f"\n{verdict}")


def _print_worklist(found: WorklistCheck) -> None:
    if found.held:
        typer.echo(f"\n{count(found.held, 'study is', 'studies are')} in a reader's hands at the moment.")
    closed = [
        f"{each.study} {each.task}: {', '.join(f'{_named(who)} said {why}' for who, why in each.reasons)}"
        for each in found.closed
    ]
    print_section("Skipped, so that nobody is offered them until `vpt skip --undo`", closed)
    print_section(
        "Damaged in the worklist, on which no label depends",
        [f"{path}: {problem}" for path, problem in found.damaged],
    )


def print_section(title: str, items: Sequence[str]) -> None:
    """Some things under a title that counts them; nothing where there are none."""
    if not items:
        return
    typer.echo(f"\n{title}: {len(items)}")
    for item in items[:_MAX_SHOWN]:
        typer.echo("  " + plain(item).replace("\n", "\n    "))
    if len(items) > _MAX_SHOWN:
        typer.echo(f"  and {len(items) - _MAX_SHOWN} more.")


def _damaged(each: DamagedLabel) -> str:
    way_out = (
        "Remove the file." if each.unfinished else "Take it from a backup, or move it out of the folder."
    )
    return f"{each.path}: {each.problem}\n{way_out}"


def _orphan(each: Orphan, root: Path) -> str:
    from vpt_plugin.store.label_folders import folder_of

    told = f"{each.study} ({', '.join(each.tasks)})"
    if not each.moved_to:
        folder = folder_of(root / "final", each.study)
        return f"{told}\nPut the study back; or, if it is elsewhere now, rename {folder}"
    move = "move" if os.name == "nt" else "mv"
    commands = [
        command_line(move, folder, folder_of(root / part, each.moved_to))
        for part in ("final", "conflicts")
        if (folder := folder_of(root / part, each.study)).is_dir()
    ]
    return "\n".join([f"{told}: perhaps it is {each.moved_to} now. If so:", *commands])


def _aside(each: SetAsideLabel, root: Path) -> str:
    see = command_line("vpt", "labels", "history", root, each.study, "--task", each.task)
    return (
        f"{each.study} {each.task}: {_who(each.label)} said {_says(each.label)}; made upon "
        f"{_version(each.expected_version)}, when version {each.newest_version} was there already\n"
        f"See both with `{see}`. {_settling(each)}"
    )


def _settling(each: SetAsideLabel) -> str:
    if each.label.annotator:
        return f"It is settled when {_who(each.label)} labels the study again."
    return f"Nobody knows whose it is: when it is settled, move {each.path} away."


def _version(number: int) -> str:
    return f"version {number}" if number else "no version"


def _disagreement(each: Disagreement) -> str:
    said = "; ".join(
        f"{_who(saved.label)} (version {saved.version}): {_says(saved.label, each.findings)}"
        for _, saved in sorted(each.labels.items())
    )
    return f"{each.study} {each.task}: {said}"


def print_history(found: StudyHistory) -> None:
    """A table for each task; below it what was set aside and what is damaged."""
    for task, versions in groupby(found.versions, key=lambda saved: saved.task):
        typer.echo(f"{found.study} {task}")
        rows = [_history_row(str(saved.version), saved) for saved in versions]
        rows += [_history_row("set aside", aside) for aside in found.set_aside if aside.task == task]
        print_table(("version", "saved", "annotator", "says", "comment"), rows, right=("version",))
    tasks = {saved.task for saved in found.versions}
    for aside in found.set_aside:
        if aside.task not in tasks:
            said = f"{_who(aside.label)}: {_says(aside.label)}"
            typer.echo(plain(f"{found.study} {aside.task}: set aside: {said}"))
    for damaged in found.damaged:
        typer.echo(plain(f"damaged: {_damaged(damaged)}").replace("\n", " "))


def _history_row(version: str, saved: SavedLabel | SetAsideLabel) -> tuple[str, ...]:
    # The milliseconds are for programs.
    when = saved.saved[:19] + "Z"
    return version, when, saved.label.annotator, _says(saved.label), saved.label.comment


def print_import(
    plan: ImportPlan, saved: Sequence[SavedLabel], damaged: Sequence[Path], *, dry_run: bool
) -> None:
    """What an import did or, dry, would do."""
    new = count(len(plan.new), "label")
    typer.echo(f"{new} would be added." if dry_run else f"{new} added.")
    print_section(
        "Would be added" if dry_run else "Added",
        [f"{each.study} {each.task} version {each.version}" for each in saved]
        or [f"{each.study} {each.label.task} ({each.place})" for each in plan.new],
    )
    if plan.known:
        typer.echo(f"{count(len(plan.known), 'label is', 'labels are')} there already.")
    counts = "would no longer count" if dry_run else "no longer counts"
    print_section(
        f"The newest label until now, by another reader or of a later time, {counts}",
        [_followed(each) for each in plan.followed],
    )
    strangers = sorted({each.study for each in plan.strangers})
    print_section(
        "Left out, for their studies are not there; --keep-unknown takes their labels, too", strangers
    )
    print_section("Damaged, so left out", [str(path) for path in damaged])


def _followed(each: Followed) -> str:
    before = each.newest
    return (
        f"{before.study} {before.task}: version {before.version} by {_when(before.label)} is followed by "
        f"{_when(each.entry.label)}"
    )


def _when(label: StudyLabel) -> str:
    return f"{_who(label)} ({label.created or 'at no known time'})"


def _who(label: StudyLabel) -> str:
    return _named(label.annotator)


def _named(reader: str) -> str:
    # On one line: a name must not look like a line of this program's.
    return " ".join(reader.split()) or "a reader without a name"


def _says(label: StudyLabel, findings: Sequence[str] = ()) -> str:
    """``lung_nodule present at -142.5 to -118.0 mm (certain)``."""
    parts = []
    for name, finding in label.findings.items():
        if not findings or name in findings:
            at = ", ".join(f"{low:g} to {high:g}" for low, high in finding.slices_mm or ())
            sure = f" ({finding.confidence})" if finding.confidence else ""
            parts.append(f"{name} {finding.state}{f' at {at} mm' if at else ''}{sure}")
    return ", ".join(parts)
