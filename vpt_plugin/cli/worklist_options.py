"""What ``vpt next``, ``worklist``, ``skip`` and ``give-back`` have in common: options, and what they open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.opened_studies import opened_studies

if TYPE_CHECKING:
    from vpt_plugin.active.offers import ActiveSettings, Wish
    from vpt_plugin.active.worklist import Worklist
    from vpt_plugin.store.leases import LeaseBook
    from vpt_plugin.store.source import StudySource
    from vpt_plugin.tasks import ReadingTask

StudiesArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDIES", help="A folder of studies, or the address of a DICOM archive.", show_default=False
    ),
]
StrategyOption = Annotated[
    str,
    typer.Option("--strategy", "-s", help="auto, random, typical, uncertain, diverse-uncertain or badge."),
]
NetworkOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="The network whose scores choose; by default the one that was served last.",
        show_default=False,
    ),
]
FindingOption = Annotated[
    str, typer.Option("--finding", help="Choose for this finding of the task only.", show_default=False)
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="YYYYMMDD", help="The first StudyDate.", show_default=False)
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="YYYYMMDD", help="The last StudyDate.", show_default=False)
]
UnseenOption = Annotated[
    bool, typer.Option("--unseen", help="Only studies that were never offered to this reader.")
]
ReaderOption = Annotated[
    str | None,
    typer.Option("--reader", help="Who reads; by default your login.", show_default=False),
]
HolderOption = Annotated[
    str | None,
    typer.Option(
        "--reader",
        help="Who reads; by default your login. Without a name, the holder that `vpt next` told.",
        show_default=False,
    ),
]
MinEachOption = Annotated[
    int, typer.Option(min=0, help="Of auto: labels of each state that end its cold start.")
]
RandomShareOption = Annotated[
    float, typer.Option(min=0, max=1, help="Of auto: the share of picks by chance.")
]
SeedOption = Annotated[
    int, typer.Option(min=0, help="Of all that is drawn; of a server the same as its active_seed.")
]


@dataclass(frozen=True)
class OpenedWorklist:
    """A worklist, and the studies and leases of it."""

    worklist: Worklist
    leases: LeaseBook
    studies: StudySource


@contextmanager
def opened_worklist(
    studies: str,
    labels_dir: Path | None,
    models_dir: Path | None,
    task: ReadingTask,
    settings: ActiveSettings,
    wish: Wish,
) -> Iterator[OpenedWorklist]:
    """The worklist of a task; a server may give out studies of the same folder meanwhile.

    Raises:
        ConfigurationError: there is no such folder or archive, or the wish cannot be met as it is written.
    """
    from vpt_plugin.active.standing import check_wish

    check_wish(wish, task.findings)
    with opened_studies(studies, labels_dir, {}, new_labels=True) as (source, label_folder):
        # Only now: torch takes seconds to load, which nobody should wait for to be refused.
        from vpt_plugin.active.worklist import Worklist
        from vpt_plugin.store.leases import FOLDER, LeaseBook
        from vpt_plugin.training.model_store import ModelStore

        leases = LeaseBook(label_folder.root / FOLDER, minutes=settings.lease_minutes)
        worklist = Worklist(source, label_folder, ModelStore(models_dir), leases, [task], settings)
        yield OpenedWorklist(worklist, leases, source)
