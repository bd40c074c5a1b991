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

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from vpt_plugin import __version__
from vpt_plugin.errors import ConfigurationError

_CLIENT = "ray://"
_CLIENT_PORT, _PORT = 10001, 6379
_LOOPBACK = "127.0.0.1"
# A cluster in the same building answers within milliseconds.
_PATIENCE_SECONDS = 5.0
_CHECK_SECONDS = 120.0
# Sockets of Unix have names of 103 characters at most on macOS; those of Ray take 63 below this folder.
_LONGEST_TEMPORARY = 20
_FOLDERS = "vptct-ray-"
_LOCK = ".lock"
# Between the processes of a study go names and figures; 78643200 is the least that Ray takes.
_OBJECTS_BYTES = 100_000_000
_INSTALL = 'Install it: pip install "vptct[study]"'
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayPlace:
    """Where work is shared out.

    Attributes:
        address: of the cluster that was joined; None on this computer alone.
        cpus: processor cores that Ray shares out, on all computers.
        gpus: GPUs that it shares out.
        nodes: computers.
        cpus_of_one: cores of the computer that has the most.
        notes: what the user should know.
    """

    address: str | None
    cpus: float
    gpus: float
    nodes: int = 1
    cpus_of_one: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether it is this computer alone."""
        return self.address is None

    def in_words(self) -> str:
        """``this computer: 2 cores, no GPU``."""
        computers = f"{self.nodes} computer{'' if self.nodes == 1 else 's'}"
        where = "this computer" if self.local else f"the cluster at {self.address}: {computers}"
        gpus = f"{self.gpus:g} GPU{'' if self.gpus == 1 else 's'}" if self.gpus else "no GPU"
        return f"{where}, {self.cpus:g} core{'' if self.cpus == 1 else 's'}, {gpus}"

    def require_shared(self, folder: Path) -> None:
        """Make sure that every computer sees this folder; on one computer there is nothing to do.

        Raises:
            ConfigurationError: one of them does not.
        """
        if self.local:
            return
        mark = folder / f".shared-{uuid.uuid4().hex}.tmp"
        mark.touch()
        try:
            blind = [name for name, seen in _on_every_node(_sees, str(mark)).items() if not seen]
        finally:
            mark.unlink()
        if blind:
            raise ConfigurationError(
                f"{folder} is not seen by {', '.join(blind)}.",
                "Every computer of the cluster needs that folder under the same path, on a network share.",
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
    settle_environment(local=address is None)
    _require_ray()
    opened = _local(cpus, gpus) if address is None else _joined(address)
    with opened:
        yield _place(address)


def settle_environment(*, local: bool) -> None:
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
    if not local:
        if _has_token():
            # Ray itself takes the token by default where it starts, and not where it joins.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        return
    # The only switch that keeps Ray on the loopback address on Linux; it is read when Ray is loaded.
    switch = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    if "ray" in sys.modules and os.environ.get(switch) != "0":
        raise ConfigurationError(
            "Ray was loaded by this program before VPTCT could keep it off the network;",
            f"set {switch}=0 in the environment of the program, or join a cluster by its address.",
        )
    os.environ[switch] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        # Whoever is logged in on this computer could else have this process run anything. A token in the
        # environment is the only one that Ray does not write into the user's home.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _has_token() -> bool:
    """Whether the user has a token for a cluster, in one of the three places where Ray looks."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


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
    alive = [each for each in ray.nodes() if each["Alive"]]
    notes = ("Ray on Windows is a beta of its makers: WSL 2 or Linux are safer.",) if os.name == "nt" else ()
    most = max((each["Resources"].get("CPU", 0.0) for each in alive), default=0.0)
    return RayPlace(address, in_all.get("CPU", 0.0), in_all.get("GPU", 0.0), len(alive), most, notes)


@contextmanager
def _local(cpus: float | None, gpus: float | None) -> Iterator[None]:
    import ray

    with _temporary_folder() as folder:
        try:
            _start(folder, cpus, gpus)
            yield
        finally:
            ray.shutdown()


def _start(folder: Path, cpus: float | None, gpus: float | None) -> None:
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=_OBJECTS_BYTES,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            _node_ip_address=_LOOPBACK,
            _temp_dir=str(folder),
        )
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigurationError(
            f"Ray cannot be started on this computer: {error}.",
            f"It keeps its sockets and its log below {folder.parent}: see whether there is room.",
        ) from error


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray

    _require_answer(address)
    try:
        _join(address)
        _require_same_code(address)
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, configure_logging=False, log_to_driver=False)
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigurationError(f"no cluster could be joined at {address}: {error}.", _how(error)) from error


def _how(error: Exception) -> str:
    """The way out of a cluster that does not take us."""
    said, cause = str(error).lower(), error.__cause__ or error.__context__
    while cause is not None:
        said, cause = f"{said} {cause}".lower(), cause.__cause__ or cause.__context__
    if "version" in said:
        return "Install the same versions of Python and Ray here and on every computer of the cluster."
    if "auth" in said or "token" in said:
        return "It asks for its token: copy ~/.ray/auth_token from its head to here, or set RAY_AUTH_TOKEN."
    return (
        "Look with `ray status` on the cluster whether it runs; without an address this computer works alone."
    )


def _require_answer(address: str) -> None:
    """Ray itself would try for a minute, and then end the whole process.

    Raises:
        ConfigurationError: nobody listens there, or the address is none.
    """
    if address == "auto":
        return
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_SECONDS).close()
    except OSError as error:
        raise ConfigurationError(
            f"nothing answers at {host}, port {port}: {error}.",
            "Start the cluster with `ray start --head`, and give the address that it prints.",
        ) from error


def _host_and_port(address: str) -> tuple[str, int]:
    client = address.startswith(_CLIENT)
    host, colon, port = address.removeprefix(_CLIENT).rpartition(":")
    if not colon:
        host, port = port, str(_CLIENT_PORT if client else _PORT)
    if not host or "/" in host or not port.isdecimal():
        raise ConfigurationError(
            f"{address!r} is no address of a Ray cluster;",
            "write host:6379, ray://host:10001, or auto for the one that runs on this computer.",
        )
    return host, int(port)


def _require_same_code(address: str) -> None:
    """Every computer of the cluster has this version of VPTCT.

    Raises:
        ConfigurationError: one of them has another, or none.
    """
    others = {
        name: version for name, version in _on_every_node(_version_reader()).items() if version != __version__
    }
    if others:
        told = "; ".join(f"{name} has {version or 'none'}" for name, version in sorted(others.items()))
        raise ConfigurationError(
            f"the cluster at {address} has another VPTCT than this computer ({__version__}): {told}.",
            "Install the same one everywhere: code is not sent.",
        )


def _on_every_node(what: Callable[..., Any], *arguments: object) -> dict[str, Any]:
    """What a function says on each computer, by the computer's name."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, scheduling_strategy=here)(what)
            asked[f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"] = task.remote(*arguments)
    try:
        said = ray.get(list(asked.values()), timeout=_CHECK_SECONDS)
    except ray.exceptions.GetTimeoutError as error:
        raise ConfigurationError(
            f"the computers of the cluster did not answer within {_CHECK_SECONDS:.0f} s.",
            "Look with `ray status` on the cluster what holds them up.",
        ) from error
    return dict(zip(asked, said, strict=True))


def _version_reader() -> Callable[[], str | None]:
    """Runs on the computers of a cluster; made here, so that it is sent whole and needs no VPTCT there."""

    def version() -> str | None:
        try:
            from vpt_plugin import __version__ as installed
        except ImportError:
            return None
        return installed

    return version


def _sees(path: str) -> bool:
    """Runs on the computers of a cluster."""
    return Path(path).exists()


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for Ray's logs and sockets; those that killed processes left are removed first."""
    above = Path(tempfile.gettempdir())
    if os.name != "nt" and len(str(above)) > _LONGEST_TEMPORARY:
        above = Path("/tmp")  # noqa: S108  # what is made below it is for its owner alone
    _sweep(above)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDERS, dir=above))
    lock = FileLock(folder / _LOCK, timeout=0)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        _remove(folder)


def _sweep(above: Path) -> None:
    for folder in above.glob(f"{_FOLDERS}*"):
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            if not _is_ours(folder):
                continue
            lock.acquire()
        except (OSError, Timeout):
            continue  # in use, or just going
        _end_orphans(folder)
        lock.release()
        _remove(folder)


def _end_orphans(folder: Path) -> None:
    """End what a killed process left of its Ray.

    Workers end by themselves. Two helpers of Ray's ask whether its main process is still in the table of
    processes, where it stays in a container whose first process does not collect the dead.
    """
    for process in psutil.process_iter():
        try:
            # They hide their names and their environment, but write their logs. The lock, which others open
            # only to look, is not among those.
            opened = [Path(file.path) for file in process.open_files()]
            if any(folder in path.parents and path.name != _LOCK for path in opened):
                process.kill()
        except psutil.Error:
            continue  # gone, or somebody else's


def _is_ours(folder: Path) -> bool:
    """Whether this user's process made it, and locked it: nobody else can lead us to another folder."""
    owned = os.name == "nt" or folder.lstat().st_uid == os.getuid()
    return owned and not folder.is_symlink() and (folder / _LOCK).is_file()


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        # What was done with Ray is done; the next start sweeps.
        _logger.info("%s is left over: %s", folder, error)
