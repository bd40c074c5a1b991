"""Pages of other origins, hosts of other names and other computers get no answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from lib import errors
from lib.access.conf import KEYS, AccessConf, read_access_conf
from lib.access.install import choose_login, install, middleware
from lib.access.origins import is_loopback_address
from monailabel.config import settings
from starlette.middleware import Middleware

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.store.tokens import TokenFile

VIEWER = "https://viewer.example.org"
asked_for = 0


def server_with(conf: AccessConf) -> FastAPI:
    server = FastAPI()

    @server.api_route("/x", methods=["GET", "POST"])
    def answer() -> dict[str, str]:
        global asked_for
        asked_for += 1
        return {}

    errors.install(server, [])
    server.user_middleware = middleware(choose_login(conf), conf)
    return server


def ask(
    server: FastAPI, method: str = "GET", *, to: tuple[str, int | None] = ("127.0.0.1", 8000), **headers: str
) -> httpx.Response:
    async def asked() -> httpx.Response:
        async def arriving(scope: dict[str, object], receive: object, send: object) -> None:
            await server({**scope, "server": to}, receive, send)  # type: ignore[arg-type]

        transport = httpx.ASGITransport(arriving, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, "/x", headers=named)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "", "https://127.0.0.1", "http://127.0.0.1:8001", "http://127.0.0.1",
        "http://127.0.0.1:8000.evil.example", "http://evil@127.0.0.1:8000", "file://", "127.0.0.1:8000",
        "ftp://127.0.0.1:8000", "http://127.0.0.1:8000/", "x" * 5000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_from_elsewhere_is_refused_and_no_route_gets_to_see_it(origin: str, method: str) -> None:
    before = asked_for
    response = ask(server_with(AccessConf()), method, origin=origin)
    assert response.status_code == 403
    assert response.json()["detail"] == f"web pages of {origin[:100]!r} may not ask this server."
    assert asked_for == before
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_the_servers_own_pages_and_programs_may_ask() -> None:
    server = server_with(AccessConf())
    assert ask(server, "POST", origin="http://127.0.0.1:8000").status_code == 200
    assert ask(server, "POST", host="localhost:8000", origin="http://localhost:8000").status_code == 200
    assert ask(server, "POST").status_code == 200


def test_two_origins_are_none() -> None:
    server = server_with(AccessConf(cors_origins=(VIEWER,)))

    async def asked() -> int:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/x", headers=[("Origin", VIEWER), ("Origin", VIEWER)])).status_code

    assert asyncio.run(asked()) == 403


def test_a_configured_page_may_ask_and_read_without_credentials() -> None:
    response = ask(server_with(AccessConf(cors_origins=(VIEWER,))), origin=VIEWER)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == VIEWER
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]


def test_a_configured_page_may_ask_whether_it_may_without_a_token_and_send_one_then(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens")
    token = tokens.add("a", "user")
    server = server_with(AccessConf(token_file=tokens.path, cors_origins=(VIEWER,)))
    asking = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization, content-type",
    }
    response = ask(server, "OPTIONS", origin=VIEWER, **asking)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == VIEWER
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST, PUT, DELETE"
    assert "Authorization" in response.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in response.headers
    assert ask(server, "POST", origin=VIEWER, authorization=f"Bearer {token}").status_code == 200
    refused = ask(server, "POST", origin=VIEWER)
    # The page must be able to read that it is to log in.
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, VIEWER)
    assert ask(server, "OPTIONS", origin="https://evil.example", **asking).status_code == 403


@pytest.mark.parametrize(
    "near", ["http://viewer.example.org", f"{VIEWER}:444", "https://example.org", f"{VIEWER}.evil.org"]
)
def test_a_page_of_nearly_a_configured_origin_is_refused(near: str) -> None:
    assert ask(server_with(AccessConf(cors_origins=(VIEWER,))), origin=near).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200),
        ("192.168.1.7:8000", 200), ("ct.example.org", 200), ("ct.example.org:444", 200),
        ("evil.example", 400), ("evil.example:8000", 400), ("localhost.evil.example", 400), ("", 400),
        ("localhost@evil.example", 400), ("evil.example/localhost", 400), ("localhost:x", 400),
        ("evil.example@localhost", 400), ("localhost/evil.example", 400), ("localhost?x", 400),
        ("127.0.0.1.evil.example", 400), ("[::1", 400), ("localhost, evil.example", 400), ("2130706433", 400),
    ],
)  # fmt: skip
def test_without_a_login_a_host_must_be_an_address_or_a_name_this_server_knows(
    host: str, status: int
) -> None:
    assert ask(server_with(AccessConf(hosts=("ct.example.org",))), host=host).status_code == status


def test_a_host_that_is_not_known_is_told_the_way_out() -> None:
    assert ask(server_with(AccessConf()), host="evil.example").json() == {
        "error": "ForeignHostError",
        "detail": "this server does not know itself as 'evil.example'.",
        "hint": "Ask for localhost or an address, or start the server with --conf hosts NAME.",
    }


def test_a_rebound_name_is_refused_though_its_page_calls_itself_the_servers_own() -> None:
    response = ask(server_with(AccessConf()), "POST", host="evil.example", origin="http://evil.example")
    assert response.status_code == 400


def test_with_a_login_any_host_may_be_asked_unless_hosts_are_named(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens")
    bearer = f"Bearer {tokens.add('a', 'user')}"
    conf = AccessConf(token_file=tokens.path)
    assert ask(server_with(conf), host="ct.example.org", authorization=bearer).status_code == 200
    named = AccessConf(token_file=tokens.path, hosts=("ct.example.org",))
    assert ask(server_with(named), host="ct.example.org", authorization=bearer).status_code == 200
    assert ask(server_with(named), host="other.example.org", authorization=bearer).status_code == 400


def test_without_a_login_another_computer_gets_no_answer_wherever_the_server_listens() -> None:
    server = server_with(AccessConf())
    refused = ask(server, to=("192.168.1.7", 8000))
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "this server has no login, so it answers programs on its own computer only.",
    )
    assert ask(server, to=("::ffff:192.168.1.7", 8000)).status_code == 403
    assert ask(server, to=("::1", 8000)).status_code == 200
    assert ask(server, to=("::ffff:127.0.0.1", 8000)).status_code == 200
    # A Unix socket: who may open that file may ask.
    assert ask(server, to=("/run/vptct.sock", None)).status_code == 200
    assert ask(server_with(AccessConf(without_login="anyone")), to=("192.168.1.7", 8000)).status_code == 200


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.7", False), ("localhost", False), ("", False),
        ("::ffff:10.0.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_of_this_computer_alone(address: str, here: bool) -> None:
    assert is_loopback_address(address) is here


def test_the_configuration_in_full(tmp_path: Path) -> None:
    conf = {
        "token_file": str(tmp_path / "tokens"),
        "without_login": "loopback",
        "cors_origins": f"{VIEWER}, http://localhost:3000,{VIEWER}",
        "hosts": "CT.example.org,[::1]",
        "tasks": "pe",
    }
    assert read_access_conf(conf) == AccessConf(
        token_file=tmp_path / "tokens",
        without_login="loopback",
        cors_origins=(VIEWER, "http://localhost:3000"),
        hosts=("ct.example.org", "::1"),
    )
    assert set(KEYS) < set(conf)
    assert read_access_conf({}) == AccessConf(None, "loopback", (), ())


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("without_login", "yes", "--conf without_login yes: unknown; choose from loopback, anyone."),
        ("without_login", "", "--conf without_login : unknown;"),
        ("token_file", " ", "--conf token_file is empty; name the file"),
        ("cors_origins", "", "--conf cors_origins is empty;"),
        ("cors_origins", "*", "--conf cors_origins *: is no origin as browsers send it."),
        ("cors_origins", "https://*.example.org", "is no origin"),
        ("cors_origins", "null", "is no origin"),
        ("cors_origins", f"{VIEWER}/", "is no origin"),
        ("cors_origins", f"{VIEWER}:443", "is no origin"),
        ("cors_origins", "http://a:80", "is no origin"),
        ("cors_origins", "http://a:x", "is no origin"),
        ("cors_origins", "https://Viewer.example.org", "is no origin"),
        ("cors_origins", "viewer.example.org", "is no origin"),
        ("cors_origins", "https://me@viewer.example.org", "is no origin"),
        ("cors_origins", "file:///x", "is no origin"),
        ("hosts", "ct.example.org:8000", "--conf hosts ct.example.org:8000: is no name of a host."),
        ("hosts", "http://ct.example.org", "is no name of a host"),
        ("hosts", "*", "is no name of a host"),
        ("hosts", ",", "--conf hosts is empty;"),
    ],
)
def test_a_value_that_would_never_match_or_match_too_much_is_refused(
    key: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_access_conf({key: value})
    assert problem in str(caught.value)


def test_monai_labels_own_middleware_for_any_origin_goes() -> None:
    server = FastAPI(middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)])
    server.middleware_stack = server.build_middleware_stack()
    install(server, AccessConf())
    assert CORSMiddleware not in {each.cls for each in server.user_middleware}
    assert ask(server, origin="http://evil.example").status_code == 403


def test_monai_labels_own_setting_for_origins_is_refused_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MONAI_LABEL_CORS_ORIGINS", [VIEWER])
    with pytest.raises(ConfigurationError, match="Give --conf cors_origins ORIGIN instead"):
        install(FastAPI(), AccessConf())
