"""``vpt skip``: give a study back with a reason, or let it be offered again."""

from __future__ import annotations

from typing import Annotated

import typer

from vpt_plugin.cli.options import LabelsDirOption, TaskFileOption, TaskOption, choose_task, who
from vpt_plugin.cli.worklist_options import HolderOption, StudiesArgument
from vpt_plugin.errors import ConfigurationError


def skip(
    studies: StudiesArgument,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's id.", show_default=False)],
    task: TaskOption = None,
    reason: Annotated[
        str,
        typer.Option(
            help="poor_quality, wrong_examination, unreadable, unsure or other.", show_default=False
        ),
    ] = "",
    comment: Annotated[str, typer.Option(help="More about it.", show_default=False)] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Offer a skipped study to everybody again.")] = False,
    reader: HolderOption = None,
    labels_dir: LabelsDirOption = None,
    task_file: TaskFileOption = None,
) -> None:
    """Say that you do not want to label a study, and why; it is given back.

    It is not offered to you again. What two readers skipped, and what somebody could not read, is offered to
    nobody until it is taken back with --undo. `vpt give-back` needs no reason, and offers it to you again.

    \b
    Examples:
      vpt skip studies p01--ct.nii.gz --task nodule --reason poor_quality --comment "breathing"
      vpt skip studies p01--ct.nii.gz --task nodule --undo
    """
    from vpt_plugin.cli.opened_studies import opened_studies, required
    from vpt_plugin.store.leases import FOLDER, SKIP_REASONS, LeaseBook

    if undo and reason:
        raise ConfigurationError(
            "--reason and --undo exclude each other;",
            "--reason skips the study, --undo lets it be offered again: give one of them.",
        )
    if not (undo or reason):
        raise ConfigurationError(
            f"it is not said why {study[:100]} is to be skipped;",
            f"give --reason ({', '.join(SKIP_REASONS)}), or --undo to have it offered again.",
        )
    reading_task, name = choose_task(task, task_file), reader or who()
    if not name:
        raise ConfigurationError("this computer does not say who you are;", "give --reader.")
    with opened_studies(studies, labels_dir, {}, new_labels=True) as (source, label_folder):
        leases, found = LeaseBook(label_folder.root / FOLDER), required(source, study)
        if undo:
            leases.unskip(found, name, task=reading_task.name)
            typer.echo(f"{found} is offered again.")
        else:
            leases.skip(found, name, reason, task=reading_task.name, comment=comment)
            typer.echo(f"{found} is skipped.")
