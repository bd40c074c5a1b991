"""The one place that starts Ray, or joins a cluster of it: many trainings or studies at once.

Without an address Ray runs on this computer alone and for this process alone: it listens on the loopback
address, with a token that only its own processes know, sends no usage statistics, keeps its files in a folder
of its own that goes when it ends, and ends with the process that started it, however that ends.

With an address a cluster is joined that somebody started with ``ray start``. Each of its computers needs the
same Python, Ray and VPTCT, and the folders of the work under the same path: code and studies are not sent.
Since version 2.60 a cluster asks for a token, which ``ray start`` writes into ``~/.ray/auth_token``; here it
belongs into that file, too, or into ``RAY_AUTH_TOKEN``
(https://docs.ray.io/en/latest/ray-security/token-auth.html). Whoever reaches a cluster without one can run
anything on it.

Ray is part of the optional extra ``study``, and is loaded only when it is used.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.cluster.joined import joined_cluster, on_every_node, seen_of, take_token
from vpt_plugin.cluster.local import keep_off_network, started_here
from vpt_plugin.cluster.told import told_in_our_words
from vpt_plugin.errors import ConfigurationError

__all__ = ["OUT_OF_MEMORY_RETRIES", "RayComputer", "RayPlace", "ray_cluster"]
OUT_OF_MEMORY_RETRIES = 3
"""So often a task is done again whose process Ray ended for its memory; Ray itself knows no end of it."""
_INSTALL = 'Install it: pip install "vptct[study]"'


@dataclass(frozen=True)
class RayComputer:
    """One computer of Ray's.

    Attributes:
        name: its host's.
        cpus: cores that Ray shares out on it.
        gpus: GPUs that it shares out on it.
    """

    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class RayPlace:
    """Where work is shared out.

    Attributes:
        address: of the cluster that was joined; None on this computer alone.
        cpus: processor cores that Ray shares out, on all computers.
        gpus: GPUs that it shares out.
        computers: that take part.
        notes: what the user should know.
    """

    address: str | None
    cpus: float
    gpus: float
    computers: tuple[RayComputer, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether it is this computer alone."""
        return self.address is None

    def in_words(self) -> str:
        """``this computer: 2 cores, no GPU``."""
        several = len(self.computers) != 1
        computers = f"{len(self.computers)} computer{'s' if several else ''}"
        where = "this computer" if self.local else f"the cluster at {self.address}: {computers}"
        gpus = f"{self.gpus:g} GPU{'' if self.gpus == 1 else 's'}" if self.gpus else "no GPU"
        return f"{where}, {self.cpus:g} core{'' if self.cpus == 1 else 's'}, {gpus}"

    def cpus_beside(self, gpus: float) -> float:
        """The most cores of any computer that has so many GPUs, too; 0 where none has them."""
        return max((each.cpus for each in self.computers if each.gpus >= gpus), default=0.0)

    def require_shared(self, folders: Iterable[Path], files: Iterable[Path] = ()) -> None:
        """Make sure that every computer sees these; on one computer there is nothing to do.

        Args:
            folders: that can be written to; every computer has to see the very same.
            files: and folders that are only read, under the same path everywhere.

        Raises:
            ConfigurationError: one of the computers does not see one of them; all are named.
        """
        if self.local:
            return
        marks = {folder / f".shared-{uuid.uuid4().hex}.tmp": folder for folder in folders}
        sought = {**marks, **{file: file for file in files}}
        for mark in marks:
            mark.touch()
        try:
            seen = on_every_node(seen_of, [str(path) for path in sought])
        finally:
            for mark in marks:
                mark.unlink()
        blind = []
        for place, path in enumerate(sought.values()):
            if names := [name for name, found in seen.items() if not found[place]]:
                blind.append(f"{path} is not seen by {', '.join(names)}")
        if blind:
            raise ConfigurationError(
                f"{'; '.join(blind)}.",
                "Every computer of the cluster needs them under the same paths, on a network share.",
            )


@contextmanager
def ray_cluster(
    address: str | None = None, *, cpus: float | None = None, gpus: float | None = None
) -> Iterator[RayPlace]:
    """Ray for as long as this is open; it ends at an error and at Ctrl+C, too, with all that it runs.

    Where this process has Ray already, that one is used, and goes on afterwards.

    Args:
        address: ``host:port``, ``ray://host:port`` or ``auto`` for a cluster; None for this computer alone.
        cpus: cores to share out on this computer; None takes all.
        gpus: GPUs to share out on this computer; None takes all.

    Raises:
        ConfigurationError: the extra ``study`` is not installed, the cluster does not answer or has another
            Python, Ray or VPTCT, or Ray cannot be started here.
    """
    if address is not None and (cpus is not None or gpus is not None):
        raise ConfigurationError(
            "the cores and GPUs of a cluster are set where it is started,",
            "by `ray start --num-cpus --num-gpus`; leave them out here.",
        )
    if _is_running():
        yield _place(address)
        return
    _settle_environment(local=address is None)
    _require_ray()
    opened = started_here(cpus, gpus) if address is None else joined_cluster(address)
    with told_in_our_words(OUT_OF_MEMORY_RETRIES), opened:
        yield _place(address)


def _settle_environment(*, local: bool) -> None:
    """What Ray reads from the environment when it is loaded; what the user has set stays.

    Args:
        local: on this computer alone.

    Raises:
        ConfigurationError: Ray was loaded before, and would listen to the network.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else Ray hides GPUs from tasks that asked for none only in some versions, and warns in the others.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Read by the process that hands out tasks, here as on a cluster.
    os.environ.setdefault("RAY_task_oom_retries", str(OUT_OF_MEMORY_RETRIES))
    if local:
        keep_off_network()
    else:
        take_token()


def _require_ray() -> None:
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(f"this needs Ray, which is not installed ({error}).", _INSTALL) from error


def _is_running() -> bool:
    # Asking must not load it.
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _place(address: str | None) -> RayPlace:
    import ray

    in_all = ray.cluster_resources()
    computers = tuple(
        RayComputer(
            each["NodeManagerHostname"], each["Resources"].get("CPU", 0.0), each["Resources"].get("GPU", 0.0)
        )
        for each in ray.nodes()
        if each["Alive"]
    )
    notes = ("Ray on Windows is a beta of its makers: WSL 2 or Linux are safer.",) if os.name == "nt" else ()
    return RayPlace(address, in_all.get("CPU", 0.0), in_all.get("GPU", 0.0), computers, notes)
