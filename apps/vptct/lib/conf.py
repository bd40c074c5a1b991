"""What ``--conf KEY VALUE`` may say, checked once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.catalog import MODELS, ModelSpec, get_model
from vpt_plugin.models.device import choose_device
from vpt_plugin.tasks import TASKS, ReadingTask, get_task, load_task_file

KEYS = ("tasks", "models", "task_file", "device", "models_dir")


@dataclass(frozen=True)
class AppConf:
    """What this server serves.

    Attributes:
        tasks: the tasks to serve.
        models: the networks to serve each of them with.
        device: where the networks compute, as torch names it: ``cpu``, ``cuda``, ``mps``.
        models_dir: where published models lie; None takes the place ``vpt finetune`` writes to.
    """

    tasks: tuple[ReadingTask, ...]
    models: tuple[ModelSpec, ...]
    device: str
    models_dir: Path | None


def read_conf(conf: Mapping[str, str]) -> AppConf:
    """The configuration out of MONAI Label's pairs of texts.

    ``tasks``, ``models`` and ``task_file`` take one name or several with commas between them; without
    ``tasks`` all tasks there are, without ``models`` all networks of the catalog.

    Raises:
        ConfigurationError: an unknown key or value, a file or folder that is not there; names the choices.
    """
    if unknown := sorted(set(conf) - set(KEYS)):
        raise ConfigurationError(f"--conf {unknown[0]} is unknown;", f"choose from {', '.join(KEYS)}.")
    extra = tuple(load_task_file(Path(name).expanduser()) for name in _names(conf, "task_file"))
    everything = list({**TASKS, **{task.name: task for task in extra}})
    return AppConf(
        tasks=tuple(get_task(name, extra) for name in _names(conf, "tasks") or everything),
        models=tuple(get_model(name) for name in _names(conf, "models") or MODELS),
        device=str(choose_device(conf.get("device", "auto"))),
        models_dir=_models_dir(conf),
    )


def _names(conf: Mapping[str, str], key: str) -> list[str]:
    """The names of a list, each once; an empty list is none."""
    if key not in conf:
        return []
    names = [name.strip() for name in conf[key].split(",") if name.strip()]
    if not names:
        raise ConfigurationError(f"--conf {key} is empty;", "give one name, or several: a,b.")
    return list(dict.fromkeys(names))


def _models_dir(conf: Mapping[str, str]) -> Path | None:
    if "models_dir" not in conf:
        return None
    folder = Path(conf["models_dir"]).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"--conf models_dir: there is no folder {folder}.")
    return folder
