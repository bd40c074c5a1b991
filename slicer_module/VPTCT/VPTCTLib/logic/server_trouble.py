"""What errors say of the server itself, and a file of certificates that is not there."""

from __future__ import annotations

from pathlib import Path

from ..errors import (
    AnotherServerError,
    LocalFileError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
    UntrustedServerError,
    VptctError,
)
from ..i18n import tr as _


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
