"""``vpt worklist``: the order in which a strategy would propose the studies, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.console import plain, print_or_write
from vpt_plugin.cli.held import held_rows, held_table
from vpt_plugin.cli.options import (
    LabelsDirOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
    who,
)
from vpt_plugin.cli.words import count
from vpt_plugin.cli.worklist_options import (
    FindingOption,
    FromOption,
    MinEachOption,
    NetworkOption,
    RandomShareOption,
    ReaderOption,
    SeedOption,
    StrategyOption,
    StudiesArgument,
    ToOption,
    UnseenOption,
    opened_worklist,
)
from vpt_plugin.errors import ConfigurationError


def worklist(
    studies: StudiesArgument,
    task: TaskOption = None,
    strategy: StrategyOption = "auto",
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many studies.")] = 100,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new file; by default stdout.", show_default=False),
    ] = None,
    held: Annotated[
        bool, typer.Option("--held", help="Instead: the studies that are kept for you, and until when.")
    ] = False,
    everybody: Annotated[bool, typer.Option("--all", help="With --held: those of all readers.")] = False,
    reader: ReaderOption = None,
    finding: FindingOption = "",
    date_from: FromOption = "",
    date_to: ToOption = "",
    unseen: UnseenOption = False,
    min_each: MinEachOption = 5,
    random_share: RandomShareOption = 0.1,
    seed: SeedOption = 0,
    model: NetworkOption = "",
    labels_dir: LabelsDirOption = None,
    models_dir: ModelsDirOption = None,
    task_file: TaskFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """List the studies without a label in the order in which they would be proposed, as CSV.

    Each has its score, the reason, the probability of each finding and the labelled study most like it. No
    study is kept for anybody: `vpt next` does that. Left out are studies that a reader has, that you skipped
    and that cannot be read.

    \b
    Examples:
      vpt worklist studies --task nodule > worklist.csv
      vpt worklist studies --task nodule --strategy uncertain -n 1000 -o worklist.csv
      vpt worklist studies --held
    """
    from vpt_plugin.active.offers import ActiveSettings, Wish
    from vpt_plugin.active.worklist_table import ENCODING, worklist_table

    if everybody and not held:
        raise ConfigurationError("--all is for --held;", "-n says how many studies are ranked.")
    if held:
        _print_held(
            studies, labels_dir, task, who() if reader is None else reader, everybody, as_json, output
        )
        return
    reading_task = choose_task(task, task_file)
    settings = ActiveSettings(random_share=random_share, min_each=min_each, seed=seed)
    wish = Wish(
        reading_task.name, strategy, model, n, finding, date_from, date_to, unseen,
        who() if reader is None else reader,
    )  # fmt: skip
    with opened_worklist(studies, labels_dir, models_dir, reading_task, settings, wish) as opened:
        offer = opened.worklist.ranked(wish)
    if as_json:
        data = (json.dumps(offer.to_json(), indent=1, allow_nan=False) + "\n").encode()
    else:
        data = worklist_table(offer).encode(ENCODING)
    print_or_write(data, output)
    told = count(len(offer.proposals), "study", "studies")
    typer.echo(f"{told} of {offer.state.counts.free} that may be proposed.", err=True)
    for warning in offer.warnings:
        typer.echo(plain(f"Warning: {warning}"), err=True)


def _print_held(
    studies: str,
    labels_dir: Path | None,
    task: str | None,
    reader: str,
    everybody: bool,
    as_json: bool,
    output: Path | None,
) -> None:
    """What one reader has in their hands, or all of them, as CSV or JSON."""
    from vpt_plugin.cli.opened_studies import opened_studies
    from vpt_plugin.store.label_table import ENCODING
    from vpt_plugin.store.leases import FOLDER, LeaseBook

    with opened_studies(studies, labels_dir, {}, new_labels=True) as (_, labels):
        leases = LeaseBook(labels.root / FOLDER).held().values()
    rows = held_rows(leases, reader, everybody=everybody, task=task or "")
    data = (json.dumps(rows, indent=1) + "\n").encode() if as_json else held_table(rows).encode(ENCODING)
    print_or_write(data, output)
    whose = "in readers' hands" if everybody else "kept for you"
    typer.echo(f"{count(len(rows), 'study', 'studies')} {whose}.", err=True)
