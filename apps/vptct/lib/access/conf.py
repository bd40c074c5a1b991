"""What ``--conf`` says about who may ask."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vpt_plugin.errors import ConfigurationError

KEYS = ("token_file", "without_login", "cors_origins", "hosts")
LOOPBACK, ANYONE = "loopback", "anyone"
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class AccessConf:
    """Who may ask.

    Attributes:
        token_file: the file of tokens; None for none.
        without_login: who may ask a server that has no login: ``loopback`` for programs on this computer
            only, ``anyone`` for whoever reaches it.
        cors_origins: web pages of these origins may ask too, such as ``https://viewer.example.org``.
        hosts: names by which clients may call this server, beside localhost and its addresses; lower case.
    """

    token_file: Path | None = None
    without_login: str = LOOPBACK
    cors_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def read_access_conf(conf: Mapping[str, str]) -> AccessConf:
    """This part of the configuration out of MONAI Label's pairs of texts; other keys are passed over.

    Raises:
        ConfigurationError: a value that cannot be; names the choices.
    """
    without_login = conf.get("without_login", LOOPBACK)
    if without_login not in (LOOPBACK, ANYONE):
        raise ConfigurationError(
            f"--conf without_login {without_login}: unknown;", f"choose from {LOOPBACK}, {ANYONE}."
        )
    if not conf.get("token_file", "-").strip():
        raise ConfigurationError("--conf token_file is empty;", "name the file that vpt tokens add made.")
    return AccessConf(
        token_file=Path(conf["token_file"]).expanduser().absolute() if "token_file" in conf else None,
        without_login=without_login,
        cors_origins=tuple(_origin(each) for each in _several(conf, "cors_origins")),
        hosts=tuple(_host(each) for each in _several(conf, "hosts")),
    )


def _several(conf: Mapping[str, str], key: str) -> list[str]:
    if key not in conf:
        return []
    values = [value.strip() for value in conf[key].split(",") if value.strip()]
    if not values:
        raise ConfigurationError(f"--conf {key} is empty;", "give one value, or several: a,b.")
    return list(dict.fromkeys(values))


def _origin(text: str) -> str:
    """The origin as browsers send it; one that no browser sends would never match, so it is refused."""
    try:
        parts = urlsplit(text)
        exact = f"{parts.scheme}://{parts.netloc}".lower()
        wanted = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        standard = {"http": 80, "https": 443}.get(parts.scheme)
        usual = text == exact and "*" not in text and (parts.port is None or parts.port != standard)
    except ValueError:
        wanted = usual = False
    if not (wanted and usual):
        raise ConfigurationError(
            f"--conf cors_origins {text}: is no origin as browsers send it.",
            "Write it like https://viewer.example.org or http://localhost:3000: small letters, no path, no "
            "slash at the end, no *, and no port where it is the usual one.",
        )
    return exact


def _host(text: str) -> str:
    host = text.lower().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # A name, then.
    if not _HOST.fullmatch(host):
        raise ConfigurationError(
            f"--conf hosts {text}: is no name of a host.",
            "Write it like ct.example.org: no port, no path, no http://.",
        )
    return host
