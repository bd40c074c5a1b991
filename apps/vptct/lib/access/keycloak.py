"""The login of Keycloak, or of another OpenID Connect service: a token is signed by the realm, or worthless.

MONAI Label's own check names no algorithm, which the library it uses refuses by now. This one takes RS256 and
nothing else: not ``none``, and not HS256, whose secret would be the realm's public key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from monailabel.config import settings

from vpt_plugin.store.tokens import ROLES

from .bind import is_loopback
from .errors import NotLoggedInError
from .login import HOW_TO_LOG_IN, Granted
from .person import Person
from .realm import Realm

_logger = logging.getLogger(__name__)
# So far clocks of two computers may differ.
_CLOCK_SECONDS = 30
_LOG_IN_AGAIN = "Log in again."


@dataclass(frozen=True)
class KeycloakSettings:
    """MONAI Label's settings ``MONAI_LABEL_AUTH_*``.

    Attributes:
        realm_uri: the realm, such as ``https://login.example.org/realms/monailabel``.
        client_id: how this server names itself to Keycloak.
        timeout_seconds: so long Keycloak may take for an answer.
        name_claim: where the token has the person's name.
        roles_claim: where it has the roles, with ``#`` between the keys: ``realm_access#roles``.
        roles: Keycloak's name of each of ``ROLES``.
    """

    realm_uri: str
    client_id: str
    timeout_seconds: float
    name_claim: str
    roles_claim: str
    roles: Mapping[str, str]


def keycloak_settings() -> KeycloakSettings:
    """The settings that MONAI Label read from the environment."""
    return KeycloakSettings(
        realm_uri=settings.MONAI_LABEL_AUTH_REALM_URI.rstrip("/"),
        client_id=settings.MONAI_LABEL_AUTH_CLIENT_ID,
        timeout_seconds=settings.MONAI_LABEL_AUTH_TIMEOUT,
        name_claim=settings.MONAI_LABEL_AUTH_TOKEN_USERNAME,
        roles_claim=settings.MONAI_LABEL_AUTH_TOKEN_ROLES,
        roles={
            "user": settings.MONAI_LABEL_AUTH_ROLE_USER,
            "annotator": settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
            "reviewer": settings.MONAI_LABEL_AUTH_ROLE_REVIEWER,
            "admin": settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
        },
    )


class KeycloakLogin:
    """Tokens that the realm signed.

    Not checked is for which of the realm's programs a token was made (``aud``), as MONAI Label does not: who
    may do what is said by the roles.
    """

    kind = "keycloak"

    def __init__(self, conf: KeycloakSettings) -> None:
        self.conf = conf
        address = urlsplit(conf.realm_uri)
        if address.scheme != "https" and not is_loopback(address.hostname or ""):
            _logger.warning("%s: keys and passwords pass the network unprotected; use https", conf.realm_uri)
        self._realm = Realm(conf.realm_uri, timeout_seconds=conf.timeout_seconds)

    def person(self, token: str) -> Person:
        """Whom the token names, with the highest of the roles it gives.

        Raises:
            NotLoggedInError: not signed by the realm, run out, no access token, or without a name.
            LoginServiceError: Keycloak cannot be asked for its keys.
        """
        if not token:
            raise NotLoggedInError("this server wants a login.", HOW_TO_LOG_IN)
        claims = self._claims(token)
        name = claims.get(self.conf.name_claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 200:
            raise _refused(f"the token has no name in {self.conf.name_claim!r}.")
        return Person(name, self._role(claims))

    def token(self, username: str, password: str) -> Granted:
        """The tokens that Keycloak gives for them.

        Raises:
            NotLoggedInError: Keycloak says that they are wrong.
            LoginServiceError: Keycloak cannot be asked.
        """
        return self._realm.password_grant(self.conf.client_id, username, password)

    def renewed(self, refresh_token: str) -> Granted:
        """The tokens that Keycloak gives for a refresh token; it may take that one back.

        Raises: as ``token``.
        """
        return self._realm.refresh_grant(self.conf.client_id, refresh_token)

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            key = self._realm.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise _refused("the token is signed with a key that the realm does not have.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                leeway=_CLOCK_SECONDS,
                options={"require": ["exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("the login has run out.") from error
        except (jwt.PyJWTError, RecursionError) as error:
            # Older versions of PyJWT let a header of ten thousand brackets raise a RecursionError.
            raise _refused("the token is none that the realm signed.") from error
        # Keycloak signs other tokens with the same key, such as the ID token that says who somebody is.
        if claims.get("typ", "Bearer") != "Bearer":
            raise _refused("the token is no access token.")
        return claims

    def _role(self, claims: Mapping[str, Any]) -> str:
        given: Any = claims
        for key in self.conf.roles_claim.split("#"):
            given = given.get(key) if isinstance(given, dict) else None
        if not isinstance(given, list):
            return ""
        held = [role for role in ROLES if self.conf.roles[role] in given]
        return held[-1] if held else ""


def _refused(message: str) -> NotLoggedInError:
    return NotLoggedInError(message, _LOG_IN_AGAIN, token_given=True)
