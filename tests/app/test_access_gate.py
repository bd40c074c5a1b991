"""Without a login that is right nothing is answered, and nothing of a request is read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, File, UploadFile
from lib import errors
from lib.access import gate, login_routes
from lib.access.conf import AccessConf
from lib.access.errors import RoleMissingError
from lib.access.gate import require
from lib.access.install import choose_login, middleware
from lib.access.login import NoLogin
from lib.access.person import LOCAL, Person, annotator_of
from monailabel.config import settings
from starlette.datastructures import State

from vpt_plugin.errors import ConfigurationError, TokenFileError
from vpt_plugin.store.tokens import ROLES, TokenFile

routes = APIRouter()


@routes.get("/user")
def for_users(person: Annotated[Person, Depends(require("user"))]) -> dict[str, str]:
    return {"name": person.name, "role": person.role}


@routes.get("/annotator")
def for_annotators(person: Annotated[Person, Depends(require("annotator"))]) -> dict[str, str]:
    return {"name": person.name, "role": person.role}


@routes.get("/reviewer")
def for_reviewers(person: Annotated[Person, Depends(require("reviewer"))]) -> dict[str, str]:
    return {"name": person.name, "role": person.role}


@routes.get("/admin")
def for_admins(person: Annotated[Person, Depends(require("admin"))]) -> dict[str, str]:
    return {"name": person.name, "role": person.role}


@routes.get("/forgotten")
def nobody_thought_of_a_role_here() -> dict[str, str]:
    return {}


@routes.post("/upload")
def upload(
    file: Annotated[UploadFile, File()], person: Annotated[Person, Depends(require("user"))]
) -> dict[str, int]:
    return {"bytes": file.size or 0}


def server_with(conf: AccessConf, *, state: State | None = None) -> FastAPI:
    server = FastAPI()
    server.include_router(routes)
    server.include_router(login_routes.router)
    server.state.login = choose_login(conf)
    server.user_middleware = middleware(server.state.login, conf)
    errors.install(server, [])
    return server


def ask(server: FastAPI, path: str, method: str = "GET", **options: object) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(server, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(asked())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_SECONDS", 0.01)
    monkeypatch.setattr(login_routes, "WRONG_TOKEN_SECONDS", 0.01)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "tokens")


@pytest.fixture
def people(tokens: TokenFile) -> dict[str, dict[str, str]]:
    """The header that each role logs in with."""
    return {role: {"Authorization": f"Bearer {tokens.add(f'the-{role}', role)}"} for role in ROLES}


@pytest.fixture
def server(tokens: TokenFile, people: dict[str, dict[str, str]]) -> FastAPI:
    return server_with(AccessConf(token_file=tokens.path))


def test_a_higher_role_includes_the_lower_and_not_the_other_way_round(
    server: FastAPI, people: dict[str, dict[str, str]]
) -> None:
    allowed = {
        (role, wanted): ask(server, f"/{wanted}", headers=people[role]).status_code == 200
        for role in ROLES
        for wanted in ROLES
    }
    assert allowed == {
        (role, wanted): ROLES.index(role) >= ROLES.index(wanted) for role in ROLES for wanted in ROLES
    }


def test_a_missing_role_is_named(server: FastAPI, people: dict[str, dict[str, str]]) -> None:
    response = ask(server, "/reviewer", headers=people["annotator"])
    assert (response.status_code, response.json()) == (
        403,
        {
            "error": "RoleMissingError",
            "detail": "this needs the role reviewer, and the-annotator is annotator.",
            "hint": "Who runs this server gives out roles.",
        },
    )


def test_who_sends_no_token_is_told_how(server: FastAPI) -> None:
    response = ask(server, "/user")
    assert (response.status_code, response.json()) == (
        401,
        {
            "error": "NotLoggedInError",
            "detail": "this server wants a login.",
            "hint": "Send the header: Authorization: Bearer TOKEN",
        },
    )
    assert response.headers["www-authenticate"] == 'Bearer realm="VPTCT"'


def test_a_token_that_nobody_has_is_told_so(server: FastAPI) -> None:
    response = ask(server, "/user", headers={"Authorization": "Bearer guess"})
    assert (response.status_code, response.json()) == (
        401,
        {
            "error": "NotLoggedInError",
            "detail": "this server does not know this token.",
            "hint": "It may have been taken away; who runs this server makes a new one.",
        },
    )
    assert response.headers["www-authenticate"] == 'Bearer realm="VPTCT", error="invalid_token"'


def test_a_token_counts_in_its_header_only_and_under_the_name_bearer_only(
    server: FastAPI, people: dict[str, dict[str, str]]
) -> None:
    token = people["admin"]["Authorization"].removeprefix("Bearer ")
    assert ask(server, "/user", headers={"Authorization": f"bearer {token}"}).status_code == 200
    for headers in (
        {"Authorization": token},
        {"Authorization": f"Basic {token}"},
        {"Authorization": f"Bearer{token}"},
        {"Cookie": f"Authorization=Bearer {token}; token={token}"},
        {"X-Authorization": f"Bearer {token}"},
    ):
        assert ask(server, "/user", headers=headers).status_code == 401, headers
    assert ask(server, f"/user?token={token}&access_token={token}").status_code == 401
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]
    assert ask(server, "/user", headers=twice).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/forgotten"), ("GET", "/nothing/there"), ("POST", "/"), ("DELETE", "/openapi.json"),
        ("GET", "/auth/token"), ("POST", "/auth/"), ("GET", "/auth/token/valid"), ("GET", "/auth"),
        ("GET", "/docs/x"), ("GET", "/statics"), ("OPTIONS", "/user"), ("TRACE", "/"),
        ("GET", "/static"), ("GET", "/openapi.json/"), ("HEAD", "/auth/"), ("GET", "/%2e%2e/user"),
    ],
)  # fmt: skip
def test_whatever_is_not_open_wants_a_login_be_it_there_or_not(
    server: FastAPI, method: str, path: str
) -> None:
    assert ask(server, path, method).status_code == 401


def test_the_pages_that_are_the_same_everywhere_are_open(server: FastAPI) -> None:
    assert ask(server, "/openapi.json").status_code == 200
    assert ask(server, "/docs").status_code == 200
    assert ask(server, "/auth/").status_code == 200
    # Open, and not there in this server without pages.
    assert {ask(server, path).status_code for path in ("/", "/favicon.ico")} == {404}
    assert ask(server, "/static/x").status_code == 401


def test_an_upload_without_login_is_refused_before_anything_of_it_is_read(server: FastAPI) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1024

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = ask(server, "/upload", "POST", content=endless(), headers=headers)
    assert (response.status_code, read) == (401, 0)


def test_a_route_without_a_gate_before_it_lets_nobody_in() -> None:
    server = FastAPI()
    server.include_router(routes)
    errors.install(server, [])
    assert ask(server, "/user").status_code == 401


def test_a_role_that_there_is_not_is_refused_when_the_route_is_made() -> None:
    with pytest.raises(ValueError, match="'boss'; choose from user, annotator, reviewer, admin"):
        require("boss")


def test_a_websocket_is_closed(server: FastAPI) -> None:
    sent = []

    async def knock() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: object) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/", "headers": [], "server": ("127.0.0.1", 1)}
        await server(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(knock())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_behind_a_path_of_a_proxy_the_same_is_open_and_closed(tokens: TokenFile) -> None:
    tokens.add("a", "user")
    server = server_with(AccessConf(token_file=tokens.path))

    async def asked(path: str) -> int:
        transport = httpx.ASGITransport(server, root_path="/ct")
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get(path)).status_code

    statuses = {path: asyncio.run(asked(path)) for path in ("/ct/auth/", "/ct/user", "/ct/openapi.jsonx")}
    assert statuses == {"/ct/auth/": 200, "/ct/user": 401, "/ct/openapi.jsonx": 401}


def test_who_is_taken_from_the_file_is_out_at_the_next_request(
    server: FastAPI, tokens: TokenFile, people: dict[str, dict[str, str]]
) -> None:
    assert ask(server, "/user", headers=people["user"]).status_code == 200
    tokens.remove("the-user")
    assert ask(server, "/user", headers=people["user"]).status_code == 401


def test_while_the_file_is_broken_nobody_gets_in_and_the_log_says_why_once_in_a_while(
    server: FastAPI,
    tokens: TokenFile,
    people: dict[str, dict[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = tokens.path.read_text()
    tokens.path.write_text(whole + "mallory admin\n")
    for _ in range(2):
        response = ask(server, "/user", headers=people["admin"])
        assert (response.status_code, response.json()) == (
            503,
            {
                "error": "LoginServiceError",
                "detail": "nobody can log in: the server's file of tokens cannot be used.",
                "hint": "The server's log says what is wrong with it.",
            },
        )
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == [
        f"nobody can log in until this is put right: {tokens.path}, line 6: has 2 words instead of three: "
        "name role sha256. vpt tokens add makes such lines."
    ]
    tokens.path.write_text(whole)
    assert ask(server, "/user", headers=people["admin"]).status_code == 200


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
def test_a_file_that_becomes_writable_for_others_lets_nobody_in(
    server: FastAPI, tokens: TokenFile, people: dict[str, dict[str, str]]
) -> None:
    tokens.path.chmod(0o666)
    assert ask(server, "/user", headers=people["admin"]).status_code == 503


def test_a_wrong_token_waits_and_others_do_not_meanwhile(
    server: FastAPI, people: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_SECONDS", 0.6)
    monkeypatch.setattr(gate, "_MAX_WAITING", 5)

    async def guess_and_ask() -> tuple[list[float], float]:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def seconds(headers: dict[str, str]) -> float:
                began = time.monotonic()
                await client.get("/user", headers=headers)
                return time.monotonic() - began

            wrong = [asyncio.create_task(seconds({"Authorization": f"Bearer {n}"})) for n in range(8)]
            await asyncio.sleep(0.1)
            right = await seconds(people["user"])
            return sorted(await asyncio.gather(*wrong)), right

    wrong, right = asyncio.run(guess_and_ask())
    # Five wait; the rest is answered at once, so that no flood of guesses fills the memory.
    assert max(wrong[:3]) < 0.55 < 0.6 <= min(wrong[3:])
    assert right < 0.5


def test_without_a_login_everybody_is_the_local_admin() -> None:
    server = server_with(AccessConf())
    assert ask(server, "/admin").json() == {"name": "", "role": "admin"}
    assert ask(server, "/auth/").json() == {
        "enabled": False, "login": "none", "client_id": None, "realm": None,
    }  # fmt: skip
    form = {"username": "a", "password": "b"}
    assert ask(server, "/auth/token", "POST", data=form).json() == {"access_token": None, "token_type": None}
    assert ask(server, "/auth/token/valid").json()["role"] == "admin"


def log_in(server: FastAPI, username: str, password: str) -> httpx.Response:
    return ask(server, "/auth/token", "POST", data={"username": username, "password": password})


def test_a_name_and_its_token_as_the_password_give_the_token(
    server: FastAPI, people: dict[str, dict[str, str]]
) -> None:
    token = people["annotator"]["Authorization"].removeprefix("Bearer ")
    assert log_in(server, "the-annotator", token).json() == {"access_token": token, "token_type": "bearer"}
    assert ask(server, "/auth/token/valid", headers=people["annotator"]).json() == {
        "username": "the-annotator",
        "name": "the-annotator",
        "email": None,
        "role": "annotator",
        "roles": ["monailabel-user", "monailabel-annotator"],
    }


@pytest.mark.parametrize("password", ["", "guess"])
def test_a_wrong_token_as_the_password_is_refused(server: FastAPI, password: str) -> None:
    response = log_in(server, "the-admin", password)
    assert (response.status_code, response.json()["detail"]) == (401, "wrong name or token.")


def test_a_file_of_tokens_has_no_refresh_tokens(server: FastAPI, people: dict[str, dict[str, str]]) -> None:
    token = people["annotator"]["Authorization"].removeprefix("Bearer ")
    refused = ask(server, "/auth/token", "POST", data={"refresh_token": token})
    assert (refused.status_code, refused.json()["detail"]) == (401, "this server has no refresh tokens.")


def test_somebody_elses_token_as_the_password_is_refused(
    server: FastAPI, people: dict[str, dict[str, str]]
) -> None:
    token = people["annotator"]["Authorization"].removeprefix("Bearer ")
    assert log_in(server, "the-admin", token).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"", b"username=a", b"username=a&password=b&password=c", b"\xff\xfe", b"{}",
        b"username=%ff&password=b", b"username=a&password=b" + b"&x=y" * 30,
        b"username=a&password=" + b"b" * 20_000, b"refresh_token=a&refresh_token=b",
        b"refresh_token=a&username=b",
    ],
)  # fmt: skip
def test_what_is_no_name_and_password_is_a_400(server: FastAPI, body: bytes) -> None:
    response = ask(server, "/auth/token", "POST", content=body)
    assert response.status_code == 400
    assert set(response.json()) == {"error", "detail", "hint"}


def test_of_an_endless_login_only_the_beginning_is_read(server: FastAPI) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1024

    response = ask(server, "/auth/token", "POST", content=endless())
    assert (response.status_code, read <= 18) == (400, True)


def test_of_many_logins_at_once_eight_are_tried_and_the_others_told_to_wait(
    server: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_routes, "WRONG_TOKEN_SECONDS", 0.5)

    async def flood() -> list[httpx.Response]:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            form = {"username": "the-admin", "password": "guess"}
            return await asyncio.gather(*(client.post("/auth/token", data=form) for _ in range(20)))

    answers = asyncio.run(flood())
    assert sorted(answer.status_code for answer in answers) == [401] * 8 + [429] * 12
    (waits,) = {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429}
    assert waits == "2"
    assert log_in(server, "the-admin", "guess").status_code == 401


def test_a_label_without_annotator_gets_the_name_of_who_is_logged_in() -> None:
    alice = Person("alice", "annotator")
    assert annotator_of(alice, "") == "alice"
    assert annotator_of(alice, " ") == "alice"
    assert annotator_of(alice, "alice") == "alice"


def test_a_label_in_anothers_name_is_refused_unless_an_admin_brings_it_in() -> None:
    for role in ("user", "annotator", "reviewer"):
        with pytest.raises(RoleMissingError, match="annotator is 'bob', and alice is logged in"):
            annotator_of(Person("alice", role), "bob")
    assert annotator_of(Person("alice", "admin"), "bob") == "bob"


def test_without_a_login_a_label_is_by_whom_it_says() -> None:
    assert annotator_of(LOCAL, "bob") == "bob"
    assert annotator_of(LOCAL, "") == ""


def test_a_person_without_a_role_may_do_nothing() -> None:
    with pytest.raises(RoleMissingError, match="this needs the role user, and eve has no role here"):
        Person("eve", "").check("user")


@pytest.fixture
def keycloak() -> Iterator[None]:
    settings.MONAI_LABEL_AUTH_ENABLE = True
    yield
    settings.MONAI_LABEL_AUTH_ENABLE = False


def test_without_anything_said_there_is_no_login() -> None:
    assert isinstance(choose_login(AccessConf()), NoLogin)


@pytest.mark.usefixtures("keycloak")
def test_two_ways_to_log_in_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="are two ways to log in"):
        choose_login(AccessConf(token_file=tmp_path / "tokens"))


@pytest.mark.usefixtures("keycloak")
def test_a_login_contradicts_that_anyone_may_ask_without() -> None:
    with pytest.raises(ConfigurationError, match="there is a login, which everybody needs"):
        choose_login(AccessConf(without_login="anyone"))


def test_a_server_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="there is no such file of tokens"):
        choose_login(AccessConf(token_file=tmp_path / "tokens"))


def test_an_empty_file_lets_nobody_in_yet_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    path.write_text("")
    path.chmod(0o600)
    assert choose_login(AccessConf(token_file=path)).kind == "token_file"
    assert "holds no token, so nobody can log in" in caplog.text
