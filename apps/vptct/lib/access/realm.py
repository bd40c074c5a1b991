"""Realm: what is asked of Keycloak itself: its public keys, and a token for a name and a password."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .errors import LoginServiceError, NotLoggedInError
from .login import Granted

_logger = logging.getLogger(__name__)
# For so long keys are believed: one that was withdrawn from the realm then opens nothing any more.
KEYS_SECONDS = 600.0
# Keycloak is not asked more often, whatever keys tokens name, and however many come while it is down.
ASK_AGAIN_SECONDS = 10.0
_MIN_KEY_BITS = 2048


class Realm:
    """One realm. Several threads may ask; one of them at a time fetches the keys.

    Args:
        uri: the realm; ``/.well-known/openid-configuration`` below it says where everything else is.
        timeout_seconds: so long it may take for an answer.
        ask_again_seconds: see ``ASK_AGAIN_SECONDS``.
        keys_seconds: see ``KEYS_SECONDS``.
    """

    def __init__(
        self,
        uri: str,
        *,
        timeout_seconds: float,
        ask_again_seconds: float = ASK_AGAIN_SECONDS,
        keys_seconds: float = KEYS_SECONDS,
    ) -> None:
        self._uri = uri
        self._timeout_seconds = timeout_seconds
        self._ask_again_seconds = ask_again_seconds
        self._keys_seconds = keys_seconds
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at = self._asked_at = -float("inf")
        self._fetching = threading.Lock()

    def key(self, name: object) -> RSAPublicKey | None:
        """The realm's public key of that name (``kid``); without a name, its only one. None: no such key.

        A key that is not known yet may be new (Keycloak rotates its keys): the realm is asked again, but not
        for every token with an invented name.

        Raises:
            LoginServiceError: the keys are not known, and Keycloak cannot be asked.
        """
        if self._is_fresh() and self._named(name) is not None:
            return self._named(name)
        with self._fetching:
            fresh = self._is_fresh()
            if fresh and self._named(name) is not None:
                return self._named(name)  # Another thread has fetched them meanwhile.
            if time.monotonic() - self._asked_at >= self._ask_again_seconds:
                self._fetch()
            elif not fresh:
                raise _unreachable()
            return self._named(name)

    def password_grant(self, client_id: str, username: str, password: str) -> Granted:
        """Tokens for a name and a password, as Keycloak gives them.

        Raises:
            NotLoggedInError: Keycloak says that they are wrong.
            LoginServiceError: Keycloak cannot be asked, or does not give tokens for passwords.
        """
        form = {"username": username, "password": password, "grant_type": "password"}
        return self._granted({"client_id": client_id, **form}, "wrong name or password.", "Try again.")

    def refresh_grant(self, client_id: str, refresh_token: str) -> Granted:
        """Tokens for a refresh token, which Keycloak may take back. Raises: as ``password_grant``."""
        form = {"refresh_token": refresh_token, "grant_type": "refresh_token"}
        return self._granted({"client_id": client_id, **form}, "the login has run out.", "Log in again.")

    def _granted(self, form: dict[str, str], refused: str, hint: str) -> Granted:
        url = self._address("token_endpoint")
        try:
            # Not to wherever it might send on to: the form holds a password.
            response = requests.post(url, data=form, timeout=self._timeout_seconds, allow_redirects=False)
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise _unreachable(error) from error
        told = answer if isinstance(answer, dict) else {}
        token = told.get("access_token")
        if response.status_code == 200 and isinstance(token, str) and token:
            again = told.get("refresh_token")
            return Granted(token, again if isinstance(again, str) else "")
        if told.get("error") == "invalid_grant":
            raise NotLoggedInError(refused, hint, token_given=True)
        _logger.error(
            "Keycloak gives no token: %d %.200r %.200r",
            response.status_code,
            told.get("error"),
            told.get("error_description"),
        )
        raise LoginServiceError(
            "the login service does not give this server a token.", "The server's log has its answer."
        )

    def _named(self, name: object) -> RSAPublicKey | None:
        if name is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(name) if isinstance(name, str) else None

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._fetched_at < self._keys_seconds

    def _fetch(self) -> None:
        try:
            entries = self._get(self._address("jwks_uri")).get("keys")
        finally:
            self._asked_at = time.monotonic()
        entries = entries if isinstance(entries, list) else []
        keys = {str(each.get("kid", "")): key for each in entries if (key := _signing_key(each)) is not None}
        if not keys:
            _logger.error("%s offers no RSA key for signatures", self._uri)
        self._keys, self._fetched_at = keys, time.monotonic()

    def _address(self, name: str) -> str:
        address = self._get(f"{self._uri}/.well-known/openid-configuration").get(name)
        if not isinstance(address, str):
            raise _unreachable(ValueError(f"{self._uri} names no {name}"))
        return address

    def _get(self, url: str) -> dict[str, Any]:
        try:
            response = requests.get(url, timeout=self._timeout_seconds)
            response.raise_for_status()
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise _unreachable(error) from error
        if not isinstance(answer, dict):
            raise _unreachable(ValueError(f"{url} answers with no JSON object"))
        return answer


def _signing_key(entry: object) -> RSAPublicKey | None:
    """The key of one entry of a JSON Web Key Set (RFC 7517); None for one that signs nothing with RS256."""
    if not isinstance(entry, dict) or entry.get("kty") != "RSA":
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    try:
        key = jwt.PyJWK(entry, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        _logger.warning("a key of the realm cannot be read: %s", error)
        return None
    usable = isinstance(key, RSAPublicKey) and key.key_size >= _MIN_KEY_BITS
    return key if usable else None


def _unreachable(error: Exception | None = None) -> LoginServiceError:
    if error is not None:
        _logger.error("the login service cannot be asked: %s", error)
    return LoginServiceError(
        "the login service cannot be reached, so nobody can log in.",
        "Try again in a minute; the server's log says more.",
    )
