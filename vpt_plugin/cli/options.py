"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import ReadingTask, get_task, load_task_file

TaskOption = Annotated[
    str | None, typer.Option("--task", "-t", help="What to look for: see `vpt tasks`.", show_default=False)
]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="Which network: see `vpt models`.")]
TaskFileOption = Annotated[
    Path | None, typer.Option("--task-file", help="A task of your own, from a YAML file.", show_default=False)
]
ModelsDirOption = Annotated[
    Path | None,
    typer.Option(
        "--models-dir",
        help="Where trained models are; by default models/ in $VPTCT_HOME or in your data folder.",
        show_default=False,
    ),
]
LabelsDirOption = Annotated[
    Path | None,
    typer.Option("--labels-dir", help="The folder of the labels, where it is elsewhere.", show_default=False),
]
# For the commands that had --labels before there was one name for it.
LabelsDirOrLabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels-dir",
        "--labels",
        help="The folder of the labels, where it is elsewhere.",
        show_default=False,
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
# Those of vpt_plugin.models.device.PRECISIONS, which is not imported here because it brings torch.
PRECISION_HELP = "auto, float32 or bfloat16."
# For the commands that answer: what auto means there is vpt_plugin.models.precision.settle_precision.
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help=f"{PRECISION_HELP} With auto, bfloat16 where this version was checked in it, see "
        "`vpt versions check-precision`.",
    ),
]
# Those of vpt_plugin.inference.engines.BACKENDS, which is not imported here because it brings torch.
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        help="What computes: auto, torch or openvino. With auto, what $VPTCT_BACKEND says, else the fastest "
        "here.",
    ),
]
# Those of vpt_plugin.inference.fitness.UNSUITABLE, which is not imported here because it brings numpy.
UnsuitableOption = Annotated[
    str,
    typer.Option(
        "--unsuitable",
        help="What to do with a study for which an answer would mean nothing, as one without lungs: refuse "
        "it, or warn and answer.",
    ),
]

ErrorRateOption = Annotated[
    float,
    typer.Option(
        "--error-rate",
        help="Say present or absent only where at most this share of studies like its validation studies is "
        "then wrong, else unsure.",
    ),
]


def choose_task(name: str | None, task_file: Path | None) -> ReadingTask:
    """The task that ``--task`` and ``--task-file`` mean; with a file alone, the file's.

    Raises:
        ConfigurationError: neither was given, or the name is of neither.
    """
    own = () if task_file is None else (load_task_file(task_file),)
    if name is None:
        if not own:
            raise ConfigurationError("no task was given;", "use --task pe, --task nodule or --task-file.")
        return own[0]
    return get_task(name, own)


def who() -> str:
    """Who runs this, as the computer knows them; empty where it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
