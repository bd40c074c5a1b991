"""A cluster of Ray that somebody started: joined where it answers and has the same code."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vpt_plugin import __version__
from vpt_plugin.errors import ConfigurationError

_CLIENT = "ray://"
_CLIENT_PORT, _PORT = 10001, 6379
# A cluster in the same building answers within milliseconds.
_PATIENCE_SECONDS = 5.0
_CHECK_SECONDS = 120.0


def take_token() -> None:
    """Have Ray use the token that the user has for a cluster.

    Ray itself takes it by default where it starts, and not where it joins.
    """
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _has_token() -> bool:
    """Whether the user has a token for a cluster, in one of the three places where Ray looks."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").is_file()


@contextmanager
def joined_cluster(address: str) -> Iterator[None]:
    """The cluster at this address, until it is closed.

    Raises:
        ConfigurationError: it does not answer, or has another Python, Ray or VPTCT.
    """
    import ray

    require_answer(address)
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


def require_answer(address: str) -> None:
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
        name: version for name, version in on_every_node(_version_reader()).items() if version != __version__
    }
    if others:
        told = "; ".join(f"{name} has {version or 'none'}" for name, version in sorted(others.items()))
        raise ConfigurationError(
            f"the cluster at {address} has another VPTCT than this computer ({__version__}): {told}.",
            "Install the same one everywhere: code is not sent.",
        )


def on_every_node(what: Callable[..., Any], *arguments: object) -> dict[str, Any]:
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


def seen_of(paths: list[str]) -> list[bool]:
    """Which of them are there; runs on the computers of a cluster."""
    return [Path(path).exists() for path in paths]
