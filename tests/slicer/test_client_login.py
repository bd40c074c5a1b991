"""Logins that run out, addresses, and what a reader agreed to."""

from __future__ import annotations

import base64
import json

import pytest
from scripted_server import ScriptedServer, answer
from VPTCTLib.address import is_protected, is_this_computer, server_address
from VPTCTLib.client import Client
from VPTCTLib.consent import Consents
from VPTCTLib.contract.login import Person
from VPTCTLib.errors import AddressError, NotLoggedInError
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.keycloak import KeycloakLogin
from VPTCTLib.transport.login import PasswordLogin, TokenLogin, runs_out_at

PERSON = {"username": "anna", "role": "annotator"}
RUN_OUT = {"detail": "the login has run out.", "hint": "Log in again."}


def web_token(until: float, number: int = 0) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": until, "n": number}).encode()).decode().rstrip("=")
    return f"e30.{claims}.signature"


def given(token: str | None) -> dict[str, str | None]:
    return {"access_token": token, "token_type": "bearer"}


def test_a_password_is_exchanged_once_and_again_when_the_token_is_about_to_run_out() -> None:
    now = [1000.0]
    first, second = web_token(1300.0), web_token(1600.0)
    login = PasswordLogin("anna", "a&b=c d", clock=lambda: now[0])
    plays = [answer(200, each) for each in (given(first), PERSON, PERSON, given(second), PERSON)]
    with ScriptedServer(plays) as server:
        client = Client(Connection(server.url, login=login))
        for now[0] in (1000.0, 1200.0, 1250.0):
            assert client.access.who_am_i().name == "anna"
        tokens = [asked.headers.get("Authorization") for asked in server.asked]
        assert tokens == [None, f"Bearer {first}", f"Bearer {first}", None, f"Bearer {second}"]
        assert server.asked[0].body == b"username=anna&password=a%26b%3Dc+d"


def test_a_token_that_was_taken_back_is_replaced_once() -> None:
    plays = [answer(200, given("one")), answer(401, RUN_OUT), answer(200, given("two")), answer(200, PERSON)]
    with ScriptedServer(plays) as server:
        client = Client(Connection(server.url, login=PasswordLogin("anna", "x")))
        assert client.access.who_am_i().name == "anna"
        assert server.asked[-1].headers["Authorization"] == "Bearer two"
    with ScriptedServer(
        [answer(200, given("one")), answer(401, RUN_OUT), answer(200, given("one"))]
    ) as server:
        with pytest.raises(NotLoggedInError, match=r"run out\. Log in again"):
            Client(Connection(server.url, login=PasswordLogin("anna", "x"))).access.info()
        assert len(server.asked) == 3
    with ScriptedServer([answer(401, RUN_OUT)]) as server:
        with pytest.raises(NotLoggedInError):
            Client(Connection(server.url, login=TokenLogin(" given "))).access.info()
        (asked,) = server.asked
        assert asked.headers["Authorization"] == "Bearer given"


def test_a_refresh_token_of_the_server_takes_the_place_of_the_password() -> None:
    now = [1000.0]
    first, second, third = (web_token(until) for until in (1300.0, 1600.0, 1900.0))
    login = PasswordLogin("anna", "secret &", clock=lambda: now[0])
    plays = [
        answer(200, {**given(first), "refresh_token": "r1"}), answer(200, PERSON),
        answer(200, {**given(second), "refresh_token": "r2"}), answer(200, PERSON),
        # Taken back by Keycloak before its time; and an answer without another one for the next time.
        answer(401, RUN_OUT), answer(200, given(third)), answer(200, PERSON),
        answer(401, RUN_OUT),
    ]  # fmt: skip
    with ScriptedServer(plays) as server:
        client = Client(Connection(server.url, login=login))
        for now[0] in (1000.0, 1280.0, 1281.0):
            assert client.access.who_am_i().name == "anna"
        bodies = [asked.body.decode() for asked in server.asked if asked.path == "/auth/token"]
        assert bodies == ["username=anna&password=secret+%26", "refresh_token=r1", "refresh_token=r2"]
        assert "secret" not in str(vars(login))
        now[0] = 1880.0
        with pytest.raises(NotLoggedInError, match=r"run out\. Log in again"):
            client.access.who_am_i()


def test_keycloak_refreshes_a_token_without_the_password() -> None:
    now = [1000.0]
    first, second, third = (web_token(until) for until in (1300.0, 1600.0, 1900.0))
    plays = [
        answer(200, {"access_token": first, "refresh_token": "r1"}),
        answer(200, {"access_token": second, "refresh_token": "r2"}),
        answer(200, {"access_token": third, "refresh_token": "r3"}),
        answer(400, {"error": "invalid_grant", "error_description": "Session not active"}),
    ]
    with (
        ScriptedServer(plays) as realm,
        ScriptedServer(
            [answer(200, PERSON), answer(200, PERSON), answer(401, RUN_OUT), answer(200, PERSON)]
        ) as server,
    ):
        found = {"token_endpoint": f"{realm.url}/realms/ct/token"}
        with ScriptedServer([answer(200, found)]) as door:
            login = KeycloakLogin(f"{door.url}/realms/ct", "ct-app", "anna", "secret &", clock=lambda: now[0])
            assert door.asked[0].path == "/realms/ct/.well-known/openid-configuration"
        client = Client(Connection(server.url, login=login))
        for now[0] in (1000.0, 1280.0, 1281.0):
            assert client.access.who_am_i().name == "anna"
        assert [asked.headers["Authorization"][7:] for asked in server.asked] == [
            first,
            second,
            second,
            third,
        ]
        bodies = [asked.body.decode() for asked in realm.asked]
        assert bodies[0] == "client_id=ct-app&grant_type=password&username=anna&password=secret+%26"
        assert bodies[1:] == [f"client_id=ct-app&grant_type=refresh_token&refresh_token=r{n}" for n in (1, 2)]
        assert "secret" not in str(vars(login))
        now[0] = 1880.0
        with pytest.raises(NotLoggedInError, match=r"run out\. Log in again"):
            client.access.who_am_i()


def test_a_password_that_keycloak_does_not_take_is_told() -> None:
    with ScriptedServer([answer(401, {"error": "invalid_grant"})]) as realm:
        found = {"token_endpoint": f"{realm.url}/token"}
        with (
            ScriptedServer([answer(200, found)]) as door,
            pytest.raises(NotLoggedInError, match="name and password"),
        ):
            KeycloakLogin(door.url, "ct-app", "anna", "wrong")


def test_the_time_in_a_token_is_read_where_there_is_one() -> None:
    assert runs_out_at(web_token(1700000000.5)) == 1700000000.5
    for text in ("", "a.b", "abc", "a.b.c", "a.!!!!.c", "e30.W10.x", "e30.eyJleHAiOnRydWV9.x"):
        assert runs_out_at(text) is None


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        (" localhost:8000/ ", "http://localhost:8000"),
        ("https://CT.Example.org:443/ct//", "https://ct.example.org/ct"),
        ("http://[::1]:80", "http://[::1]"),
        ("10.0.0.7", "http://10.0.0.7"),
        ("localhost:8000/info/", "http://localhost:8000"),
        ("https://ct.example.org/proxy/info", "https://ct.example.org/proxy"),
        ("https://ct.example.org/information", "https://ct.example.org/information"),
    ],
)
def test_one_server_has_one_address(typed: str, address: str) -> None:
    assert server_address(typed) == address
    assert server_address(address) == address


@pytest.mark.parametrize(
    "typed",
    ["", "ftp://x", "http://", "http://u:p@x", "http://x?y", "http://x y", "http://x:port", "http://[x"],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(AddressError):
        server_address(typed)


def test_it_is_known_whether_others_could_read_along() -> None:
    assert [is_protected(each) for each in ("https://x", "http://127.0.0.1:8000", "http://localhost")] == [
        True
    ] * 3
    assert not is_protected("http://ct.example.org")
    assert not is_this_computer("https://ct.example.org")


def test_a_consent_is_for_one_server_and_can_be_taken_back() -> None:
    settings: dict[str, str] = {}
    consents = Consents(settings)
    consents.give("https://a.example.org/ct", "2026-11-21T09:00:00Z")
    assert Consents(settings).given("https://a.example.org/ct")
    assert consents.given_at("https://a.example.org/ct") == "2026-11-21T09:00:00Z"
    assert not consents.given("https://b.example.org/ct")
    assert not any("/" in key for key in settings)
    consents.revoke("https://a.example.org/ct")
    consents.revoke("https://a.example.org/ct")
    assert not consents.given("https://a.example.org/ct")


def test_a_role_includes_those_below_it_and_none_includes_nothing() -> None:
    assert Person("rita", "reviewer").may("annotator")
    assert not Person("rita", "reviewer").may("admin")
    assert not Person("x", "").may("user")
    assert not Person("x", "boss").may("user")
