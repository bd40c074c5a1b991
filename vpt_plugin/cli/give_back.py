"""``vpt give-back``: let others have the studies that are kept for you."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain
from vpt_plugin.cli.options import LabelsDirOption, who
from vpt_plugin.cli.worklist_options import HolderOption, StudiesArgument
from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from vpt_plugin.store.leases import LeaseBook
    from vpt_plugin.store.source import StudySource


def give_back(
    studies: StudiesArgument,
    study: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY]...", help="The studies' ids.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are kept for you.")] = False,
    reader: HolderOption = None,
    labels_dir: LabelsDirOption = None,
) -> None:
    """Give studies back that `vpt next` or a server keeps for you, without a reason.

    They may be offered to anybody at once, also to you: `vpt skip` is for those that you do not want to
    label. `vpt worklist STUDIES --held` lists what you have.

    \b
    Examples:
      vpt give-back studies p01--ct.nii.gz
      vpt give-back studies --all
    """
    from vpt_plugin.cli.opened_studies import opened_studies
    from vpt_plugin.store.leases import FOLDER, LeaseBook

    if everything == bool(study):
        raise ConfigurationError("it is not said what to give back;", "give the ids of studies, or --all.")
    name = reader or who()
    if not name:
        raise ConfigurationError("this computer does not say who you are;", "give --reader.")
    with opened_studies(studies, labels_dir, {}, new_labels=True) as (source, labels):
        book = LeaseBook(labels.root / FOLDER)
        yours = sorted(each.study for each in book.held().values() if each.holder == name)
        for each in yours if everything else study or ():
            typer.echo(plain(_given_back(book, source, each, name)))
        if everything and not yours:
            typer.echo("No study is kept for you.")


def _given_back(book: LeaseBook, source: StudySource, study: str, holder: str) -> str:
    """Give one back, also one that is no longer there; what became of it, in words."""
    from vpt_plugin.cli.opened_studies import required

    held = book.held()
    found = study if study in held else required(source, study)
    book.give_back(found, holder)
    return f"{found} is given back." if found in held else f"{found} was in nobody's hands."
