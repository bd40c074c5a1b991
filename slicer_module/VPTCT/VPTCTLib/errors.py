"""What can go wrong between this computer and the server.

::

    VptctError                      has a message and a hint: what is wrong, and what to do
    ├── AddressError                what was typed is no address of a server
    ├── CancelledError              the reader, or the end of the module, cancelled it
    ├── UnexpectedError             a fault of this module
    ├── LocalFileError              a file of this computer cannot be read or written
    ├── OutboxError                 labels cannot be kept on this computer
    ├── UnreachableError            no answer, or only a part of one
    │   ├── TimedOutError           it took too long
    │   └── UntrustedServerError    its certificate is not trusted
    ├── ContractError               an answer that this module does not understand
    └── RefusedError                the server answered, and not with what was asked for
        ├── NotLoggedInError        401
        ├── NotAllowedError         403
        ├── NotThereError           404
        ├── NotOfferedError         405
        ├── TooLargeError           413
        ├── NotNowError             429, 502, 503, 504: later it may work
        ├── ServerFailedError       500, 507 and others: the fault is the server's
        ├── NotTrainedError         409: this network was never trained for this task
        ├── LabelConflictError      409: somebody saved a newer label in the meantime
        ├── LeaseError              409: the study is not, or no longer, in this reader's hands
        ├── NoOfferError            409: no study can be offered in this way
        └── TrainingRefusedError    409: a training that cannot start
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contract.label import LabelConflict


class VptctError(Exception):
    """The base of all.

    Args:
        message: what is wrong.
        hint: what to do; "" where nobody knows.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class AnotherServerError(VptctError):
    """Another server answers at the address by now, and it is not the one that the reader meant."""


class AddressError(VptctError):
    """What was typed is no address of a server."""


class CancelledError(VptctError):
    """The request was cancelled on this computer; its connection is closed."""


class UnexpectedError(VptctError):
    """A fault of this module, told like the others so that the panel lives on."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"something went wrong in this module ({type(cause).__name__}: {cause}).",
            "Try again; the error log (View > Error Log) has what its makers need to know.",
        )


class LocalFileError(VptctError):
    """A file of this computer that is uploaded or downloaded cannot be read or written."""


class OutboxError(VptctError):
    """Labels cannot be kept on this computer, or one that was kept cannot be read."""


class UnreachableError(VptctError):
    """No answer came, or only a part of one. Whether the server did what was asked is not known."""


class TimedOutError(UnreachableError):
    """The server took longer than it may."""


class UntrustedServerError(UnreachableError):
    """The server's certificate is not signed by anybody this computer trusts. Nothing was sent."""


class ContractError(VptctError):
    """An answer of another server, or of another version of it."""


class RefusedError(VptctError):
    """The server answered, and not with what was asked for.

    Args:
        detail: the server's own words: what is wrong.
        hint: the server's own words: what to do.
        status: of HTTP.
        retry_after_seconds: when the server wants to be asked again; None where it does not say.
        own_words: the answer is of a VPTCT server, and not of a proxy or of another program.
        error: the server's name of the error, as docs/server.md lists them; "" where it gives none.
    """

    def __init__(
        self,
        detail: str,
        hint: str = "",
        *,
        status: int = 0,
        retry_after_seconds: float | None = None,
        own_words: bool = True,
        error: str = "",
    ) -> None:
        super().__init__(detail, hint)
        self.error = error
        self.own_words = own_words
        self.detail = detail
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class NotLoggedInError(RefusedError):
    """The server wants a login, or does not take this one."""


class NotAllowedError(RefusedError):
    """Who is logged in may not do this."""


class NotThereError(RefusedError):
    """What was named is not on the server."""


class NotOfferedError(RefusedError):
    """This server does not do that."""


class TooLargeError(RefusedError):
    """More than the server takes; with ``retry_after_seconds`` only at the moment."""


class NotNowError(RefusedError):
    """The server, or what it needs, is busy or away; later it may work."""


class ServerFailedError(RefusedError):
    """The fault is the server's."""


class NotTrainedError(RefusedError):
    """This network was never trained for this task."""


class LeaseError(RefusedError):
    """The study is not, or no longer, in this reader's hands."""


class NoOfferError(RefusedError):
    """No study can be offered in this way: scores are missing, or the reader holds too many."""


class TrainingRefusedError(RefusedError):
    """A training that cannot start: too few labels, no room, the same one runs already."""


class LabelConflictError(RefusedError):
    """Somebody saved a newer version in the meantime; the server has set this label aside.

    Attributes:
        conflict: both labels; None where the server did not send them.
    """

    conflict: LabelConflict | None = None
