"""What ``--conf KEY VALUE`` may say, checked once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.coarse_to_fine import TASK_STRIDE, check_stride
from vpt_plugin.inference.engines import check_backend
from vpt_plugin.models.catalog import MODELS, ModelSpec, get_model
from vpt_plugin.models.device import PRECISIONS, choose_device
from vpt_plugin.tasks import TASKS, ReadingTask, get_task, load_task_file

from . import active_conf, archive_conf, evidence_conf, limits
from .access import conf as access_conf
from .access.conf import AccessConf, read_access_conf
from .active_conf import ActiveConf, read_active_conf
from .archive_conf import ArchiveConf, read_archive_conf
from .evidence_conf import EvidenceConf, read_evidence_conf
from .limits import Limits, read_limits

KEYS = (
    "tasks", "models", "task_file", "device", "models_dir", "backend", "precision", "labels_dir", "logs",
    "reload", "add_studies", "warm_up", "prepared_hu", "stride",
    *limits.KEYS, *access_conf.KEYS, *archive_conf.KEYS, *active_conf.KEYS,
    *evidence_conf.KEYS,
)  # fmt: skip
_SWITCH = {"on": True, "off": False}


@dataclass(frozen=True)
class AppConf:
    """What this server serves, and to whom.

    Attributes:
        tasks: the tasks to serve.
        models: the networks to serve each of them with.
        device: where the networks compute, as torch names it: ``cpu``, ``cuda``, ``mps``.
        models_dir: where published models lie; None takes the place ``vpt finetune`` writes to.
        labels_dir: where labels lie; None takes ``labels`` in the folder of studies, and for an archive a
            place in ``vptct_home()``.
        logs: whether admins may read the server's log over HTTP.
        reload: whether admins may have the server look for studies, labels and models anew.
        add_studies: whether annotators may add studies to the folder.
        limits: how large requests may be.
        access: who may ask.
        archive: how a DICOM archive is used.
        task_files: where tasks of the site's own are written down.
        active: how studies are proposed.
        backend: what computes answers: ``torch``, ``openvino``, or ``auto``, the fastest here.
        precision: of answers, as of ``settle_precision``: ``auto``, ``float32`` or ``bfloat16``.
        warm_up: whether what is served is loaded ahead, so that the first answer is as fast as the next.
        prepared_hu: whether trainings keep studies in HU, too, for tasks with another window.
        stride: which clips an answer looks at, as of ``choose_look``.
        evidence: what is said beside a probability.
    """

    tasks: tuple[ReadingTask, ...]
    models: tuple[ModelSpec, ...]
    device: str
    models_dir: Path | None = None
    labels_dir: Path | None = None
    logs: bool = False
    reload: bool = False
    add_studies: bool = True
    limits: Limits = field(default_factory=Limits)
    access: AccessConf = field(default_factory=AccessConf)
    archive: ArchiveConf = field(default_factory=ArchiveConf)
    task_files: tuple[Path, ...] = ()
    active: ActiveConf = field(default_factory=ActiveConf)
    backend: str = "auto"
    precision: str = "auto"
    warm_up: bool = True
    prepared_hu: bool = True
    stride: str = TASK_STRIDE
    evidence: EvidenceConf = field(default_factory=EvidenceConf)


def read_conf(conf: Mapping[str, str]) -> AppConf:
    """The configuration out of MONAI Label's pairs of texts.

    ``tasks``, ``models`` and ``task_file`` take one name or several with commas between them; without
    ``tasks`` all tasks there are, without ``models`` all networks of the catalog.

    Raises:
        ConfigurationError: an unknown key or value, a file or folder that is not there; names the choices.
    """
    if unknown := sorted(set(conf) - set(KEYS)):
        raise ConfigurationError(f"--conf {unknown[0]} is unknown;", f"choose from {', '.join(KEYS)}.")
    files = tuple(Path(name).expanduser().absolute() for name in _names(conf, "task_file"))
    extra = tuple(load_task_file(path) for path in files)
    everything = list({**TASKS, **{task.name: task for task in extra}})
    models = tuple(get_model(name) for name in _names(conf, "models") or MODELS)
    tasks = tuple(get_task(name, extra) for name in _names(conf, "tasks") or everything)
    return AppConf(
        tasks=tasks,
        models=models,
        device=str(choose_device(conf.get("device", "auto"))),
        models_dir=_models_dir(conf),
        labels_dir=_labels_dir(conf),
        logs=_switch(conf, "logs"),
        reload=_switch(conf, "reload"),
        add_studies=_switch(conf, "add_studies", default="on"),
        limits=read_limits(conf),
        access=read_access_conf(conf),
        archive=read_archive_conf(conf),
        task_files=files,
        active=read_active_conf(conf, [spec.name for spec in models]),
        backend=check_backend(conf.get("backend", "auto")),
        precision=_precision(conf),
        warm_up=_switch(conf, "warm_up", default="on"),
        prepared_hu=_switch(conf, "prepared_hu", default="on"),
        stride=_stride(conf, tasks),
        evidence=read_evidence_conf(conf),
    )


def _names(conf: Mapping[str, str], key: str) -> list[str]:
    """The names of a list, each once; an empty list is none."""
    if key not in conf:
        return []
    names = [name.strip() for name in conf[key].split(",") if name.strip()]
    if not names:
        raise ConfigurationError(f"--conf {key} is empty;", "give one name, or several: a,b.")
    return list(dict.fromkeys(names))


def _precision(conf: Mapping[str, str]) -> str:
    if (name := conf.get("precision", "auto")) not in PRECISIONS:
        raise ConfigurationError(
            f"--conf precision {name[:50]}: is unknown;", f"choose from {', '.join(PRECISIONS)}."
        )
    return name


def _stride(conf: Mapping[str, str], tasks: tuple[ReadingTask, ...]) -> str:
    stride = conf.get("stride", TASK_STRIDE)
    for task in tasks:
        check_stride(stride, task)
    return stride


def _models_dir(conf: Mapping[str, str]) -> Path | None:
    if "models_dir" not in conf:
        return None
    folder = Path(conf["models_dir"]).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"--conf models_dir: there is no folder {folder}.")
    return folder


def _labels_dir(conf: Mapping[str, str]) -> Path | None:
    """It need not be there: it is made with the first label. A folder above it must be, lest a name that is
    spelt wrong, or a share that is not mounted, is taken for a site without labels."""
    if "labels_dir" not in conf:
        return None
    folder = Path(conf["labels_dir"]).expanduser().absolute()
    if not (folder.is_dir() or (folder.parent.is_dir() and not folder.exists())):
        raise ConfigurationError(f"--conf labels_dir: there is no folder {folder.parent}.")
    return folder


def _switch(conf: Mapping[str, str], key: str, *, default: str = "off") -> bool:
    if (value := conf.get(key, default).lower()) not in _SWITCH:
        raise ConfigurationError(f"--conf {key} {value[:50]}: is unknown;", "choose from on, off.")
    return _SWITCH[value]
