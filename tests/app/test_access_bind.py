"""Where the server listens: here only, unless somebody asked for more and said who may come in."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from lib.access.bind import is_loopback, named_host, settle_address
from lib.access.conf import AccessConf

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.store.tokens import TokenFile

APP = Path(__file__).resolve().parents[2] / "apps" / "vptct"
START = ["/x/monailabel/main.py", "start_server", "--app", "a", "--studies", "s"]


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        ([], None),
        (["--host", "0.0.0.0"], "0.0.0.0"),
        (["--host=0.0.0.0"], "0.0.0.0"),
        (["-i", "10.0.0.1"], "10.0.0.1"),
        (["-i10.0.0.1"], "10.0.0.1"),
        (["--hos", "::"], "::"),
        (["--ho=localhost"], "localhost"),
        (["-p", "8001", "--conf", "hosts", "ct.example.org"], None),
        (["--conf", "tasks", "host"], None),
        (["-i", "10.0.0.1", "--host", "127.0.0.1"], "127.0.0.1"),
    ],
)
def test_every_way_to_write_the_host_is_understood(arguments: list[str], host: str | None) -> None:
    assert named_host([*START, *arguments]) == host


def test_a_host_named_before_the_other_arguments_counts_too() -> None:
    assert named_host(["main.py", "start_server", "-i", "::1", "-a", "x", "-s", "y"]) == "::1"


def test_another_command_names_what_it_listens_on_itself() -> None:
    assert named_host(["/usr/bin/uvicorn", "monailabel.app:app"]) is not None


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
        ("::", False), ("", False), ("192.0.2.7", False), ("no.such.host.invalid", False), ("a" * 300, False),
    ],
)  # fmt: skip
def test_which_hosts_open_the_server_to_this_computer_only(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_what_starts_with_several_workers_must_name_its_host() -> None:
    import uvicorn

    several = uvicorn.Server(uvicorn.Config("x:y", host="0.0.0.0", workers=2, log_config=None))
    with pytest.raises(ConfigurationError, match=r"Name one: --host 127.0.0.1"):
        settle_address(AccessConf(), login=False, argv=START)
    several.started = True
    settle_address(AccessConf(), login=False, argv=START)
    assert several.config.host == "0.0.0.0"


@dataclass(frozen=True)
class Started:
    """A server that was started as a user starts it, or what is left of one that refused."""

    port: int
    exit_code: int | None
    log: str

    @property
    def addresses(self) -> set[str]:
        """Where it listens, as the system says."""
        return {address for address, port in listening() if port == self.port}

    def status(self, path: str, host: str = "127.0.0.1", **headers: str) -> int:
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://{host}:{self.port}{path}"
            return session.get(url, headers=headers, timeout=10).status_code


@contextlib.contextmanager
def start(folder: Path, *arguments: str, **environment: str) -> Iterator[Started]:
    app, studies, log_path = folder / "app", folder / "studies", folder / "log"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("logs", "bin", "model", "__pycache__"))
    studies.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app)]
    command += ["--studies", str(studies), "--port", str(port), "--conf", "models", "tiny"]
    command += ["--conf", "device", "cpu", *arguments]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment}
        )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if "Uvicorn running" in log_path.read_text(errors="replace"):
                break
            time.sleep(0.1)
        yield Started(port, process.poll(), log_path.read_text(errors="replace"))
    finally:
        process.terminate()
        process.wait(20)


def listening() -> set[tuple[str, int]]:
    """The address and port of every socket that listens, from Linux's tables."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state != "0A":
                continue
            digits, port = local.split(":")
            # Each group of four bytes is a number in this computer's own order.
            groups = [bytes.fromhex(digits[at : at + 8])[:: _byte_step()] for at in range(0, len(digits), 8)]
            found.add((socket.inet_ntop(family, b"".join(groups)), int(port, 16)))
    return found


def _byte_step() -> int:
    return -1 if sys.byteorder == "little" else 1


linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's table of sockets")


@linux
def test_without_a_host_the_server_listens_on_this_computer_only(tmp_path: Path) -> None:
    with start(tmp_path) as server:
        assert server.addresses == {"127.0.0.1"}, server.log[-3000:]
        assert f"Uvicorn running on http://127.0.0.1:{server.port}" in server.log
        assert server.status("/info/") == 200
        assert server.status("/info/", Host="evil.example") == 400
        assert server.status("/info/", Origin="http://evil.example") == 403


@linux
def test_a_host_for_everybody_without_a_login_does_not_start_and_says_the_ways_out(tmp_path: Path) -> None:
    with start(tmp_path, "--hos=0.0.0.0") as server:
        assert server.exit_code is not None
        assert server.exit_code != 0
        assert server.addresses == set()
    assert "--host 0.0.0.0 opens the server to other computers, and there is no login." in server.log
    for way_out in ("vpt tokens add", "--conf token_file", "reverse proxy", "--conf without_login anyone"):
        assert way_out in server.log


@linux
def test_a_host_for_everybody_with_a_login_starts_and_warns_that_nothing_is_encrypted(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens")
    bearer = f"Bearer {tokens.add('alice', 'user')}"
    with start(tmp_path, "--host", "0.0.0.0", "--conf", "token_file", str(tokens.path)) as server:
        assert server.addresses == {"0.0.0.0"}, server.log[-3000:]
        assert "pass 0.0.0.0 unencrypted; put a reverse proxy with TLS before it" in server.log
        assert server.status("/info/") == 401
        assert server.status("/info/", Authorization=bearer) == 200


@linux
def test_anyone_may_ask_where_that_was_said(tmp_path: Path) -> None:
    with start(tmp_path, "--host", "0.0.0.0", "--conf", "without_login", "anyone") as server:
        assert server.addresses == {"0.0.0.0"}, server.log[-3000:]
        assert "no login: whoever reaches 0.0.0.0 may read every study and write labels" in server.log
        assert server.status("/info/") == 200
