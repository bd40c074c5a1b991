"""``vpt simulate``: what active learning would have saved on studies that are labelled already."""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import plain, print_table, progress_bars
from vpt_plugin.cli.options import (
    DeviceOption,
    LabelsDirOption,
    ModelOption,
    ModelsDirOption,
    TaskFileOption,
    TaskOption,
    choose_task,
)
from vpt_plugin.cli.settings import training_settings
from vpt_plugin.cli.split import SourceArgument
from vpt_plugin.cli.words import count

if TYPE_CHECKING:
    from vpt_plugin.active.simulation.settings import SimulationSettings
    from vpt_plugin.active.simulation.simulate import Simulation
    from vpt_plugin.active.simulation.summary import StrategySummary
    from vpt_plugin.models.card import Estimate

_ALL = "auto,random,typical,uncertain,diverse-uncertain,badge"


def simulate(
    source: SourceArgument,
    task: TaskOption = None,
    model: ModelOption = "swin_t",
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where results go; an interrupted simulation goes on there.")
    ] = Path("simulation"),
    strategies: Annotated[str, typer.Option(help="Their names, with commas between them.")] = _ALL,
    seeds: Annotated[int, typer.Option(min=1, help="How many times each is replayed.")] = 5,
    batch: Annotated[int, typer.Option(help="Labels from one training to the next.")] = 8,
    budget: Annotated[int, typer.Option(help="Labels in all.")] = 64,
    target: Annotated[
        float, typer.Option(help="The AUROC of which is told how many labels reach and keep it.")
    ] = 0.9,
    learner: Annotated[
        str, typer.Option(help="head: the head alone on frozen features, fast; network: all is finetuned.")
    ] = "head",
    test_share: Annotated[float, typer.Option(help="Share of the patients to measure on.")] = 0.4,
    prevalence: Annotated[
        float | None,
        typer.Option(
            help="Leave out so many studies that this share of those to choose from shows a finding.",
            show_default=False,
        ),
    ] = None,
    min_each: Annotated[int, typer.Option(help="Of auto: labels of each state that end its cold start.")] = 5,
    random_share: Annotated[float, typer.Option(help="Of auto: picks by chance.")] = 0.1,
    pretraining: Annotated[
        str | None, typer.Option(help="What the network starts from: as vpt finetune.", show_default=False)
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="The classifier to start from: as vpt finetune.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any training setting.", show_default=False),
    ] = None,
    labels_dir: LabelsDirOption = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where prepared studies and features are kept.", show_default=False),
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Replay labelled studies as if nobody had labelled them: what would each strategy have been worth?

    Some patients are held out, the same ones for all strategies. From the others each strategy chooses a
    batch; it is "labelled", a network is trained, measured on the held-out patients, and chooses again.
    Results are told over seeds, beside choosing by chance, as CSV, JSON and a figure. The locked test set
    (vpt split lock) stays closed.

    \b
    Examples:
      vpt phantom rare --count 360 --task nodule --prevalence 0.2
      vpt simulate rare/manifest.csv --task nodule --model tiny --prevalence 0.1
      vpt simulate studies --task pe --model swin_t --strategies auto,random --learner network --set epochs=3
    """
    from vpt_plugin.acquisition.strategies import AutoSettings
    from vpt_plugin.active.simulation.enough import require_enough
    from vpt_plugin.active.simulation.settings import SimulationSettings
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.models.weights import vptct_home
    from vpt_plugin.training.sources import open_source

    settings = SimulationSettings(
        strategies=tuple(name.strip() for name in strategies.split(",")), seeds=tuple(range(seeds)),
        batch=batch, budget=budget, target=target, learner=learner, test_share=test_share,
        prevalence=prevalence, auto=AutoSettings(min_each, random_share),
    )  # fmt: skip
    reading_task, network = choose_task(task, task_file), get_model(model)
    labelled = open_source(source, labels_dir=labels_dir)
    require_enough(labelled, reading_task)
    # Only now: torch and what needs it take many seconds to load, which nobody should wait for to be refused.
    from vpt_plugin.active.simulation.setup import set_up
    from vpt_plugin.active.simulation.simulate import all_sides
    from vpt_plugin.active.simulation.simulate import simulate as run
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.model_store import ModelStore

    given = training_settings(None, set_ or (), {"pretraining": pretraining, "start": start})
    with progress_bars(time_left=False) as bars:
        bar = bars.add_task("studies", total=None)

        begun: list[str] = []

        def show(what: str, done: int, total: int) -> None:
            if what not in begun[-1:]:
                begun.append(what)
                if bars.disable:
                    # No terminal: at least each part is a line, written at once.
                    print(plain(what), file=sys.stderr, flush=True)
            bars.update(bar, description=what, completed=done, total=total)

        setup = set_up(
            labelled, reading_task, network, FinetuneConfig.from_dict(given), learner=learner,
            store=ModelStore(models_dir), cache=cache or vptct_home() / "prepared", device=device,
            suits=partial(all_sides, settings=settings), told=show,
        )  # fmt: skip
        for note in setup.notes:
            print(plain(note), file=sys.stderr)
        found = run(setup, settings, out, told=show)
    typer.echo(_what_was_done(found, settings, setup.start, synthetic=setup.synthetic))
    columns = (
        "strategy", "area", "less that of random", "AUROC at the end", "of them present",
        f"labels to {target:g}", "of the mean curve",
    )  # fmt: skip
    print_table(columns, [_row(each) for each in found.summaries])
    typer.echo(f"{found.csv}\n{found.json}\n{found.png}")


def _what_was_done(found: Simulation, settings: SimulationSettings, start: str, *, synthetic: bool) -> str:
    phantoms = "phantoms" if synthetic else "studies"
    learned = "the head on frozen features of" if settings.learner == "head" else "the whole network from"
    return (
        f"{count(len(settings.seeds), 'seed')}; of {found.pool} {phantoms} to choose from {found.shown[0]} "
        f"show a finding, of {found.test} held out {found.shown[1]}. Trained after every {settings.batch} "
        f"labels: {learned} {start}. An area is the mean AUROC over 0 to {settings.budget} labels, 0.5 where "
        "nothing can be trained yet. Intervals of 95 % are over seeds. Labels to a target: half of all seeds "
        "have reached it with them and stay there to the end (n/a: more than half do not)."
    )


def _row(summary: StrategySummary) -> tuple[str, ...]:
    to = summary.needed
    present = [f"{share:.1f}" for share in summary.present.values()]
    return (
        summary.strategy,
        _interval(summary.area),
        "" if summary.strategy == "random" else _interval(summary.difference, sign="+"),
        _interval(summary.final),
        ", ".join(present),
        f"{_labels(to.median)} ({to.reached} of {to.seeds} seeds)",
        _labels(to.of_mean),
    )


def _labels(labels: float) -> str:
    return "n/a" if math.isnan(labels) else f"{labels:g}"


def _interval(estimate: Estimate, sign: str = "") -> str:
    """``0.812 [0.790, 0.834]``; n/a for what is undefined."""
    value, low, high = (
        "n/a" if math.isnan(each) else f"{each:{sign}.3f}" for each in (estimate.value, *estimate.ci95)
    )
    return f"{value} [{low}, {high}]"
