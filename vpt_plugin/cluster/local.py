"""Ray on this computer alone: off the network, with a folder of its own that goes with it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from vpt_plugin.errors import ConfigurationError

_LOOPBACK = "127.0.0.1"
# Sockets of Unix have names of 103 characters at most on macOS; those of Ray take 65 below our folder.
_LONGEST_TEMPORARY = 18
_FOLDERS = "vptct-ray-"
# Ray opens its folder to every user of the computer; ours around it stays its owner's.
_OF_RAY = "r"
_LOCK = ".lock"
# Between the processes of a study go names and figures; 78643200 is the least that Ray takes.
_OBJECTS_BYTES = 100_000_000
_logger = logging.getLogger(__name__)


def keep_off_network() -> None:
    """Have Ray listen to this computer alone, and to nobody without its token.

    Raises:
        ConfigurationError: Ray was loaded before, and would listen to the network.
    """
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


@contextmanager
def started_here(cpus: float | None, gpus: float | None) -> Iterator[None]:
    """Ray with so many cores and GPUs, until it is closed; None takes all.

    Raises:
        ConfigurationError: it cannot be started.
    """
    import ray

    with temporary_folder() as folder:
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
            _temp_dir=str(folder / _OF_RAY),
        )
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigurationError(
            f"Ray cannot be started on this computer: {error}.",
            f"It keeps its sockets and its log below {folder.parent}: see whether there is room.",
        ) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
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
    # As the system tells the names of open files: on macOS /tmp is a link.
    folder = folder.resolve()
    for process in psutil.process_iter():
        try:
            if _is_of_ray(process) and any(_is_written(file, folder) for file in process.open_files()):
                process.kill()
        except psutil.Error:
            continue  # gone, or somebody else's


def _is_of_ray(process: psutil.Process) -> bool:
    """Whether it is one of Ray's, by its program or by the title that it gives itself; they hide the rest."""
    command = " ".join(process.cmdline())
    return "ray::" in command or f"{os.sep}ray{os.sep}" in command


def _is_written(file: Any, folder: Path) -> bool:
    """Whether an open file is a log in the folder; the lock is none, which others open only to look."""
    path = Path(file.path)
    # Linux alone tells how a file was opened.
    return folder in path.parents and path.name != _LOCK and getattr(file, "mode", "a") != "r"


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
