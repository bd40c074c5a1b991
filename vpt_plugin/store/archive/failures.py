"""What went wrong between this computer and the archive, in words, with the way out."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
from requests import exceptions
from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError

from vpt_plugin.errors import ArchiveError, ArchiveUnreachableError
from vpt_plugin.store.archive.address import PASSWORD, TOKEN, USERNAME

_LOGIN = f"{USERNAME} and {PASSWORD}, or {TOKEN}, in the environment of the server"
_UP = "Start the archive or repair the way to it; nothing else needs a restart."
_ADDRESS = (
    "Check the address in --studies: Orthanc's ends in /dicom-web, other archives have it in their manual."
)
_REFUSED = (401, 403, 407)
_OVERLOADED = (408, 425, 429, 500, 502, 503, 504)
_DOWN = (502, 503, 504)


class LoginRefusedError(ArchiveUnreachableError):
    """The archive is there and does not let this server in."""


class NoDicomwebError(ArchiveUnreachableError):
    """Something answers at the address, but no DICOMweb service."""


class RefusedRequestError(ArchiveError):
    """The archive works and does not answer this one request: no such resource, a fault of its own.

    Args:
        status: the HTTP status of its answer.
    """

    def __init__(self, message: str, hint: str = "", *, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


def is_passing(error: requests.RequestException) -> bool:
    """Whether to ask again at once is worth the while: an archive that is overloaded or hangs up."""
    if error.response is not None:
        return error.response.status_code in _OVERLOADED
    if isinstance(error, (exceptions.SSLError, exceptions.ProxyError, exceptions.ConnectTimeout)):
        return False
    if _reason(error, NewConnectionError):  # nobody listens there
        return False
    return isinstance(
        error, (exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.Timeout)
    )


def told(error: requests.RequestException, host: str, *, with_login: bool) -> ArchiveError:
    """The error to raise.

    Args:
        error: what the library says.
        host: the archive, as messages name it.
        with_login: credentials were sent.
    """
    if error.response is not None and not isinstance(error, exceptions.TooManyRedirects):
        return _of_status(error.response, host, with_login=with_login)
    kind, cause, hint = _of_connection(error)
    return kind(f"the DICOM archive {host} {cause}.", hint)


def no_search(error: RefusedRequestError, host: str) -> ArchiveUnreachableError:
    """Not even a search that every archive offers is answered."""
    if error.status < 500:
        return no_dicomweb(host, f"a search is answered with {error.status}")
    return ArchiveUnreachableError(error.message, "Its own log has the cause.")


def no_dicomweb(host: str, what: str) -> NoDicomwebError:
    """Something else answers at the address."""
    return NoDicomwebError(f"what answers at {host} is no DICOMweb service: {what}.", _ADDRESS)


def _of_status(answer: requests.Response, host: str, *, with_login: bool) -> ArchiveError:
    status = answer.status_code
    if status in _REFUSED:
        told_login = "refuses the login" if with_login else "wants a login"
        hint = (
            f"Check {_LOGIN}; or the archive does not let this computer in."
            if with_login
            else f"Set {_LOGIN}."
        )
        return LoginRefusedError(f"the DICOM archive {host} {told_login} ({status}).", hint)
    if status in _DOWN:
        return ArchiveUnreachableError(f"the DICOM archive {host} is not up (it answers {status}).", _UP)
    return RefusedRequestError(f"the DICOM archive {host} answers {status} {answer.reason}.", status=status)


def _of_connection(error: requests.RequestException) -> tuple[type[ArchiveUnreachableError], str, str]:
    down = ArchiveUnreachableError
    if isinstance(error, exceptions.TooManyRedirects):
        return (
            NoDicomwebError,
            f"sends on to another address{_target(error)}",
            "Give that address in --studies.",
        )
    if isinstance(error, exceptions.SSLError):
        hint = (
            "If it has a certificate of your own authority, name that authority's file in REQUESTS_CA_BUNDLE "
            "in the environment of the server; if it speaks no TLS, its address begins with http://."
        )
        return down, f"cannot be trusted: TLS fails ({_end_of(error)})", hint
    if isinstance(error, exceptions.ProxyError):
        return down, "cannot be reached through the proxy", "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
    if _reason(error, NameResolutionError):
        return down, "is not known by that name", _ADDRESS
    if isinstance(error, exceptions.ConnectTimeout) or _reason(error, NewConnectionError):
        return down, "cannot be reached: nobody answers there", _UP
    if isinstance(error, exceptions.Timeout) or _reason(error, ReadTimeoutError):
        return down, "is silent", _UP
    if isinstance(error, (exceptions.ConnectionError, exceptions.ChunkedEncodingError)):
        return down, "broke the connection off", _UP
    if isinstance(error, exceptions.ContentDecodingError):
        return down, "sends what cannot be decompressed", _UP
    return NoDicomwebError, f"cannot be asked ({type(error).__name__})", _ADDRESS


def _reason(error: requests.RequestException, kind: type[Exception]) -> bool:
    """Whether an error of urllib3 of that kind is the cause; requests wraps them once or twice."""
    inner = error.args[0] if error.args else None
    return isinstance(inner, kind) or isinstance(getattr(inner, "reason", None), kind)


def _end_of(error: Exception) -> str:
    """The last part of a TLS error, such as ``certificate verify failed: self-signed certificate``."""
    inner = error.args[0] if error.args else error
    text = str(getattr(inner, "reason", inner))
    return text.split("] ")[-1].split(" (_ssl")[0].strip("()'\", ")[:120]


def _target(error: exceptions.TooManyRedirects) -> str:
    location = "" if error.response is None else error.response.headers.get("Location", "")
    parts = urlsplit(location)
    # Its query stays here: it may hold the ticket of a login.
    return f" ({parts.scheme}://{parts.hostname}{parts.path})" if parts.hostname else ""
