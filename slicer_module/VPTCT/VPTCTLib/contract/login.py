"""Login: whether a server wants one, who somebody is there, and a session of uploads."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Fields

# What each one may, the next one may, too.
ROLES = USER, ANNOTATOR, REVIEWER, ADMIN = "user", "annotator", "reviewer", "admin"


@dataclass(frozen=True)
class LoginWanted:
    """How one logs in.

    Attributes:
        kind: ``none``, ``token_file`` or ``keycloak``; a newer server may know more.
        realm: of Keycloak; None otherwise.
        client_id: of Keycloak; None otherwise.
    """

    kind: str
    realm: str | None
    client_id: str | None

    @property
    def wanted(self) -> bool:
        """Whether anything is answered without a login."""
        return self.kind != "none"


@dataclass(frozen=True)
class Person:
    """Who somebody is.

    Attributes:
        name: "" on a server without login.
        role: the highest of ``ROLES``; "" for none, which may do nothing.
    """

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether their role includes this one."""
        return self.role in ROLES and role in ROLES and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Tokens:
    """What one gets who logs in.

    Attributes:
        access: to be sent with every request; "" from a server that wants no login.
        refresh: for which there is another one; "" where there is none.
    """

    access: str
    refresh: str = ""


@dataclass(frozen=True)
class UploadSession:
    """A study that was uploaded.

    Attributes:
        id: names it; who knows it may classify the study.
        expiry_seconds: so long after its last use the server removes it.
    """

    id: str
    expiry_seconds: float


def read_login_wanted(data: object) -> LoginWanted:
    """The answer of ``GET /auth/``."""
    fields = Fields(data, "the login")
    return LoginWanted(
        kind=fields.text("login"),
        realm=fields.maybe(fields.text, "realm"),
        client_id=fields.maybe(fields.text, "client_id"),
    )


def read_person(data: object) -> Person:
    """The answer of ``GET /auth/token/valid``."""
    fields = Fields(data, "the person")
    return Person(name=fields.text("username"), role=fields.text("role"))


def read_tokens(data: object) -> Tokens:
    """The answer of ``POST /auth/token``."""
    fields = Fields(data, "the token")
    return Tokens(
        access=fields.maybe(fields.text, "access_token") or "",
        refresh=fields.optional(fields.text, "refresh_token") or "",
    )


def read_session(data: object) -> UploadSession:
    """The answer of ``PUT /session/``."""
    fields = Fields(data, "the session")
    return UploadSession(fields.text("session_id"), fields.inner("session_info").number("expiry"))
