"""``vpt next``: the study to label next, kept for its reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain
from vpt_plugin.cli.options import (
    LabelsDirOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
    who,
)
from vpt_plugin.cli.words import count, figure
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

if TYPE_CHECKING:
    from vpt_plugin.active.offers import Offer, Proposal
    from vpt_plugin.store.source import StudySource


def next_study(
    studies: StudiesArgument,
    task: TaskOption = None,
    strategy: StrategyOption = "auto",
    n: Annotated[int, typer.Option("-n", min=1, max=200, help="How many studies.")] = 1,
    reader: ReaderOption = None,
    finding: FindingOption = "",
    date_from: FromOption = "",
    date_to: ToOption = "",
    unseen: UnseenOption = False,
    lease_minutes: Annotated[
        float, typer.Option(min=1, help="For so long nobody else is offered these studies.")
    ] = 30.0,
    double_read: Annotated[
        float,
        typer.Option(min=0, max=1, help="The share of studies that another reader has labelled already."),
    ] = 0.0,
    min_each: MinEachOption = 5,
    random_share: RandomShareOption = 0.1,
    seed: SeedOption = 0,
    model: NetworkOption = "",
    labels_dir: LabelsDirOption = None,
    models_dir: ModelsDirOption = None,
    task_file: TaskFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """Say which study to label next, and why, and keep it for you.

    No study is opened and no network runs: what is scored already chooses (vpt score, or a running server).
    Without scores chance does. Nobody else is offered the study for a while, be it by this command or by a
    server over the same folder of labels.

    \b
    Examples:
      vpt next studies --task nodule
      vpt next studies --task nodule -n 8 --strategy typical
      vpt next studies --task pe --reader anna --unseen --from 20240101 --json
      vpt give-back studies p01--ct.nii.gz
    """
    from vpt_plugin.active.offers import ActiveSettings, Wish

    reading_task = choose_task(task, task_file)
    settings = ActiveSettings(lease_minutes, double_read, random_share, min_each, seed)
    wish = Wish(
        reading_task.name, strategy, model, n, finding, date_from, date_to, unseen,
        who() if reader is None else reader,
    )  # fmt: skip
    with opened_worklist(studies, labels_dir, models_dir, reading_task, settings, wish) as opened:
        offer = opened.worklist.next(wish)
        if as_json:
            typer.echo(json.dumps(offer.to_json(), indent=1, allow_nan=False))
            return
        for proposal in offer.proposals:
            for line in _in_words(proposal, opened.studies):
                typer.echo(plain(line))
        if wish.reader:
            yours = sum(lease.reader == wish.reader for lease in opened.leases.held().values())
            if yours > len(offer.proposals):
                typer.echo(
                    f"You have {count(yours, 'study', 'studies')} in your hands: `vpt worklist --held` lists "
                    "them, `vpt give-back` gives them back.",
                    err=True,
                )
    typer.echo(_counts_in_words(offer), err=True)
    for warning in offer.warnings:
        typer.echo(plain(f"Warning: {warning}"), err=True)


def _in_words(proposal: Proposal, studies: StudySource) -> Iterator[str]:
    """The id on a line of its own, and below it what is known of the study."""
    yield proposal.study
    facts = studies.facts(proposal.study)
    dated = f", of {proposal.study_date}" if proposal.study_date else ""
    yield f"  {facts['kind']}, {facts['place']}{dated}"
    yield f"  {proposal.why} ({proposal.strategy})"
    if proposal.probabilities:
        said = ", ".join(f"{name} {figure(each)}" for name, each in proposal.probabilities.items())
        yield f"  probability: {said}"
    if near := proposal.nearest_labelled:
        yield f"  most like it of the labelled ones: {near.study} (distance {near.distance:.2f})"
    if (lease := proposal.lease) is not None:
        whose = lease.reader or f"holder {lease.holder}"
        yield f"  kept for {whose} until {lease.until[:19]}Z"


def _counts_in_words(offer: Offer) -> str:
    counts = offer.state.counts
    labels = "; ".join(
        f"{finding} {', '.join(f'{number} {state}' for state, number in states.items())}"
        for finding, states in offer.state.labels.items()
    )
    again = f" and {counts.second_readings} for a second reading" if counts.second_readings else ""
    left_out = f" Left out by your wish: {counts.left_out}." if counts.left_out else ""
    return (
        f"Left: {count(counts.free, 'study', 'studies')} ({counts.unscored} not scored yet). In readers' "
        f"hands: {counts.held}{again}. Skipped, by you or for all: {counts.skipped}. Unreadable: "
        f"{counts.unreadable}.{left_out} Labelled: {counts.labelled} ({labels})."
    )
