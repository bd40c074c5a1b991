"""From what requests raises to exceptions that say what is wrong, in words for a reader."""

from __future__ import annotations

import requests

from ..errors import CancelledError, TimedOutError, UnreachableError, UntrustedServerError, VptctError
from .request import Patience
from .sockets import Sockets

CANCELLED, LATE = "cancelled", "late"
_IS_IT_RUNNING = "Look at the address, and whether the server runs."


def failure_of(error: Exception, server: str, patience: Patience, sockets: Sockets) -> VptctError:
    """The exception to raise instead.

    Args:
        error: what came out of requests, or of what lies below it when its socket was closed.
        server: the address, for the message.
        patience: of the request.
        sockets: of the request; they know whether we closed them, and why.
    """
    if sockets.closed_because == CANCELLED:
        return CancelledError("cancelled.")
    if sockets.closed_because == LATE:
        return TimedOutError(f"{server} took longer than {patience.total_seconds:g} s.", "Try again later.")
    if isinstance(error, requests.exceptions.SSLError):
        return _untrusted(error, server)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return UnreachableError(
            f"{server} does not answer within {patience.connect_seconds:g} s.", _IS_IT_RUNNING
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return UnreachableError(
            f"the proxy before {server} cannot be reached, or refuses.",
            "Look at this computer's proxy settings (HTTPS_PROXY, NO_PROXY).",
        )
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        return TimedOutError(
            f"nothing came from {server} for {patience.stall_seconds:g} s.", "Try again later."
        )
    if "refused" in str(error):
        return UnreachableError(f"{server} refuses the connection.", _IS_IT_RUNNING)
    if any(words in str(error) for words in ("resolve", "getaddrinfo", "Name or service")):
        return UnreachableError(f"{server}: there is no computer of this name.", "Look at the address.")
    return UnreachableError(f"the connection to {server} broke.", "Try again.")


def cut_short(server: str) -> UnreachableError:
    """For an answer of which only a part came."""
    return UnreachableError(f"only a part of the answer of {server} came.", "Try again.")


def _untrusted(error: Exception, server: str) -> UntrustedServerError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UntrustedServerError(
            f"the certificate of {server} is not one that this computer trusts.",
            "If your institution has an authority of its own, choose its file as Certificates in the "
            "settings of VPTCT (Edit > Application Settings).",
        )
    return UntrustedServerError(
        f"no protected connection to {server} comes about.", "Is it http instead of https?"
    )
