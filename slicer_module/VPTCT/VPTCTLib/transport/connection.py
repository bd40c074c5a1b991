"""Connection: one server; requests to it can be cancelled, and are repeated where that is safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable

import requests

from ..address import is_this_computer, server_address
from ..contract.login import Tokens, read_tokens
from ..errors import (
    ContractError,
    LocalFileError,
    NotLoggedInError,
    NotNowError,
    UnreachableError,
    VptctError,
)
from .answers import decoded, refused
from .cancel import Cancel
from .failure import CANCELLED, LATE, cut_short, failure_of
from .login import Login, NoLogin
from .parts import parts_of
from .request import Request
from .retry import RetryRule, may_pass, wait_of
from .sockets import ClosableAdapter, Sockets
from .upload import OnProgress, no_progress

_USER_AGENT = "VPTCT-Slicer"
_PIECE_BYTES = 1 << 18
# The longest answers are lists of studies; what is longer is none of ours, and would fill the memory.
_MAX_JSON_BYTES = 256 << 20


@dataclass(frozen=True)
class Download:
    """Where an answer goes that is no JSON.

    Attributes:
        open: called with the answer's headers once it is known to be a good one; gives where it is written.
        progress: called after each piece; of how many bytes is 0 where the server does not say.
    """

    open: Callable[[Any], BinaryIO]
    progress: OnProgress = no_progress


@dataclass(frozen=True)
class _Body:
    """The body of a good answer; none of it where it was written elsewhere.

    Attributes:
        content: its bytes.
        content_type: as the server says.
    """

    content: bytes
    content_type: str


class Connection:
    """Asks one server. Several threads may use it: every request has a connection of its own.

    So no request ever finds a connection that the server has closed since, and one that is cancelled takes no
    other with it.

    Args:
        address: of the server, as a reader types it.
        login: gives tokens.
        ca_bundle: file of the authorities that are trusted; "" for the usual ones. Checking is never off.
        retry: for what may be repeated.

    Raises:
        AddressError: it is no address.
    """

    def __init__(
        self, address: str, *, login: Login | None = None, ca_bundle: str = "", retry: RetryRule | None = None
    ) -> None:
        self.address = server_address(address)
        self._login = login if login is not None else NoLogin()
        self._verify: bool | str = ca_bundle or True
        self._retry = retry if retry is not None else RetryRule()

    def json(self, request: Request, cancel: Cancel | None = None) -> Any:
        """The JSON of the answer.

        Raises:
            UnreachableError: no answer, or a part of one; see ``errors``.
            RefusedError: the server's refusal, with its words.
            ContractError: the answer is no JSON.
            CancelledError: it was cancelled.
        """
        return decoded(self.content(request, cancel))

    def content(self, request: Request, cancel: Cancel | None = None) -> bytes:
        """The body of the answer. Raises: as ``json``."""
        return self._repeated(request, cancel if cancel is not None else Cancel(), None).content

    def parts(self, request: Request, cancel: Cancel | None = None) -> Mapping[str, bytes]:
        """The parts of the answer by their names, see ``parts_of``. Raises: as ``json``."""
        body = self._repeated(request, cancel if cancel is not None else Cancel(), None)
        return parts_of(body.content_type, body.content)

    def download(self, request: Request, into: Download, cancel: Cancel | None = None) -> None:
        """Write the body of the answer to where ``into`` says. Raises: as ``json``."""
        self._repeated(request, cancel if cancel is not None else Cancel(), into)

    def _repeated(self, request: Request, cancel: Cancel, into: Download | None) -> _Body:
        waits = self._retry.waits() if request.repeat else iter(())
        while True:
            try:
                return self._logged_in(request, cancel, into)
            except (UnreachableError, NotNowError) as error:
                wait = next(waits, None)
                if wait is None or not may_pass(error, self._retry.longest_wait_seconds):
                    raise
                cancel.wait(wait_of(error, wait))

    def _logged_in(self, request: Request, cancel: Cancel, into: Download | None) -> _Body:
        def ask(fields: Mapping[str, str]) -> Tokens:
            return self._ask_for_token(fields, cancel)

        token = self._login.token(ask)
        try:
            return self._once(request, token, cancel, into)
        except NotLoggedInError:
            if not self._login.renew(token, ask):
                raise
        return self._once(request, self._login.token(ask), cancel, into)

    def _ask_for_token(self, fields: Mapping[str, str], cancel: Cancel) -> Tokens:
        request = Request("POST", "/auth/token", fields=fields)
        return read_tokens(decoded(self._once(request, "", cancel, None).content))

    def _once(self, request: Request, token: str, cancel: Cancel, into: Download | None) -> _Body:
        """One attempt on a connection of its own."""
        cancel.check()
        sockets = Sockets()
        try:
            with (
                _ended(sockets, request, cancel),
                closing(self._session(sockets, request, token)) as session,
                self._sent(session, request) as answer,
            ):
                return self._read(answer, request, into if _is_good(answer) else None)
        except Exception as error:
            # Anything may come out of requests when its socket is closed under it.
            ours = isinstance(error, VptctError)
            broken = not ours and isinstance(error, (requests.RequestException, OSError))
            if broken or sockets.closed_because:
                raise failure_of(error, self.address, request.patience, sockets) from error
            raise
        finally:
            sockets.end()

    def _session(self, sockets: Sockets, request: Request, token: str) -> requests.Session:
        session = requests.Session()
        adapter = ClosableAdapter(sockets, stall_seconds=request.patience.stall_seconds)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        # A hospital's proxy must not come between this computer and itself.
        session.trust_env = not is_this_computer(self.address)
        # Also without a token: else requests looks for a password in ~/.netrc.
        session.auth = _Bearer(token)
        # Not packed, so that its length tells whether all of it came.
        session.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
        return session

    @contextmanager
    def _sent(self, session: requests.Session, request: Request) -> Iterator[requests.Response]:
        form = request.form() if request.form is not None else None
        patience = request.patience
        try:
            answer = session.request(
                request.method,
                self.address + request.path,
                params=dict(request.params),
                json=request.json,
                data=form if form is not None else request.fields,
                headers={"Content-Type": form.content_type} if form is not None else None,
                timeout=(patience.connect_seconds, patience.stall_seconds),
                verify=self._verify,
                stream=True,
                # A token is for this server; and what was uploaded cannot be sent again elsewhere.
                allow_redirects=False,
            )
        finally:
            if form is not None:
                form.close()
        with closing(answer):
            yield answer

    def _read(self, answer: requests.Response, request: Request, into: Download | None) -> _Body:
        said = answer.headers.get("Content-Length", "")
        length = int(said) if said.isascii() and said.isdigit() else 0
        if into is not None:
            with closing(into.open(answer.headers)) as target:
                came = _copy(answer, _writing(target), lambda done: into.progress(done, length))
            content = b""
        else:
            pieces: list[bytes] = []
            came = _copy(answer, pieces.append, _check_length)
            content = b"".join(pieces)
        # Older versions of what lies below requests take a part for the whole.
        if length and came != length and request.method != "HEAD":
            raise cut_short(self.address)
        if not _is_good(answer):
            raise refused(answer.status_code, answer.reason or "", answer.headers, content, request.conflict)
        return _Body(content, answer.headers.get("Content-Type", ""))


class _Bearer(requests.auth.AuthBase):
    """Puts a token into a request; "" for none."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@contextmanager
def _ended(sockets: Sockets, request: Request, cancel: Cancel) -> Iterator[None]:
    """Within the ``with`` block the sockets are closed when the reader, or the time, wants that."""
    seconds = request.patience.total_seconds
    timer = None if seconds is None else threading.Timer(seconds, sockets.close, (LATE,))
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        with cancel.calling(lambda: sockets.close(CANCELLED)):
            yield
    finally:
        if timer is not None:
            timer.cancel()


def _is_good(answer: requests.Response) -> bool:
    return 200 <= answer.status_code < 300


def _writing(target: BinaryIO) -> Callable[[bytes], object]:
    """Writes pieces; what goes wrong with this computer's disk is no fault of the connection."""

    def write(piece: bytes) -> None:
        try:
            target.write(piece)
        except OSError as error:
            raise LocalFileError(f"the study cannot be written to this computer: {error}.") from error

    return write


def _copy(
    answer: requests.Response, write: Callable[[bytes], object], progress: Callable[[int], None]
) -> int:
    done = 0
    for piece in answer.iter_content(_PIECE_BYTES):
        write(piece)
        done += len(piece)
        progress(done)
    return done


def _check_length(done: int) -> None:
    if done > _MAX_JSON_BYTES:
        raise ContractError("the server's answer is far too long.", "Is this the address of a VPTCT server?")
