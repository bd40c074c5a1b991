"""ServerLink: the server that the panel works with, whether it is there, and who is logged in."""

from __future__ import annotations

from typing import Callable

from ..address import server_address
from ..client import Client
from ..contract.info import ServerInfo
from ..contract.login import LoginWanted, Person
from ..errors import AddressError, LocalFileError, NotLoggedInError, VptctError
from ..i18n import tr as _
from ..jobs import Jobs, Work
from ..settings import CA_BUNDLE, READER, REFRESH_SECONDS, Settings
from ..signal import Signal
from ..ticker import Ticker
from ..transport.connection import Connection
from ..transport.login import Login, TokenLogin
from ..transport.retry import RetryRule
from .login_state import ChangeableLogin, password_login
from .messages import ERROR, INFO, Messages
from .server_look import Look, Looks, SeenAs, look_at, look_inside
from .server_trouble import existing_file, is_about_the_login, is_worth_a_look, may_come, says_it_is_away

NONE, CONNECTING, READY, LOGIN, AWAY = "none", "connecting", "ready", "login", "away"
ABOUT = "server"
# A look is repeated anyway; what waits for an answer hears of an error sooner.
_ONCE = RetryRule(attempts=1)


class ServerLink:
    """One server, or none. It looks at it again and again, in threads.

    Args:
        jobs: run the looks.
        ticker: for the time between them.
        settings: remember addresses.
        messages: tell what is wrong, as ``server``.
        retry: for requests of ``client``.

    Attributes:
        state: ``none``; ``connecting`` for the first time; ``ready``; ``login``: it wants one; ``away``: it
            may come, or come back.
        address: of the server; "" for none.
        client: asks it; None until it was ready for the first time. It stays while the server is away.
        info: what it said last; None until it was ready.
        person: who is logged in; None for nobody.
        login_wanted: how one logs in; None until it is known.
        logging_in: a name and a password, or a token, are being tried.
        changed: any of these.
        ready: the server can be asked; again each time it is back.
        left: it is another server, another reader, or none: all that belongs to the old one is to be dropped.
            ``address`` and ``reader`` are still the old ones then.
    """

    state: str
    address: str
    client: Client | None
    info: ServerInfo | None
    person: Person | None
    login_wanted: LoginWanted | None
    logging_in: bool

    def __init__(
        self,
        jobs: Jobs,
        ticker: Ticker,
        settings: Settings,
        messages: Messages,
        *,
        retry: RetryRule | None = None,
    ) -> None:
        self.changed, self.ready, self.left = Signal(), Signal(), Signal()
        self._settings, self._messages, self._retry = settings, messages, retry
        self._looks = Looks(jobs, ticker)
        self._login = ChangeableLogin()
        self._forget()

    @property
    def reader(self) -> str:
        """Under which name this reader works: of the login, else of the settings."""
        return self._name_of(self.person)

    def may(self, role: str) -> bool:
        """Whether who is logged in has this role, or a higher one."""
        return self.person is not None and self.person.may(role)

    def resume(self) -> None:
        """Connect to the server that was connected to when the module was last used, if it was to one."""
        if self.state == NONE and self._settings.connected:
            self.connect(self._settings.connected)

    def connect(self, address: str) -> None:
        """Work with this server, and no more with the one before. What is no address is told."""
        try:
            wanted_address = server_address(address)
            ca_bundle = existing_file(self._settings.get(CA_BUNDLE))
        except (AddressError, LocalFileError) as error:
            self._messages.tell_error(error, about=ABOUT)
            return
        self._leave()
        if self._settings.connected != wanted_address:
            self._settings.connected = ""
        self.address, self.state, self._ca_bundle = wanted_address, CONNECTING, ca_bundle
        self.changed.emit()
        self._look()

    def disconnect(self) -> None:
        """Work with no server. It is not connected to again by itself."""
        self._settings.connected = ""
        self._leave()
        self.changed.emit()

    def log_in(self, username: str, password: str) -> None:
        """Try a name and a password."""
        wanted, ca_bundle = self.login_wanted, self._ca_bundle
        if wanted is not None:
            self._try(wanted, lambda: password_login(wanted, username, password, ca_bundle=ca_bundle))

    def log_in_with_token(self, token: str) -> None:
        """Try a token that an administrator gave to the reader."""
        if self.login_wanted is not None:
            self._try(self.login_wanted, lambda: TokenLogin(token))

    def log_out(self) -> None:
        """Forget who is logged in, and all that belongs to them."""
        if not self._login.is_there:
            return
        self._login.forget()
        self.state, self.logging_in = LOGIN, False
        self._drop_what_was()
        self.person = None
        self._messages.settle(ABOUT)
        self.changed.emit()
        self._look()

    def refresh(self) -> None:
        """Look at the server now."""
        if self.state != NONE and not self.logging_in:
            self._look()

    def report(self, error: VptctError, again: Callable[[], object] | None = None) -> None:
        """Whoever asked the server says what went wrong, for what it says of the server itself.

        Args:
            error: any; most say nothing of it. The reader is told of what was asked by who asked.
            again: where a login was missing: called once the same reader has logged in again.
        """
        if self.client is None:
            return
        if isinstance(error, NotLoggedInError):
            if again is not None:
                self._again.append(again)
            if not self.logging_in:
                self._wants_login(error)
        elif self.logging_in:
            return  # How that ends tells more.
        elif says_it_is_away(error):
            self._is_away(error)
        elif is_worth_a_look(error):
            self.refresh()

    def close(self) -> None:
        """Look no more."""
        self._looks.stop()

    def _forget(self) -> None:
        self.state, self.address, self.logging_in = NONE, "", False
        self.client = self.info = self.person = self.login_wanted = None
        # A new one for each server: none ever gets the password of another.
        self._login = ChangeableLogin()
        self._ca_bundle = ""
        self._seen_as = SeenAs()
        self._again: list[Callable[[], object]] = []

    def _name_of(self, person: Person | None) -> str:
        return (person.name if person is not None else "") or self._settings.get(READER).strip()

    def _client_of(self, login: ChangeableLogin, retry: RetryRule | None) -> Client:
        connection = Connection(self.address, login=login, ca_bundle=self._ca_bundle, retry=retry)
        speed = self._settings.link_speed(self.address)
        return Client(connection, reader=self.reader, bytes_per_second=speed)

    def _look(self) -> None:
        client, login = self._client_of(self._login, _ONCE), self._login
        self._looks.now(lambda work: look_at(client, login, work.cancel), self._seen, self._not_seen)

    def _look_again(self) -> None:
        self._looks.after(self._settings.get(REFRESH_SECONDS), self._look)

    def _try(self, wanted: LoginWanted, make: Callable[[], Login]) -> None:
        self.logging_in = True
        self._messages.settle(ABOUT)
        self.changed.emit()
        trial = ChangeableLogin()
        client = self._client_of(trial, _ONCE)

        def call(work: Work) -> Look:
            trial.current = make()
            return look_inside(client, wanted, work.cancel)

        def done(look: Look) -> None:
            self._login.current = trial.current
            self._seen(look)

        self._looks.now(call, done, self._not_logged_in)

    def _seen(self, look: Look) -> None:
        self.logging_in = False
        if self.login_wanted is None:
            self._settings.remember_address(self.address)
            self._settings.connected = self.address
        self.login_wanted = look.login_wanted
        self._look_again()
        if look.info is None or look.person is None:
            self._wants_login(None)
        else:
            self._is_ready(look.info, look.person)

    def _not_seen(self, error: VptctError) -> None:
        if self.login_wanted is None and not may_come(error):
            # It never was a server of ours, or one that is not to be trusted: it is not asked again.
            self._leave()
            self._messages.tell_error(error, about=ABOUT)
            self.changed.emit()
        elif is_about_the_login(error):
            self._look_again()
            self._wants_login(error)
        else:
            self._is_away(error)

    def _not_logged_in(self, error: VptctError) -> None:
        """A login that was tried came to nothing; who was logged in before still is."""
        self.logging_in = False
        if says_it_is_away(error):
            self._is_away(error)
            return
        self._look_again()
        self._messages.tell_error(error, about=ABOUT)
        self.changed.emit()

    def _is_ready(self, info: ServerInfo, person: Person) -> None:
        was, before = self.state, (self.info, self.person)
        if was != READY:
            self._messages.settle(ABOUT)
        seen_as = SeenAs(info.server_id, info.version, self._name_of(person))
        if self.client is not None and seen_as != self._seen_as:
            if news := seen_as.news_in_words(self._seen_as):
                self._messages.tell(INFO, news, about=ABOUT)
            self.state = CONNECTING
            self._drop_what_was()
        self.info, self.person, self.state, self._seen_as = info, person, READY, seen_as
        is_back = was != READY or self.client is None
        if self.client is None:
            self.client = self._client_of(self._login, self._retry)
        if is_back or before != (info, person):
            self.changed.emit()
        if is_back:
            self.ready.emit()
            again, self._again = self._again, []
            for call in again:
                call()

    def _wants_login(self, error: VptctError | None) -> None:
        """Nobody is logged in, any more or yet. Who was stays known: their labels are still theirs."""
        self._login.forget()
        if error is not None:
            self._messages.tell_error(error, about=ABOUT)
        elif self.state != LOGIN:
            self._messages.settle(ABOUT)
        if self.state != LOGIN or error is not None:
            self.state = LOGIN
            self.changed.emit()

    def _is_away(self, error: VptctError) -> None:
        self._looks.after_failure(self._look)
        if self.state != AWAY:
            self.state = AWAY
            hint = _("The panel looks for the server every few seconds; nothing is lost.")
            if self.client is None:
                hint = f"{error.hint} {hint}".strip()
            self._messages.tell(ERROR, error.message, hint, about=ABOUT)
            self.changed.emit()

    def _drop_what_was(self) -> None:
        """Everything of the server as it was, or of the reader that was; the connection stays."""
        was_there = self.client is not None
        self.client = self.info = None
        self._again.clear()
        if was_there:
            self.left.emit()

    def _leave(self) -> None:
        """Drop the server and everything of it."""
        self._looks.stop()
        self.state = NONE
        self._drop_what_was()
        self._forget()
        self._messages.settle(ABOUT)
