"""``vpt split``: who is trained on, validated on and tested on; the test set, locked and unlocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.options import LabelsDirOption, TaskFileOption, TaskOption, choose_task
from vpt_plugin.cli.words import count, figure

if TYPE_CHECKING:
    from vpt_plugin.data.split_file import Look
    from vpt_plugin.training.test_set import SideCounts

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who is trained on, validated on and tested on: show, lock, unlock.\n\n"
    "For example: vpt split lock studies --task nodule --share 0.2",
)
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of labelled studies, the address of an archive, or a CSV.",
        show_default=False,
    ),
]


@app.command("show")
def show(
    source: SourceArgument,
    task: TaskOption = None,
    labels_dir: LabelsDirOption = None,
    task_file: TaskFileOption = None,
) -> None:
    """Show how many patients and studies are on each side, and every look at the test set.

    A patient keeps his side for ever; whoever has none yet gets one when the task is trained next. Under 100
    labelled studies there are no sides but the test set: every study is validated once, in folds, and whoever
    took part in them is shown as such.

    \b
    Example:
      vpt split show studies --task nodule
    """
    from vpt_plugin.training.sources import open_source
    from vpt_plugin.training.test_set import show_split

    reading_task = choose_task(task, task_file)
    found = show_split(open_source(source, labels_dir=labels_dir), reading_task)
    if not found.sides:
        typer.echo(f"No study is labelled for {reading_task.name}.")
        return
    states = [f"{name} {state}" for name in reading_task.findings for state in ("present", "absent")]
    columns = ("side", "patients", "studies", *states)
    print_table(columns, [_row(each) for each in found.sides], right=columns[1:])
    first, last = found.locked_since
    if first:
        typer.echo(f"Test set locked: {first}" + ("" if first == last else f", last added to {last}") + ".")
    _print_looks(found.looks)


@app.command("lock")
def lock(
    source: SourceArgument,
    task: TaskOption = None,
    share: Annotated[float, typer.Option(help="Of the patients, for the test set.")] = 0.15,
    labels_dir: LabelsDirOption = None,
    task_file: TaskFileOption = None,
) -> None:
    """Lock patients away as the test set: nothing is trained on them or chosen by them.

    Every state of every finding has its share in it; which patients it is, a hash decides. Patients of the
    validation side are passed over. All later studies of the locked ones belong to the test set, too. Done
    again after more labels have come, it adds patients until the share is right; nobody leaves. `vpt
    evaluate` gives the figures on it.

    \b
    Examples:
      vpt split lock studies --task nodule
      vpt split lock site/manifest.csv --task pe --share 0.2
    """
    from vpt_plugin.training.sources import open_source
    from vpt_plugin.training.test_set import lock_test_set

    reading_task = choose_task(task, task_file)
    locked = lock_test_set(open_source(source, labels_dir=labels_dir), reading_task, share)
    typer.echo(
        f"The test set of {reading_task.name}: {count(locked.patients, 'patient')}, "
        f"{count(locked.studies, 'study', 'studies')}; {locked.new} of the patients are new in it."
    )
    if locked.seen:
        typer.echo(
            f"{locked.seen} of these were trained on or validated on before: no version that saw them can be "
            "evaluated on them. Train again."
        )


@app.command("unlock")
def unlock(
    source: SourceArgument,
    task: TaskOption = None,
    labels_dir: LabelsDirOption = None,
    task_file: TaskFileOption = None,
) -> None:
    """Give the patients of the test set free: the next training decides their side.

    What is trained then may learn from them, and can never be evaluated on them again.

    \b
    Example:
      vpt split unlock studies --task nodule
    """
    from vpt_plugin.training.sources import open_source
    from vpt_plugin.training.test_set import unlock_test_set

    reading_task = choose_task(task, task_file)
    free = unlock_test_set(open_source(source, labels_dir=labels_dir), reading_task)
    typer.echo(f"{count(free, 'patient')} of {reading_task.name} may be trained on and validated on again.")


def _row(side: SideCounts) -> tuple[str, ...]:
    states = (str(number) for each in side.states.values() for number in each.values())
    return side.side, str(side.patients), str(side.studies), *states


def _print_looks(looks: tuple[Look, ...]) -> None:
    if not looks:
        return
    typer.echo(f"Looked at {count(len(looks), 'time')}:")
    rows = [(each.when, each.model, str(each.studies), _aurocs(each)) for each in looks]
    print_table(("when", "version", "studies", "AUROC"), rows, right=("studies",))


def _aurocs(look: Look) -> str:
    return "; ".join(
        f"{name} {figure(float('nan') if value is None else value)}" for name, value in look.auroc.items()
    )
