"""simulate: every strategy with every seed, kept as it goes, and what comes out of all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vpt_plugin.active.simulation.figure import learning_curves
from vpt_plugin.active.simulation.records import (
    CSV_NAME,
    JSON_NAME,
    PNG_NAME,
    ReplayFolder,
    csv_text,
    summary_json,
)
from vpt_plugin.active.simulation.replay import ReplayRound, replay
from vpt_plugin.active.simulation.settings import SimulationSettings
from vpt_plugin.active.simulation.setup import Setup
from vpt_plugin.active.simulation.sides import Sides, draw_sides
from vpt_plugin.active.simulation.summary import StrategySummary, summarise
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.durable import write_over


@dataclass(frozen=True)
class Simulation:
    """What came out.

    Attributes:
        summaries: of the strategies, in the order of the settings.
        replays: what was found, by strategy and seed.
        pool, test: studies to choose from, and held out, with the first seed; others differ by few.
        shown: how many of them show a finding, in the pool and of those held out.
        csv, json, png: the files.
    """

    summaries: list[StrategySummary]
    replays: Mapping[tuple[str, int], list[ReplayRound]]
    pool: int
    test: int
    shown: tuple[int, int]
    csv: Path
    json: Path
    png: Path


def simulate(
    setup: Setup,
    settings: SimulationSettings,
    folder: Path,
    *,
    told: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Simulation:
    """Replay every strategy with every seed that the folder does not have yet; then compare and draw.

    Args:
        setup: the studies and the learner.
        settings: of the simulation.
        folder: of its files; a simulation that was interrupted goes on there.
        told: which replay runs, and its labels so far and in all.

    Raises:
        ConfigurationError: the folder holds the simulation of something else.
        TrainingError, CancelledError: as of the learner.
    """
    replays = run_replays(setup, settings, folder, told=told)
    return _written(setup, settings, folder, replays)


def run_replays(
    setup: Setup,
    settings: SimulationSettings,
    folder: Path,
    *,
    told: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[tuple[str, int], list[ReplayRound]]:
    """The replays by strategy and seed; arguments and errors as of ``simulate``.

    Several processes may share a folder, each with strategies and seeds of its own.
    """
    kept = ReplayFolder(folder, {**setup.facts, **settings.replay_facts()})
    # All sides before the first training: that one state is missing somewhere is told at once.
    sides = all_sides(setup.learner.studies, settings)
    replays: dict[tuple[str, int], list[ReplayRound]] = {}
    # Seed by seed: what is there after an interruption can be compared.
    for seed in settings.seeds:
        for strategy in settings.strategies:
            found = kept.get(strategy, seed)
            if found is None:
                found = replay(
                    strategy, seed, sides[seed], setup.learner, setup.task.findings, settings,
                    told=partial(_tell, told, f"{strategy}, seed {seed}", settings.budget),
                )  # fmt: skip
                kept.put(strategy, seed, found)
            replays[strategy, seed] = found
    return replays


def all_sides(studies: Sequence[LabelledStudy], settings: SimulationSettings) -> dict[int, Sides]:
    """The sides of every seed.

    Raises:
        TrainingError: with one of the seeds a side lacks one of the states of a finding.
    """
    return {
        seed: draw_sides(studies, seed, test_share=settings.test_share, prevalence=settings.prevalence)
        for seed in settings.seeds
    }


def _tell(told: Callable[[str, int, int], None], replay_name: str, budget: int, labels: int) -> None:
    told(replay_name, labels, budget)


def _written(
    setup: Setup,
    settings: SimulationSettings,
    folder: Path,
    replays: dict[tuple[str, int], list[ReplayRound]],
) -> Simulation:
    """The comparison, as CSV, JSON and PNG."""
    sides = all_sides(setup.learner.studies, settings)[settings.seeds[0]]
    summaries = summarise(replays, target=settings.target)
    shown = [
        sum(bool((setup.learner.studies[row].states == 1).any()) for row in rows)
        for rows in (sides.pool, sides.test)
    ]
    result = Simulation(
        summaries, replays, len(sides.pool), len(sides.test), (shown[0], shown[1]),
        folder / CSV_NAME, folder / JSON_NAME, folder / PNG_NAME,
    )  # fmt: skip
    write_over(result.csv, csv_text(replays, target=settings.target).encode())
    write_over(result.json, summary_json(summaries, _about(setup, settings, result)).encode())
    title = (
        f"{setup.task.name}, {setup.spec.name}, learner {settings.learner}, {len(sides.pool)} studies to "
        f"choose from, {len(sides.test)} held out\nmean over {len(settings.seeds)} seeds, 95 % interval; "
        f"dotted: {settings.target:g}"
    )
    write_over(result.png, learning_curves(summaries, target=settings.target, title=title))
    return result


def _about(setup: Setup, settings: SimulationSettings, result: Simulation) -> dict[str, Any]:
    return {
        "task": setup.task.name,
        "model": setup.spec.name,
        "start": setup.start,
        "synthetic": setup.synthetic,
        **settings.replay_facts(),
        "seeds": list(settings.seeds),
        "target": settings.target,
        "pool": {"studies": result.pool, "with_finding": result.shown[0]},
        "held_out": {"studies": result.test, "with_finding": result.shown[1]},
    }
