"""ArchiveAddress and Credentials: where the archive is, and who asks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from vpt_plugin.errors import ConfigurationError

USERNAME = "MONAI_LABEL_DATASTORE_USERNAME"
PASSWORD = "MONAI_LABEL_DATASTORE_PASSWORD"  # noqa: S105  the name of a variable
TOKEN = "VPTCT_ARCHIVE_TOKEN"  # noqa: S105  the name of a variable
_OLDER = {USERNAME: "MONAI_LABEL_DICOMWEB_USERNAME", PASSWORD: "MONAI_LABEL_DICOMWEB_PASSWORD"}
_TOKEN = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}
_HASH_DIGITS = 8


@dataclass(frozen=True)
class ArchiveAddress:
    """The address of a DICOMweb service.

    Attributes:
        url: the address without a slash at the end; QIDO-RS and WADO-RS lie below it.
        host: the host, with its port where that is not the usual one: what messages name.
        folder_name: a readable name for the folder of what belongs to this archive. The protocol is left out
            of it: an archive that changes to https keeps its labels.
    """

    url: str
    host: str
    folder_name: str

    @classmethod
    def parse(cls, text: str, *, option: str = "--studies") -> ArchiveAddress:
        """The address that was given.

        Args:
            text: the address.
            option: what it was given with, for messages.

        Raises:
            ConfigurationError: it is no http address, or it holds a password, a query or a fragment.
        """
        try:
            parts = urlsplit(text.strip())
            name, port = parts.hostname or "", parts.port
        except ValueError:
            parts, name, port = SplitResult("", "", "", "", ""), "", None
        if "@" in parts.netloc:
            # The text itself is left out of the message: there may be a password in it.
            raise ConfigurationError(
                f"{option}: the address of the archive must hold no user name and no password;",
                f"set {USERNAME} and {PASSWORD} in the environment of the server. Command lines are logged: "
                "if it was a real password, change it.",
            )
        if parts.scheme not in _PORTS or not name or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{option} {text[:200]}: this is no address of a DICOM archive;",
                "it looks like http://host:8042/dicom-web, without ? and # in it.",
            )
        host = f"[{name}]" if ":" in name else name
        if port is not None and port != _PORTS[parts.scheme]:
            host = f"{host}:{port}"
        path = parts.path.rstrip("/")
        return cls(f"{parts.scheme}://{host}{path}", host, _folder_name(host, path))

    def home_in(self, vptct_home: Path) -> Path:
        """The folder of what belongs to it: its ``labels`` and, unless told otherwise, its ``cache``."""
        return vptct_home / "archives" / self.folder_name

    @property
    def is_this_computer(self) -> bool:
        """Whether the archive runs on this very computer; then no proxy comes in between."""
        name = urlsplit(self.url).hostname or ""
        return name in ("localhost", "::1") or name.startswith("127.")


def _folder_name(host: str, path: str) -> str:
    digest = hashlib.sha256(f"{host}{path}".encode()).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", host).strip("-.")
    return f"{readable}-{digest}"


@dataclass(frozen=True)
class Credentials(AuthBase):
    """Who asks: a user name and a password, or a bearer token. Neither is ever printed."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Credentials | None:
        """The credentials in the environment's variables; None where there are none.

        Raises:
            ConfigurationError: they are incomplete, or there are two kinds.
        """
        username, password = (_variable(environment, name) for name in (USERNAME, PASSWORD))
        token = environment.get(TOKEN, "").strip()
        if token and (username or password):
            raise ConfigurationError(
                f"both {TOKEN} and {USERNAME} or {PASSWORD} are set;",
                "unset those that the archive does not use.",
            )
        if token and not _TOKEN.fullmatch(token):
            raise ConfigurationError(f"{TOKEN} holds characters that no token has.")
        if token:
            return cls(token=token)
        if bool(username) != bool(password):
            missing = PASSWORD if username else USERNAME
            raise ConfigurationError(f"{missing} is not set;", "the archive's login needs both.")
        return cls(username, password) if username else None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the login into a request."""
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
            return request
        # As UTF-8, which RFC 7617 recommends; of a text requests would take Latin-1, which lacks letters.
        login = HTTPBasicAuth(self.username.encode(), self.password.encode())
        login(request)
        return request


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(_OLDER[name], "")
