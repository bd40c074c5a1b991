"""``vpt worklist``: the order in which a strategy would propose the studies, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.console import plain, print_or_write
from vpt_plugin.cli.options import ModelsDirOption, TaskFileOption, TaskOption, choose_task, who
from vpt_plugin.cli.words import count
from vpt_plugin.cli.worklist_options import (
    FindingOption,
    FromOption,
    LabelsOption,
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


def worklist(
    studies: StudiesArgument,
    task: TaskOption = None,
    strategy: StrategyOption = "auto",
    n: Annotated[int, typer.Option("-n", min=1, help="How many studies.")] = 100,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new file; by default stdout.", show_default=False),
    ] = None,
    reader: ReaderOption = None,
    finding: FindingOption = "",
    date_from: FromOption = "",
    date_to: ToOption = "",
    unseen: UnseenOption = False,
    min_each: MinEachOption = 5,
    random_share: RandomShareOption = 0.1,
    seed: SeedOption = 0,
    model: NetworkOption = "",
    labels: LabelsOption = None,
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
    """
    from vpt_plugin.active.offers import ActiveSettings, Wish
    from vpt_plugin.active.worklist_table import ENCODING, worklist_table

    reading_task = choose_task(task, task_file)
    settings = ActiveSettings(random_share=random_share, min_each=min_each, seed=seed)
    wish = Wish(
        reading_task.name, strategy, model, n, finding, date_from, date_to, unseen,
        who() if reader is None else reader,
    )  # fmt: skip
    with opened_worklist(studies, labels, models_dir, reading_task, settings) as opened:
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
