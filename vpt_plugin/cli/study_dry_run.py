"""What ``vpt study --dry-run`` says: the cells by dataset and stage, and what is missing for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vpt_plugin.cli.console import print_table

if TYPE_CHECKING:
    from vpt_plugin.study.cells import Cell
    from vpt_plugin.study.plan import Plan
    from vpt_plugin.study.runner_orders import RunOptions, Standing


def tell_what_would_be_done(plan: Plan, out: Path, options: RunOptions) -> None:
    """Count the cells, and refuse what the run would refuse.

    Args:
        plan: whose phantoms may still have to be made.
        out: the study's folder, which need not be there yet.
        options: of the run.

    Raises:
        VptError: as ``run_study``, but for what only Ray's computers can tell.
    """
    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.study.phantom_sets import make_phantom_sets
    from vpt_plugin.study.ready import require_weights
    from vpt_plugin.study.result_tables import require_parquet
    from vpt_plugin.study.runner_orders import require_startable, standing_of

    require_parquet()
    to_make = [
        each.name
        for each in plan.all_datasets
        if each.phantoms and each.manifest is None and not _manifest_of(out, each.name).is_file()
    ]
    if not to_make:
        # All are there: this makes nothing, and refuses those of another plan.
        plan = make_phantom_sets(plan, out)
    cells = options.part.of(plan.cells())
    _print_counts(cells, standing_of(plan, cells, out, retry_failed=options.retry_failed))
    if to_make:
        typer.echo(f"Phantoms are made first: {', '.join(to_make)}.")
        require_weights(plan, WeightsFolder(options.weights_dir))
    else:
        require_startable(plan, out, options)
    typer.echo("Nothing is missing.")


def _manifest_of(out: Path, dataset: str) -> Path:
    return out / "phantoms" / dataset / "manifest.csv"


def _print_counts(cells: Sequence[Cell], standing: Standing) -> None:
    """A row for each dataset and stage, and one for all of them."""
    rows: dict[tuple[str, str], list[int]] = {}
    total = [0, 0, 0, 0]
    for cell in cells:
        done, failed = cell.id in standing.done, cell.id in standing.failed
        for counted in (rows.setdefault((cell.dataset, cell.stage), [0, 0, 0, 0]), total):
            for place, more in enumerate((1, done, failed, not done and not failed)):
                counted[place] += more
    print_table(
        ("dataset", "stage", "cells", "done", "failed", "to do"),
        [(*key, *map(str, counted)) for key, counted in (*rows.items(), (("total", ""), total))],
        right=("cells", "done", "failed", "to do"),
    )
