"""The reverse proxies of docs/deploy, really run: TLS, login, large studies, refusals."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from server_process import ServerProcess

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti
from vpt_plugin.store.tokens import TokenFile

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
VIEWER = "https://viewer.example.org"


@dataclass(frozen=True)
class Proxied:
    """The server and a proxy before it.

    Attributes:
        url: the proxy's.
        certificate: which the proxy shows.
        token: of an annotator, anna.
        server: behind the proxy.
    """

    url: str
    certificate: Path
    token: str
    server: ServerProcess

    def ask(self, method: str, route: str, *, token: str = "", **options: object) -> requests.Response:
        headers = dict(options.pop("headers", {}))  # type: ignore[call-overload]
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                self.url + route,
                headers=headers,
                verify=str(self.certificate),
                timeout=120,
                **options,
            )  # type: ignore[arg-type]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The text with each of these replaced; each must be there, lest the test run another file."""
    for old, new in changes:
        assert old in text, f"{old} is no longer in the file"
        text = text.replace(old, new)
    return text


def self_signed(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "fullchain.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += [*subject, "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return key, certificate


def nginx(folder: Path, port: int, server_port: int) -> list[str]:
    site = replaced(
        (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("    listen [::]:443 ssl;\n", ""),
        ("127.0.0.1:8000", f"127.0.0.1:{server_port}"),
        ("/etc/vptct/tls", str(folder)),
    )
    (folder / "site.conf").write_text(site)
    user = "user root;" if os.geteuid() == 0 else ""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in names)
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {temporary} include {folder}/site.conf; }}"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def caddy(folder: Path, port: int, server_port: int) -> list[str]:
    site = replaced(
        (DEPLOY / "Caddyfile").read_text(encoding="utf-8"),
        (
            "ct.example.org {\n",
            "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
            f"https://127.0.0.1:{port} {{\n"
            f"\tbind 127.0.0.1\n\ttls {folder}/fullchain.pem {folder}/key.pem\n",
        ),
        ("127.0.0.1:8000", f"127.0.0.1:{server_port}"),
    )
    (folder / "Caddyfile").write_text(site)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, workshop, publish: Callable[..., object]
) -> Iterator[tuple[ServerProcess, str]]:
    """A server with a file of tokens that takes no more than 20 MB, and a token."""
    root = tmp_path_factory.mktemp("proxied")
    publish("nodule", "tiny")
    (root / "studies").mkdir()
    token = TokenFile(root / "tokens.txt").add("anna", "annotator")
    conf = {
        "tasks": "nodule",
        "models": "tiny",
        "device": "cpu",
        "scoring": "off",
        "models_dir": str(workshop.models),
        "unsuitable": "warn",
        "token_file": str(root / "tokens.txt"),
        "max_upload_gb": "0.02",
        "cors_origins": VIEWER,
    }
    with ServerProcess(root / "studies", conf=conf) as process:
        yield process, token


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxied(
    request: pytest.FixtureRequest,
    server: tuple[ServerProcess, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxied]:
    """The server behind each of the proxies in turn."""
    for program in (request.param, "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {program}")
    process, token = server
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    _, certificate = self_signed(folder)
    command = PROXIES[request.param](folder, port, int(process.url.rsplit(":", 1)[1]))
    # Caddy keeps its own files in the user's folders.
    environment = {**os.environ, **dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))}
    with (folder / "proxy.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(port, running, folder / "proxy.log")
            yield Proxied(f"https://127.0.0.1:{port}", certificate, token, process)
        finally:
            running.terminate()
            running.wait(20)


def wait_for(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        assert running.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the proxy does not listen: {log.read_text()}")


@pytest.fixture(scope="module")
def eight_megabytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A study of 60 slices that does not shrink: eight times what nginx takes by default."""
    hu = np.random.default_rng(1).integers(-900, 0, (60, 260, 260)).astype(np.int16)
    path = tmp_path_factory.mktemp("large") / "ct.nii"
    write_nifti(Volume(hu, (2.5, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "large"), path)
    assert 8_000_000 < path.stat().st_size < 9_000_000
    return path.read_bytes()


def test_without_a_token_there_is_no_answer_and_with_one_there_is(proxied: Proxied) -> None:
    refused = proxied.ask("GET", "/info/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.json()["hint"] == "Send the header: Authorization: Bearer TOKEN"
    assert proxied.ask("GET", "/info/", token=proxied.token + "x").status_code == 401
    answer = proxied.ask("GET", "/info/", token=proxied.token)
    assert answer.json()["vptct"]["models"][0]["trained"] is True


@pytest.mark.parametrize("token", [False, True], ids=["an error", "an answer"])
def test_what_a_browser_is_told_goes_with_every_answer(proxied: Proxied, token: bool) -> None:
    headers = proxied.ask("GET", "/info/", token=proxied.token if token else "").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "/" not in headers.get("Server", "")  # no version


def test_a_study_of_8_mb_is_classified(proxied: Proxied, eight_megabytes: bytes) -> None:
    answer = proxied.ask(
        "POST", "/infer/nodule_tiny", token=proxied.token, files={"file": ("ct.nii", eight_megabytes)}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["vptct"]["findings"][0]["name"] == "lung_nodule"


def test_a_session_holds_a_study_for_several_requests(proxied: Proxied, eight_megabytes: bytes) -> None:
    created = proxied.ask(
        "PUT", "/session/", token=proxied.token, files={"files": ("ct.nii", eight_megabytes)}
    ).json()
    route = f"/infer/nodule_tiny?session_id={created['session_id']}"
    assert proxied.ask("POST", route, token=proxied.token).status_code == 200
    removed = proxied.ask("DELETE", f"/session/{created['session_id']}", token=proxied.token)
    assert removed.status_code == 200


def test_without_a_token_an_upload_is_refused_with_the_servers_words(
    proxied: Proxied, eight_megabytes: bytes
) -> None:
    before = sorted(proxied.server.temporary.rglob("*"))
    answer = proxied.ask("POST", "/infer/nodule_tiny", files={"file": ("ct.nii", eight_megabytes)})
    assert answer.status_code == 401, answer.text
    assert answer.json()["detail"] == "this server wants a login."
    assert sorted(proxied.server.temporary.rglob("*")) == before


def test_what_is_larger_than_the_servers_limit_is_refused_by_the_server_and_not_by_the_proxy(
    proxied: Proxied,
) -> None:
    answer = proxied.ask(
        "POST", "/infer/nodule_tiny", token=proxied.token, files={"file": ("ct.nii", bytes(25_000_000))}
    )
    assert answer.status_code == 413
    assert "max_upload_gb" in answer.json()["hint"]


def test_pages_of_the_proxys_own_origin_and_of_those_configured_may_ask_and_no_others(
    proxied: Proxied,
) -> None:
    def ask(origin: str) -> requests.Response:
        return proxied.ask("GET", "/info/", token=proxied.token, headers={"Origin": origin})

    assert ask(proxied.url).status_code == 200
    assert ask(VIEWER).headers["Access-Control-Allow-Origin"] == VIEWER
    assert ask("https://evil.example").status_code == 403
    preflight = {
        "Origin": VIEWER,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = proxied.ask("OPTIONS", "/session/", headers=preflight)
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, VIEWER)
