"""``vpt labels agreement``: how well the readers of the same studies agree."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain, print_table
from vpt_plugin.cli.labels_place import FolderArgument, place_of
from vpt_plugin.cli.options import LabelsDirOption
from vpt_plugin.cli.words import count, figure
from vpt_plugin.labels import STATES
from vpt_plugin.tasks import TASKS

if TYPE_CHECKING:
    from vpt_plugin.active.agreement import Agreement, ReaderAgreement
    from vpt_plugin.store.labels import LabelFolder

# Fewer say so little that one should know.
_FEW_STUDIES = 20


def agreement(
    folder: FolderArgument,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Only this task's labels.", show_default=False)
    ] = None,
    only_ordered: Annotated[
        bool,
        typer.Option(
            "--only-ordered",
            help="Only second readings that the server or vpt next asked for; their readers were not shown "
            "the first label.",
        ),
    ] = False,
    labels_dir: LabelsDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Tell how well readers agree on studies that two or more of them have read.

    The first label of each reader counts. Cohen's kappa is the agreement beyond chance, with its 95 %
    interval over studies; beside it stand how often two readers say the same, and how often the one says
    present, or absent, where the other does. `vpt labels check` lists the studies on which they differ.

    \b
    Examples:
      vpt labels agreement studies
      vpt labels agreement studies --task pe --only-ordered
      vpt labels agreement /srv/vptct/labels --json
    """
    from vpt_plugin.active.agreement import SCHEMA, read_agreement
    from vpt_plugin.store.leases import FOLDER, LeaseBook

    place = place_of(folder, labels_dir)
    read = place.labels()
    history = LeaseBook(place.root / FOLDER).history()
    found = [
        read_agreement(name, _findings(read, name), read, history, only_ordered=only_ordered)
        for name in ([task] if task else _tasks(read))
    ]
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, "tasks": [each.to_json() for each in found]}, indent=1))
        return
    told = [each for each in found if each.studies]
    for each in told:
        _print(each)
    if not told:
        typer.echo(_nothing(task, only_ordered))


def _tasks(labels: LabelFolder) -> list[str]:
    return sorted({saved.task for saved in labels.newest()})


def _findings(labels: LabelFolder, task: str) -> list[str]:
    """Those that readers spoke of, in the order of the task where it is one of ours."""
    own = TASKS[task].findings if task in TASKS else ()
    said = {
        name for versions in labels.histories(task) for saved in versions for name in saved.label.findings
    }
    return [name for name in own if name in said] + sorted(said - set(own))


def _nothing(task: str | None, only_ordered: bool) -> str:
    of = f" for {task}" if task else ""
    ordered = "; leave --only-ordered out to count readings of any kind" if only_ordered else ""
    return (
        f"No study was read by two readers{of}{ordered}. With --conf double_read 0.1 a server has one in ten "
        "proposals read twice."
    )


def _print(found: ReaderAgreement) -> None:
    typer.echo(
        f"{found.task}: {count(found.studies, 'study', 'studies')} read by two or more readers; the second "
        f"reading of {found.ordered} was asked for."
    )
    _print_figures(("the first reader and the second", each) for each in found.overall)
    for each in found.overall:
        if each.studies:
            _print_confusion(each)
    if len({each.readers for each in found.pairs}) > 1:
        typer.echo("\nBy pair of readers")
        _print_figures((" and ".join(each.readers), each) for each in found.pairs)
    for note in _notes(found):
        typer.echo(note)
    typer.echo()


def _print_figures(rows: Iterable[tuple[str, Agreement]]) -> None:
    columns = ("finding", "readers", "studies", "the same", "kappa", "on present", "on absent")
    print_table(
        columns,
        [
            (
                each.finding,
                readers,
                str(each.studies),
                figure(each.observed),
                _kappa(each),
                *(figure(each.on(state)) for state in ("present", "absent")),
            )
            for readers, each in rows
        ],
        right=columns[2:],
    )


def _kappa(found: Agreement) -> str:
    """``0.400 [0.146, 0.641]``."""
    low, high = found.kappa.ci95
    interval = "" if math.isnan(found.kappa.value) else f" [{figure(low)}, {figure(high)}]"
    return f"{figure(found.kappa.value)}{interval}"


def _print_confusion(found: Agreement) -> None:
    typer.echo(f"{plain(found.finding)}: what the first reader said (lines) and the second (columns)")
    rows = [(state, *map(str, row)) for state, row in zip(STATES, found.table, strict=True)]
    print_table(("", *STATES), rows, right=STATES)


def _notes(found: ReaderAgreement) -> Sequence[str]:
    """What a person must know before believing these figures."""
    notes = []
    if found.ordered < found.studies:
        notes.append(
            "Who read a study without being asked for a second reading may have seen the first label; then "
            "the two agree more than two readers would. --only-ordered leaves those out."
        )
    if found.studies < _FEW_STUDIES:
        notes.append(f"{count(found.studies, 'study is', 'studies are')} few: look at the interval.")
    if any(math.isnan(each.kappa.value) and each.studies for each in found.overall):
        notes.append("kappa is n/a where both readers say one and the same of every study.")
    return notes
