"""``vpt study``: the published experiment, repeated, and its report."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from vpt_plugin.cli.console import plain
from vpt_plugin.cli.settings import training_settings
from vpt_plugin.cli.study_dry_run import tell_what_would_be_done
from vpt_plugin.cli.study_progress import study_display
from vpt_plugin.cli.words import command_line, count, duration
from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from vpt_plugin.cluster import RayPlace
    from vpt_plugin.study.cell_records import Failure
    from vpt_plugin.study.plan import Plan
    from vpt_plugin.study.runner_orders import RunOptions

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
_GOES_ON = "What is done is kept; the same command goes on, each training from its last whole epoch."
_STOPPED = 130
_SHOWN_FAILURES = 5
_Number = TypeVar("_Number", int, float)


@app.callback()
def study(
    context: typer.Context,
    plan: Annotated[
        str | None,
        typer.Option(help="paper, quick, or the YAML file of a plan of your own.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the study, new or to go on with.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MANIFEST",
            help="The studies of a dataset of the plan, a CSV that "
            "`vpt import` or `vpt split` wrote; may be repeated.",
            show_default=False,
        ),
    ] = None,
    ct: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME=]MANIFEST", help="The studies that CT pretraining learns from.", show_default=False
        ),
    ] = None,
    networks: Annotated[
        str | None, typer.Option(help="Only these networks: swin_t,resnet18_2d.", show_default=False)
    ] = None,
    arms: Annotated[
        str | None, typer.Option(help="Only these of none,video,ct,video+ct.", show_default=False)
    ] = None,
    percents: Annotated[
        str | None, typer.Option(help="Only these shares of the training side: 100,10.", show_default=False)
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Only these seeds: 0,1.", show_default=False)] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="host:6379 of a Ray cluster; by default this computer alone. Its computers need "
            "DIR and the studies under the same paths, and the same version of vptct.",
            show_default=False,
        ),
    ] = None,
    cpus: Annotated[
        float | None,
        typer.Option(min=1, help="Cores of each training; by default as the plan says.", show_default=False),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Share of a GPU of each training: with 0.5 two of them share one. By "
            "default as the plan says, where there is a GPU.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of all trainings; may be repeated.",
            show_default=False,
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Where published weights are.", show_default=False)
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where prepared studies are kept; by default in the study's folder.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what is missing for it.")
    ] = False,
) -> None:
    """Repeat the published experiment: networks with and without pretraining, on your studies.

    Every training of the plan is a cell. Ray runs cells side by side, on this computer or on a cluster; each
    is done once: stop the command, kill it, or lose power, and the same command goes on. One that fails does
    not stop the others. At the end DIR holds results.csv, results.parquet, answers.parquet and
    report/report.html, with the paper's table and figures of your own numbers.

    Needs Ray and pyarrow: pip install "vptct[study]".

    \b
    Examples:
      vpt study --plan quick --out quick
      vpt study --plan paper --dataset rsna=rsna/manifest.csv --dataset lidc=lidc/manifest.csv \\
        --ct own=own/manifest.csv --out paper --gpus 0.5
      vpt study --plan paper --dataset rsna=rsna/manifest.csv ... --out paper --dry-run
      vpt study report quick
      vpt study published --to published
    """
    if context.invoked_subcommand is not None:
        return
    if plan is None or out is None:
        raise ConfigurationError("a study needs a plan and a folder:", "vpt study --plan quick --out quick.")
    from vpt_plugin.study.runner_orders import Part, RunOptions

    part = Part(
        _split(networks),
        _split(arms),
        _numbers("--percents", percents, float),
        _numbers("--seeds", seeds, int),
    )
    options = RunOptions(part, cache and cache.absolute(), weights_dir and weights_dir.absolute(),
                         retry_failed, cpus, gpus)  # fmt: skip
    settled = _plan(plan, dataset or (), ct, training_settings(None, set_ or (), {}))
    if dry_run:
        tell_what_would_be_done(settled, out.absolute(), options)
    else:
        _run(settled, out.absolute(), options, address)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study.", show_default=False)],
) -> None:
    """Write tables, figures and report anew, from what is done so far; it may still be running."""
    if not (folder / "plan.json").is_file() and not (folder / "cells").is_dir():
        raise ConfigurationError(f"{folder} is no folder of a study;", "name the one of vpt study --out.")
    _conclude(folder.absolute())


@app.command("published")
def published(
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write its report there, too: figures, tables, one HTML page.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the published table, and what follows from it."""
    from vpt_plugin.study.report import published_report
    from vpt_plugin.study.text import published_text

    typer.echo(published_text())
    if to is not None:
        typer.echo(f"Report: {published_report(to.absolute())}")


def _run(plan: Plan, out: Path, options: RunOptions, address: str | None) -> None:
    from vpt_plugin.cluster import ray_cluster
    from vpt_plugin.study.result_tables import require_parquet
    from vpt_plugin.study.runner import run_study

    require_parquet()
    print(
        f"Starting Ray for the plan {plan.name}; that takes up to half a minute.", file=sys.stderr, flush=True
    )
    try:
        with ray_cluster(address) as place:
            for note in (f"Running on {place.in_words()}.", *place.notes, *_unused_gpu(place)):
                print(note, file=sys.stderr)
            with study_display(out) as show:
                ended = run_study(plan, out, place, options, show)
    except KeyboardInterrupt:
        _end_stopped(out)
    except OSError:
        print(_GOES_ON, file=sys.stderr)
        raise
    _conclude(out)
    typer.echo(
        f"{count(ended.done, 'cell')} done, {ended.trained} of them in this run, which took "
        f"{duration(ended.seconds)}."
    )
    if ended.failures:
        _tell_failures(ended.failures)
        raise typer.Exit(1)


def _end_stopped(out: Path) -> NoReturn:
    """Say what is kept, and end at once.

    Ray has ended by then. Ctrl+C may have come while a library was loaded or Ray began; Python's own way out
    crashes on what is half loaded, and the exit code would be another.
    """
    begun = (out / "cells").is_dir()
    print(f"Stopped. {_GOES_ON}" if begun else "Stopped before a training began.", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_STOPPED)


def _unused_gpu(place: RayPlace) -> tuple[str, ...]:
    """A note where this computer has a GPU that Ray does not know, as those of Apple."""
    from vpt_plugin.models.device import available_devices

    kind = available_devices()[-1]
    if not place.local or place.gpus or kind == "cpu":
        return ()
    return (f"Ray does not share out the GPU of this computer ({kind}): every training runs on the CPU.",)


def _conclude(out: Path) -> None:
    """Tables and report of what is done, and the table on stdout."""
    from vpt_plugin.study.report import write_report
    from vpt_plugin.study.report_facts import StudyFacts
    from vpt_plugin.study.report_words import warnings_of
    from vpt_plugin.study.text import differences_text, table_text

    facts = StudyFacts.read(out)
    facts.results.write_tables(out)
    page = write_report(out, facts)
    if facts.results.finals:
        typer.echo(table_text(facts.rows))
        typer.echo(differences_text(facts.differences))
        for warning in warnings_of(facts):
            typer.echo(plain(f"Warning: {warning}"))
    typer.echo(f"Tables: {out / 'results.csv'}, results.parquet and answers.parquet beside it")
    typer.echo(f"Report: {page}")
    typer.echo("For research only; not a medical device.")


def _tell_failures(failures: Mapping[str, Failure]) -> None:
    first = [each for each in failures.values() if not each.needs]
    waited = len(failures) - len(first)
    typer.echo(f"{count(len(first), 'cell')} failed" + (f", {waited} more need them:" if waited else ":"))
    for each in first[:_SHOWN_FAILURES]:
        typer.echo(plain(f"  {each.in_words()}"))
    if len(first) > _SHOWN_FAILURES:
        typer.echo(f"  and {len(first) - _SHOWN_FAILURES} more: see cells/*/failure.json.")
    typer.echo("The same command with --retry-failed tries them again.")


def _plan(name: str, datasets: Sequence[str], ct: str | None, settings: Mapping[str, object]) -> Plan:
    """The plan with what the options say."""
    from vpt_plugin.study.plan import Plan

    plan = Plan.read(name)
    manifests = dict(_assignment("--dataset", text) for text in datasets)
    renamed = ""
    if ct is not None:
        if plan.ct is None:
            raise ConfigurationError(f"the plan {name} has no CT pretraining;", "leave out --ct.")
        given, manifest = _assignment("--ct", ct) if "=" in ct else (plan.ct.name, Path(ct))
        renamed = given if given != plan.ct.name else ""
        manifests[given] = manifest
    return plan.with_manifests(manifests, ct=renamed).with_settings(settings)


def _assignment(option: str, text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name.strip() or not path.strip():
        raise ConfigurationError(
            f"{option} {text!r} names no manifest;",
            f"write {command_line(option, 'rsna=rsna/manifest.csv')}.",
        )
    return name.strip(), Path(path.strip())


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(option: str, text: str | None, kind: type[_Number]) -> tuple[_Number, ...]:
    try:
        return tuple(kind(word) for word in _split(text))
    except ValueError:
        raise ConfigurationError(f"{option} {text!r}: these are not numbers;", "write 100,10.") from None
