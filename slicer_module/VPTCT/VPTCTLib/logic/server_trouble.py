"""What errors say of the server itself, and a file of certificates that is not there."""

from __future__ import annotations

from pathlib import Path

from ..errors import (
    AnotherServerError,
    ContractError,
    LocalFileError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    NotThereError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
    UntrustedServerError,
    VptctError,
)
from ..i18n import tr as _

# What programs answer to a request that they do not know; some say that it is a bad one.
_UNKNOWN_REQUEST = (400, 404, 405)


def existing_file(ca_bundle: str) -> str:
    """The file of certificates of the settings.

    Raises:
        LocalFileError: it is not there; requests itself would tell of a broken connection.
    """
    if ca_bundle and not Path(ca_bundle).is_file():
        raise LocalFileError(
            _("the file of certificates {path} is not there.").format(path=ca_bundle),
            _("Choose another one, or none, in the settings of VPTCT (Edit > Application Settings)."),
        )
    return ca_bundle


def is_of_another_program(error: VptctError, *, logged_in: bool) -> bool:
    """Whether what answers is no VPTCT server, or is one, but not under this path; asked how one logs in.

    Args:
        error: what came of asking.
        logged_in: whether a login went along; without one, none is refused where the question is known.
    """
    if isinstance(error, RefusedError) and not error.own_words:
        return error.status in _UNKNOWN_REQUEST
    if isinstance(error, NotLoggedInError):
        return not logged_in
    return isinstance(error, (ContractError, NotThereError))


def no_vptct_server(address: str) -> ContractError:
    """What the reader is told of it."""
    return ContractError(
        _("something answers at {address}, but it is no VPTCT server.").format(address=address),
        _("Check the host and the port; mostly nothing stands after them, as in localhost:8000."),
    )


def may_come(error: VptctError) -> bool:
    """Whether the first look failed for what may pass, and not because this is no server of ours."""
    if isinstance(error, UnreachableError):
        return not isinstance(error, UntrustedServerError)
    return isinstance(error, (NotNowError, ServerFailedError))


def says_it_is_away(error: VptctError) -> bool:
    """Whether nobody can be asked at the moment; what takes too long, or is busy, may answer others."""
    if isinstance(error, UnreachableError):
        return not isinstance(error, (TimedOutError, UntrustedServerError))
    return isinstance(error, NotNowError) and not error.own_words


def is_about_the_login(error: VptctError) -> bool:
    """Whether another login would help."""
    return isinstance(error, (NotLoggedInError, NotAllowedError))


def is_worth_a_look(error: VptctError) -> bool:
    """Whether the server may be busy, or it, or the reader's role, another one by now: a look tells."""
    return isinstance(error, (UnreachableError, NotNowError, NotAllowedError, AnotherServerError))
