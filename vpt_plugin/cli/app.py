"""The commands put together, and the one place where errors become words and exit codes."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vpt_plugin import __version__
from vpt_plugin.cli import (
    classify,
    classify_all,
    evaluate,
    export,
    finetune,
    give_back,
    import_studies,
    labels,
    models,
    next_study,
    phantom,
    report_study,
    score,
    simulate,
    skip,
    split,
    studies_list,
    study,
    tasks,
    tokens,
    versions,
    weights,
    worklist,
)
from vpt_plugin.cli.console import print_error
from vpt_plugin.errors import ConfigurationError, VptError


class _Commands(TyperGroup):
    """Turns the library's errors into a message and an exit code: 2 for what was asked wrongly, else 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # Whoever read our output has gone; nobody is left to tell.
        except (VptError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            print_error(error)
            raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    # Plain help: it reads the same on every console and in a pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("classify")(classify.classify)
app.command("classify-all")(classify_all.classify_all)
app.command("models")(models.models)
app.command("tasks")(tasks.tasks)
app.command("finetune")(finetune.finetune)
app.command("evaluate")(evaluate.evaluate)
app.command("phantom")(phantom.phantom)
app.command("report")(report_study.report)
app.command("export")(export.export)
app.command("import-bundle")(export.import_bundle)
app.command("score")(score.score)
app.command("next")(next_study.next_study)
app.command("worklist")(worklist.worklist)
app.command("skip")(skip.skip)
app.command("give-back")(give_back.give_back)
app.command("simulate")(simulate.simulate)
app.add_typer(weights.app, name="weights")
app.add_typer(versions.app, name="versions")
app.add_typer(studies_list.app, name="studies")
app.add_typer(labels.app, name="labels")
app.add_typer(split.app, name="split")
app.add_typer(tokens.app, name="tokens")
app.add_typer(import_studies.app, name="import")
app.add_typer(study.app, name="study")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vptct {__version__}")
        raise typer.Exit


@app.callback()
def _vpt(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error arose.")] = False,
) -> None:
    """Video-pretrained 3D networks for chest CT: research only, not a medical device.

    \b
    From nothing to an answer, on made-up studies:
      vpt phantom phantoms --count 240 --task nodule
      vpt finetune phantoms/manifest.csv --task nodule --model tiny
      vpt classify phantoms/studies --task nodule --model tiny

    "vpt COMMAND --help" tells more, with examples.
    """


def main() -> None:
    """Entry point of the console script ``vpt``."""
    # Before torch is loaded: its threads otherwise spin while they wait for each other, which beside another
    # busy program made a small network a hundred times slower. Sleeping costs some microseconds per layer.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # MLflow, which MONAI loads where it is installed, would tell its makers that it is used.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A study's name may hold letters that this console does not have.
            stream.reconfigure(errors="backslashreplace")
    app()
