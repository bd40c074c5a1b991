"""Answers of a server by what is asked, for tests in which the real one cannot be brought to give them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from scripted_server import Play, ScriptedServer, answer

INFO: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "contract" / "info.json").read_text(encoding="utf-8")
)
NO_LOGIN = {"login": "none", "enabled": False, "realm": None, "client_id": None}
BY_TOKEN = {**NO_LOGIN, "login": "token_file", "enabled": True}


def info(**of_ours: Any) -> dict[str, Any]:
    """The info of the contract, with other values in its part ``vptct``."""
    made = deepcopy(INFO)
    made["vptct"].update(of_ours)
    return made


class Doors:
    """A server whose answers a test changes while it runs.

    Attributes:
        plays: by path.
        server: that answers.
    """

    def __init__(self, login: dict[str, Any], name: str, role: str) -> None:
        self.plays: dict[str, Play] = {
            "/auth/": answer(200, login),
            "/info/": answer(200, info()),
            "/auth/token/valid": answer(200, {"username": name, "role": role}),
        }
        self.server = ScriptedServer([self._play])

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def tokens(self) -> list[str]:
        """What came as tokens, in its order; "" for none."""
        return [asked.headers.get("Authorization", "")[7:] for asked in self.server.asked]

    def _play(self, connection: socket.socket) -> None:
        path = self.server.here.asked.path.partition("?")[0]
        self.plays.get(path, answer(404, {"detail": f"no {path} here.", "hint": ""}))(connection)


@contextmanager
def doors(login: dict[str, Any] = NO_LOGIN, name: str = "", role: str = "admin") -> Iterator[Doors]:
    """One that runs within the ``with`` block."""
    made = Doors(login, name, role)
    with made.server:
        yield made
