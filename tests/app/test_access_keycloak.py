"""Keycloak: tokens that the realm signed open, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lib.access.errors import LoginServiceError, NotLoggedInError
from lib.access.keycloak import KeycloakLogin, KeycloakSettings, keycloak_settings
from lib.access.person import Person
from lib.access.realm import Realm
from monailabel.config import settings
from server_process import ServerProcess

PATH = "/realms/ct"


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


KEY, OTHER_KEY = new_key(), new_key()


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def jwk(key: Any, name: str, **more: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, **more}


@dataclass
class FakeKeycloak:
    """A real HTTP server that answers as a realm does.

    Attributes:
        keys: what the realm's key set holds.
        passwords: who gets a token for which password.
        asked: the paths that were asked for.
        refresh_tokens: whose each is that was given and not used yet.
    """

    url: str
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk(KEY, "one", use="sig", alg="RS256")])
    passwords: dict[str, str] = field(default_factory=lambda: {"alice": "wonder land&"})
    asked: list[str] = field(default_factory=list)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None

    def answer(self, path: str, form: dict[str, list[str]]) -> tuple[int, object]:
        self.asked.append(path.removeprefix(PATH))
        if path == f"{PATH}/.well-known/openid-configuration":
            return 200, {"jwks_uri": f"{self.url}/certs", "token_endpoint": f"{self.url}/token"}
        if path == f"{PATH}/certs":
            return 200, {"keys": self.keys}
        if path == f"{PATH}/token" and form["client_id"] == ["ct-app"] and form["grant_type"] == ["password"]:
            (name,), (password,) = form["username"], form["password"]
            if self.passwords.get(name) == password:
                return 200, self.granted(name)
            return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}
        if path == f"{PATH}/token" and form["grant_type"] == ["refresh_token"]:
            name = self.refresh_tokens.pop(form.get("refresh_token", [""])[0], "")
            return (200, self.granted(name)) if name else (400, {"error": "invalid_grant"})
        return 404, {"error": "no such thing"}

    def granted(self, name: str) -> dict[str, str]:
        """Tokens of which the second is good for one more grant."""
        again = secrets.token_hex(8)
        self.refresh_tokens[again] = name
        return {"access_token": signed(preferred_username=name), "refresh_token": again}


@pytest.fixture
def keycloak() -> Iterator[FakeKeycloak]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.tell({})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.tell(parse_qs(self.rfile.read(length).decode(), strict_parsing=True, keep_blank_values=True))

        def tell(self, form: dict[str, list[str]]) -> None:
            status, answer = realm.answer(self.path, form)
            data = json.dumps(answer).encode() if realm.body is None else realm.body
            self.send_response(status if realm.status == 200 else realm.status)
            self.send_header("Content-Length", str(len(data)))
            if realm.status == 302:
                self.send_header("Location", f"{realm.url}/elsewhere")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    realm = FakeKeycloak(f"http://127.0.0.1:{server.server_port}{PATH}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield realm
    server.shutdown()
    server.server_close()
    thread.join()


def settings_for(url: str, **changed: Any) -> KeycloakSettings:
    facts: dict[str, Any] = {
        "realm_uri": url,
        "client_id": "ct-app",
        "timeout_seconds": 2,
        "name_claim": "preferred_username",
        "roles_claim": "realm_access#roles",
        "roles": {role: f"ct-{role}" for role in ("user", "annotator", "reviewer", "admin")},
    }
    return KeycloakSettings(**{**facts, **changed})


@pytest.fixture
def login(keycloak: FakeKeycloak) -> KeycloakLogin:
    return KeycloakLogin(settings_for(keycloak.url))


GONE = object()


def claims(**changed: Any) -> dict[str, Any]:
    """What a token of Keycloak says; ``GONE`` leaves a claim out."""
    now = int(time.time())
    usual = {
        "exp": now + 300,
        "iat": now,
        "iss": "http://keycloak.example/realms/ct",
        "aud": "account",
        "sub": "7d0c8b1e",
        "typ": "Bearer",
        "preferred_username": "alice",
        "realm_access": {"roles": ["offline_access", "ct-annotator", "ct-user"]},
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not GONE}


def signed(key: Any = KEY, kid: str | None = "one", algorithm: str = "RS256", **changed: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)


def by_hand(header: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    """A token put together without a library that would refuse to."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims()).encode())
    return (text + b"." + part(signature(text))).decode()


def test_a_token_that_the_realm_signed_opens_with_its_name_and_highest_role(login: KeycloakLogin) -> None:
    assert login.person(signed()) == Person("alice", "annotator")


def test_the_settings_are_those_of_monai_label() -> None:
    facts = keycloak_settings()
    assert facts == KeycloakSettings(
        realm_uri="http://localhost:8080/realms/monailabel",
        client_id="monailabel-app",
        timeout_seconds=10,
        name_claim="preferred_username",
        roles_claim="realm_access#roles",
        roles={
            "user": "monailabel-user",
            "annotator": "monailabel-annotator",
            "reviewer": "monailabel-reviewer",
            "admin": "monailabel-admin",
        },
    )
    assert facts.realm_uri == settings.MONAI_LABEL_AUTH_REALM_URI


HS256 = {"alg": "HS256", "typ": "JWT", "kid": "one"}
FORGED = {
    "another key under the same name": lambda: signed(OTHER_KEY),
    "a key that the realm does not have": lambda: signed(OTHER_KEY, "two"),
    "HS256 with the public key as the secret": lambda: by_hand(
        HS256, lambda text: hmac.digest(public_pem(KEY), text, hashlib.sha256)
    ),
    "HS256 with an empty secret": lambda: by_hand(HS256, lambda text: hmac.digest(b"", text, hashlib.sha256)),
    "no algorithm": lambda: by_hand({"alg": "none", "kid": "one"}, lambda text: b""),
    "no algorithm in capitals": lambda: by_hand({"alg": "NONE", "kid": "one"}, lambda text: b""),
    "RS512": lambda: signed(algorithm="RS512"),
    "its own key beside it": lambda: jwt.encode(
        claims(), OTHER_KEY, "RS256", {"kid": "one", "jwk": jwk(OTHER_KEY, "one")}
    ),
    "its own key's address": lambda: jwt.encode(
        claims(), OTHER_KEY, "RS256", {"kid": "one", "jku": "http://127.0.0.1:9/certs"}
    ),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "changed after it was signed": lambda: ".".join(
        [signed().split(".")[0], signed(preferred_username="root").split(".")[1], signed().split(".")[2]]
    ),
    "no token at all": lambda: "x.y.z",
    "no text": lambda: "\x00ä",
    "a header of many brackets": lambda: (
        base64.urlsafe_b64encode(b'{"a":' + b"[" * 9000).decode().rstrip("=") + ".e30.x"
    ),
    "a header that is a list": lambda: base64.urlsafe_b64encode(b"[]").decode().rstrip("=") + ".e30.x",
    "a name of its key that is no text": lambda: by_hand({"alg": "RS256", "kid": [1]}, lambda text: b"x"),
    "run out": lambda: signed(exp=int(time.time()) - 60),
    "no end": lambda: signed(exp=GONE),
    "an end that is no number": lambda: signed(exp="tomorrow"),
    "from tomorrow on": lambda: signed(nbf=int(time.time()) + 86400),
    "an ID token": lambda: signed(typ="ID"),
    "no name": lambda: signed(preferred_username=GONE),
    "an empty name": lambda: signed(preferred_username=" "),
    "a name that is no text": lambda: signed(preferred_username=["alice"]),
    "a name over two lines": lambda: signed(preferred_username="alice\nadmin"),
    "an endless name": lambda: signed(preferred_username="a" * 201),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_any_other_token_is_refused(login: KeycloakLogin, token: Callable[[], str]) -> None:
    with pytest.raises(NotLoggedInError) as caught:
        login.person(token())
    assert caught.value.token_given


def test_no_token_is_told_so(login: KeycloakLogin) -> None:
    with pytest.raises(NotLoggedInError, match="this server wants a login") as caught:
        login.person("")
    assert not caught.value.token_given


def test_one_that_ran_out_is_told_so(login: KeycloakLogin) -> None:
    with pytest.raises(NotLoggedInError, match=r"the login has run out. Log in again."):
        login.person(signed(exp=int(time.time()) - 60))


def test_clocks_may_differ_by_some_seconds(login: KeycloakLogin) -> None:
    assert login.person(signed(exp=int(time.time()) - 20, iat=int(time.time()) + 20)).name == "alice"


@pytest.mark.parametrize(
    ("access", "role"),
    [
        ({"roles": ["ct-admin", "ct-user"]}, "admin"),
        ({"roles": ["ct-reviewer"]}, "reviewer"),
        ({"roles": ["ct-user", "ct-annotator", "ct-user"]}, "annotator"),
        ({"roles": ["admin", "CT-ADMIN", "xct-admin", "ct-user"]}, "user"),
        ({"roles": ["ct-user", 7, None, {"a": 1}, ["ct-admin"]]}, "user"),
        ({"roles": []}, ""),
        ({"roles": "ct-admin"}, ""),
        ({"roles": {"ct-admin": True}}, ""),
        ({"roles": None}, ""),
        ({}, ""),
        (GONE, ""),
        (None, ""),
        ("ct-admin", ""),
        (["roles", "ct-admin"], ""),
        (7, ""),
    ],
)
def test_the_highest_role_counts_and_odd_claims_give_none(
    login: KeycloakLogin, access: object, role: str
) -> None:
    assert login.person(signed(realm_access=access)) == Person("alice", role)


def test_roles_and_name_may_stand_elsewhere(keycloak: FakeKeycloak) -> None:
    flat = KeycloakLogin(settings_for(keycloak.url, roles_claim="groups", name_claim="email"))
    token = signed(groups=["ct-reviewer"], email="a@site.org")
    assert flat.person(token) == Person("a@site.org", "reviewer")
    deep = KeycloakLogin(settings_for(keycloak.url, roles_claim="resource_access#ct-app#roles"))
    assert deep.person(signed(resource_access={"ct-app": {"roles": ["ct-admin"]}})).role == "admin"
    assert deep.person(signed(resource_access={"other": {"roles": ["ct-admin"]}})).role == ""


def test_the_keys_are_fetched_once_and_believed_for_a_while(
    keycloak: FakeKeycloak, login: KeycloakLogin
) -> None:
    for _ in range(5):
        login.person(signed())
    assert keycloak.asked == ["/.well-known/openid-configuration", "/certs"]


def test_a_new_key_of_the_realm_opens_at_once_and_one_that_was_withdrawn_no_more(
    keycloak: FakeKeycloak,
) -> None:
    realm = Realm(keycloak.url, timeout_seconds=2, ask_again_seconds=0)
    assert realm.key("one") == KEY.public_key()
    keycloak.keys = [jwk(OTHER_KEY, "two")]
    assert realm.key("two") == OTHER_KEY.public_key()
    assert realm.key("one") is None


def test_a_withdrawn_key_is_believed_no_longer_than_it_says(keycloak: FakeKeycloak) -> None:
    realm = Realm(keycloak.url, timeout_seconds=2, ask_again_seconds=0, keys_seconds=0.2)
    assert realm.key("one") == KEY.public_key()
    keycloak.keys = [jwk(OTHER_KEY, "two")]
    assert realm.key("one") == KEY.public_key()
    time.sleep(0.25)
    assert realm.key("one") is None


def test_tokens_with_invented_keys_do_not_make_the_server_ask_each_time(
    keycloak: FakeKeycloak, login: KeycloakLogin
) -> None:
    login.person(signed())
    for number in range(20):
        with pytest.raises(NotLoggedInError):
            login.person(signed(OTHER_KEY, f"invented-{number}"))
    assert keycloak.asked.count("/certs") == 1
    assert login.person(signed()).name == "alice"


def test_a_token_that_names_no_key_is_of_the_only_one(keycloak: FakeKeycloak) -> None:
    assert KeycloakLogin(settings_for(keycloak.url)).person(signed(kid=None)).name == "alice"
    keycloak.keys.append(jwk(OTHER_KEY, "two"))
    with pytest.raises(NotLoggedInError, match="a key that the realm does not have"):
        KeycloakLogin(settings_for(keycloak.url)).person(signed(kid=None))


def test_keys_for_something_else_too_short_or_unreadable_are_passed_over(keycloak: FakeKeycloak) -> None:
    keycloak.keys = [
        jwk(KEY, "encrypts", use="enc"),
        jwk(KEY, "oaep", alg="RSA-OAEP"),
        jwk(new_key(1024), "short"),
        jwk(ec.generate_private_key(ec.SECP256R1()), "curve"),
        {"kty": "RSA", "kid": "empty"},
        {"kty": "RSA", "kid": "odd", "n": 7, "e": []},
        "no key",  # type: ignore[list-item]
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        jwk(OTHER_KEY, "good"),
    ]
    realm = Realm(keycloak.url, timeout_seconds=2, ask_again_seconds=0)
    names = ["encrypts", "oaep", "short", "curve", "empty", "odd", "secret", "good"]
    assert [name for name in names if realm.key(name) is not None] == ["good"]


def test_a_realm_that_is_down_is_a_503_which_passes(keycloak: FakeKeycloak) -> None:
    keycloak.status = 500
    login = KeycloakLogin(settings_for(keycloak.url))
    login._realm = Realm(keycloak.url, timeout_seconds=2, ask_again_seconds=0.2)
    for _ in range(3):
        with pytest.raises(LoginServiceError, match="the login service cannot be reached, so nobody can l"):
            login.person(signed())
    # Who comes while it is down does not wait for it again.
    assert len(keycloak.asked) == 1
    keycloak.status = 200
    time.sleep(0.25)
    assert login.person(signed()).name == "alice"


def test_who_has_its_keys_does_not_need_a_realm_that_goes_down(
    keycloak: FakeKeycloak, login: KeycloakLogin
) -> None:
    login.person(signed())
    keycloak.status = 500
    assert login.person(signed()).name == "alice"


def test_nothing_listens_where_the_realm_should_be() -> None:
    login = KeycloakLogin(settings_for("http://127.0.0.1:1/realms/ct"))
    with pytest.raises(LoginServiceError):
        login.person(signed())
    with pytest.raises(LoginServiceError):
        login.token("alice", "x")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"jwks_uri": 7}', b'"x"', b"\xff"])
def test_a_realm_that_answers_nonsense_is_a_503(keycloak: FakeKeycloak, body: bytes) -> None:
    keycloak.body = body
    with pytest.raises(LoginServiceError):
        KeycloakLogin(settings_for(keycloak.url)).person(signed())


def test_a_name_and_a_password_give_keycloaks_token(login: KeycloakLogin) -> None:
    token = login.token("alice", "wonder land&")
    assert login.person(token.access_token) == Person("alice", "annotator")


def test_a_refresh_token_gives_the_next_token_once(login: KeycloakLogin) -> None:
    first = login.token("alice", "wonder land&")
    second = login.renewed(first.refresh_token)
    assert login.person(second.access_token) == Person("alice", "annotator")
    assert second.refresh_token not in ("", first.refresh_token)
    for wrong in (first.refresh_token, "", "x"):
        with pytest.raises(NotLoggedInError, match="the login has run out"):
            login.renewed(wrong)


def test_a_wrong_password_is_told_without_a_500(login: KeycloakLogin) -> None:
    with pytest.raises(NotLoggedInError, match="wrong name or password"):
        login.token("alice", "x")


def test_a_client_that_keycloak_does_not_know_is_told_in_the_log_only(
    keycloak: FakeKeycloak, caplog: pytest.LogCaptureFixture
) -> None:
    login = KeycloakLogin(settings_for(keycloak.url, client_id="other"))
    with pytest.raises(LoginServiceError, match="does not give this server a token"):
        login.token("alice", "secret password")
    assert "404 'no such thing'" in caplog.text
    assert "secret password" not in caplog.text


def test_a_password_goes_nowhere_that_the_answer_points_to(keycloak: FakeKeycloak) -> None:
    login = KeycloakLogin(settings_for(keycloak.url))
    login._realm._address = lambda name: f"{keycloak.url}/token"  # type: ignore[method-assign]
    keycloak.status = 302
    with pytest.raises(LoginServiceError):
        login.token("alice", "wonder land&")
    assert keycloak.asked == ["/token"]


def test_a_realm_in_the_clear_on_another_computer_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    KeycloakLogin(settings_for("http://192.0.2.1/realms/ct"))
    assert "keys and passwords pass the network unprotected" in caplog.text
    caplog.clear()
    KeycloakLogin(settings_for("https://192.0.2.1/realms/ct"))
    KeycloakLogin(settings_for("http://127.0.0.1:8080/realms/ct"))
    assert caplog.text == ""


def test_a_real_server_lets_in_whom_keycloak_knows(
    keycloak: FakeKeycloak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "true")
    monkeypatch.setenv("MONAI_LABEL_AUTH_REALM_URI", keycloak.url)
    monkeypatch.setenv("MONAI_LABEL_AUTH_CLIENT_ID", "ct-app")
    monkeypatch.setenv("MONAI_LABEL_AUTH_ROLE_ANNOTATOR", "ct-annotator")
    process = ServerProcess(
        tmp_path, conf={"tasks": "nodule", "models": "tiny", "device": "cpu", "scoring": "off"}
    )
    process.http.headers["Authorization"] = f"Bearer {signed()}"
    with process:

        def status(method: str, path: str, token: str, **options: Any) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return process.http.request(
                method, process.url + path, headers=headers, timeout=30, **options
            ).status_code

        wanted = process.http.get(f"{process.url}/auth/").json()
        assert wanted == {
            "enabled": True, "login": "keycloak", "client_id": "ct-app", "realm": keycloak.url,
        }  # fmt: skip
        form = {"username": "alice", "password": "wonder land&"}
        answer = process.http.post(f"{process.url}/auth/token", data=form).json()
        assert answer["token_type"] == "bearer"
        again = {"refresh_token": answer["refresh_token"]}
        renewed = process.http.post(f"{process.url}/auth/token", data=again).json()
        assert set(renewed) == {"access_token", "token_type", "refresh_token"}
        assert status("GET", "/info/", renewed["access_token"]) == 200
        assert process.http.post(f"{process.url}/auth/token", data=again).status_code == 401
        valid = process.http.get(
            f"{process.url}/auth/token/valid", headers={"Authorization": f"Bearer {answer['access_token']}"}
        )
        assert (valid.json()["username"], valid.json()["role"]) == ("alice", "annotator")
        assert status("GET", "/info/", signed()) == 200
        assert status("GET", "/info/", signed(realm_access=GONE)) == 403
        assert status("GET", "/info/", signed(OTHER_KEY)) == 401
        # HS256 with the public key as its secret; then without any signature.
        for name in ("HS256 with the public key as the secret", "no algorithm"):
            assert status("GET", "/info/", FORGED[name]()) == 401
        assert (
            process.http.post(f"{process.url}/auth/token", data={**form, "password": "x"}).status_code == 401
        )
        keycloak.status = 500
        assert process.http.post(f"{process.url}/auth/token", data=form).status_code == 503
