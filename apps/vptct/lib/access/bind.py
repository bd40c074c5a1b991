"""Where the server listens: on this computer only, unless somebody asked for more.

MONAI Label listens on 0.0.0.0, that is for everybody, unless it is told otherwise.
"""

from __future__ import annotations

import argparse
import gc
import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn
from monailabel.main import Main

from vpt_plugin.errors import ConfigurationError

from .conf import ANYONE, AccessConf
from .origins import is_loopback_address

_logger = logging.getLogger(__name__)
_HERE = "127.0.0.1"
_OTHER_WAY_IN = (
    "Let people log in: vpt tokens add NAME --role annotator --file F, then --conf token_file F, and put a "
    "reverse proxy with TLS before the server; docs/server.md shows it. Or, where whoever reaches this "
    "computer may read every study and write every label: --conf without_login anyone."
)


def settle_address(conf: AccessConf, *, login: bool, argv: Sequence[str] | None = None) -> None:
    """Make the server that is starting listen where it may; to be called before it listens.

    Uvicorn loads the app first and opens its socket afterwards, at the address that its configuration then
    says. There is no way in to that configuration from an app, so it is looked for among all objects.

    Args:
        conf: who may ask.
        login: people must log in.
        argv: the command line; None takes that of this program.

    Raises:
        ConfigurationError: it was told to listen for other computers, and there is no login; or several
            worker processes share a socket that was opened for everybody before this could be asked.
    """
    named = named_host(sys.argv if argv is None else argv)
    for config in _starting():
        if named is None and config.workers > 1:
            raise ConfigurationError(
                "--workers opens the server to all addresses before this app can prevent it.",
                "Name one: --host 127.0.0.1",
            )
        if named is None:
            config.host = _HERE
        _check_address(config, conf, login=login)


def named_host(argv: Sequence[str]) -> str | None:
    """The host that ``monailabel start_server`` was told; None where it takes its default, 0.0.0.0.

    Other commands, such as ``uvicorn monailabel.app:app``, listen on 127.0.0.1 unless they are told
    otherwise: what they listen on counts as named.
    """
    if list(argv[1:2]) != ["start_server"]:
        return ""
    # MONAI Label's own parser, so that every way to write --host is understood as it was at the start.
    parser = argparse.ArgumentParser()
    Main().args_start_server(parser)
    parser.set_defaults(host=None)
    host: str | None = parser.parse_known_args(argv[2:])[0].host
    return host


def is_loopback(host: str) -> bool:
    """Whether only programs on this computer reach a server that listens at this name or address."""
    if is_loopback_address(host):
        return True
    try:
        # An empty name means every address there is.
        found = socket.getaddrinfo(host, None) if host else []
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback_address(str(each[4][0])) for each in found)


def _starting() -> list[uvicorn.Config]:
    """The configurations of the servers that do not listen yet; there is one, unless something else runs
    the app."""
    # Not isinstance: among all objects there are some that make up their class when they are asked for it.
    servers = [each for each in gc.get_objects() if issubclass(type(each), uvicorn.Server)]
    return [server.config for server in servers if not server.started]


def _check_address(config: uvicorn.Config, conf: AccessConf, *, login: bool) -> None:
    # A Unix socket, or one that was handed over: who may reach it was decided elsewhere.
    if config.uds is not None or config.fd is not None or is_loopback(config.host):
        return
    if not login and conf.without_login != ANYONE:
        raise ConfigurationError(
            f"--host {config.host} opens the server to other computers, and there is no login.", _OTHER_WAY_IN
        )
    if not login:
        _logger.warning("no login: whoever reaches %s may read every study and write labels", config.host)
    elif not config.is_ssl:
        _logger.warning(
            "tokens and studies pass %s unencrypted; put a reverse proxy with TLS before it", config.host
        )
