"""``vpt versions check-evidence``: what a version's answers need to say how sure they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import counted, print_table
from vpt_plugin.cli.options import DeviceOption, LabelsDirOption, ModelsDirOption, TaskFileOption, choose_task
from vpt_plugin.cli.version_names import NameArgument, folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpt_plugin.models.conformal_record import MeasuredCoverage, StateCoverage
    from vpt_plugin.training.evidence_check import MeasuredEvidence

_COLUMNS = (
    "error rate", "true state", "its state left in", "expected", "unsure", "studies deciding and decided"
)  # fmt: skip


def check_evidence(
    name: NameArgument,
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", help="By default the served one.", min=1, show_default=False),
    ] = None,
    studies: Annotated[
        str | None,
        typer.Option(
            "--studies",
            metavar="SOURCE",
            help="A folder of labelled studies, the address of an archive, or a CSV: where the studies are "
            "that it was trained and validated on. By default those that are still prepared here.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Begin no further study after that; by default none is left out.", min=0),
    ] = None,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="Keep what is measured of what studies are like even where it rests on fewer studies than "
            "what was measured before.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
    labels_dir: LabelsDirOption = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where prepared studies are kept.", show_default=False)
    ] = None,
    task_file: TaskFileOption = None,
    models_dir: ModelsDirOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure what a version needs to say present, absent or unsure, and whether a study is like its own.

    A training measures its own version; this is for versions from before, and for studies that were not
    prepared then. Its card and its folder keep what is found, and an export takes it along. It says how many
    of the version's studies were found. What was measured before on more of them stays, unless --anyway is
    given.

    \b
    Examples:
      vpt versions check-evidence nodule_swin_t
      vpt versions check-evidence nodule_swin_t 3 --studies site/manifest.csv
    """
    from vpt_plugin.training.evidence_check import check_evidence as check
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source

    folder = folder_of(name, models_dir)
    with counted("studies") as show:
        found = check(
            ModelStore(models_dir),
            choose_task(folder.task, task_file),
            folder.model,
            version,
            source=open_source(studies, labels_dir=labels_dir) if studies else None,
            cache=cache,
            device=device,
            anyway=anyway,
            most_seconds=math.inf if minutes is None else 60 * minutes,
            progress=show,
        )
    if as_json:
        typer.echo(json.dumps(_to_json(found), indent=1))
    else:
        _print(name, found)


def print_coverage(title: str, measured: Sequence[MeasuredCoverage]) -> None:
    """A table of what conformal decisions about one finding came to.

    Args:
        title: above the table.
        measured: one entry per error rate.
    """
    rows = []
    for each in measured:
        unsure = "n/a" if each.unsure is None else f"{100 * each.unsure:.0f} %"
        for state, found in (("present", each.present), ("absent", each.absent)):
            rows.append((f"{100 * each.error_rate:g} %", state, *_cells(found, unsure)))
    typer.echo(title)
    print_table(_COLUMNS, rows)


def _cells(found: StateCoverage | None, unsure: str) -> tuple[str, str, str, str]:
    if found is None:
        return ("n/a: too few studies", "", unsure, "")
    low, high = found.ci95
    expected = f"{100 * found.expected:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * found.coverage:.1f} %", expected, unsure, f"{found.calibrating} and {found.tested}"


def _print(name: str, found: MeasuredEvidence) -> None:
    from vpt_plugin.inference.typicality import LostReference

    if (conformal := found.card.conformal) is not None:
        for finding, measured in conformal.measured.items():
            splits = measured[0].splits
            print_coverage(
                f"{name} version {found.card.version}, {finding}, over {splits} random splits of its "
                "validation studies:",
                measured,
            )
        if conformal.reservation:
            typer.echo(conformal.reservation)
    typer.echo(found.found_in_words)
    if found.why_not:
        typer.echo(found.why_not)
    reference = found.reference
    if isinstance(reference, LostReference):
        typer.echo(f"Whether a study is like those that it knows it cannot tell: {reference.why}.")
    elif reference is not None:
        typer.echo(
            f"What a study looks like to it: {reference.trained} training studies, one per patient; "
            f"{reference.within} lie within {reference.threshold:.2f} standard deviations; "
            f"{reference.in_vain}."
        )


def _to_json(found: MeasuredEvidence) -> dict[str, object]:
    from vpt_plugin.inference.typicality import FeatureReference

    conformal, reference = found.card.conformal, found.reference
    return {
        "version": found.card.version,
        "conformal": conformal.to_json() if conformal else None,
        "found": {side: {"here": here, "known": known} for side, (here, known) in found.found.items()},
        "why_not": found.why_not or None,
        "typicality": {
            "threshold": reference.threshold,
            "percentile": reference.percentile,
            "trained": reference.trained,
            "studies": reference.studies,
        }
        if isinstance(reference, FeatureReference)
        else None,
    }
