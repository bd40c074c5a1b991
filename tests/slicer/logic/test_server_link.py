"""The server of the panel: there, away and back, another one, and who is logged in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from authority import new_authority
from doors import BY_TOKEN, doors, info
from hand_ticker import HandTicker
from scripted_server import ScriptedServer, answer, drop, silence
from VPTCTLib.contract.login import LoginWanted
from VPTCTLib.errors import (
    LeaseError,
    NotAllowedError,
    NotLoggedInError,
    NotNowError,
    TimedOutError,
    UnreachableError,
)
from VPTCTLib.jobs import Jobs
from VPTCTLib.logic.login_state import can_be_read_along
from VPTCTLib.logic.messages import Messages
from VPTCTLib.logic.server_link import ServerLink
from VPTCTLib.settings import CA_BUNDLE, READER, REFRESH_SECONDS, Settings
from VPTCTLib.transport.retry import RetryRule

from vpt_plugin.store.tokens import TokenFile

QUICK = RetryRule(first_wait_seconds=0.01, factor=1.0)

REFUSED = {"detail": "this token is not known.", "hint": "Ask for another one."}


@dataclass
class Bare:
    """The server's part of a desk, and nothing that asks a server besides."""

    jobs: Jobs
    messages: Messages
    settings: Settings
    server: ServerLink


@pytest.fixture
def store() -> dict[str, str]:
    """What this computer remembers."""
    return {}


@pytest.fixture
def new_desk(ticker: HandTicker, store: dict[str, str]) -> Iterator[Callable[[], Bare]]:
    """Makes desks that remember what the one before did."""
    made = []

    def new() -> Bare:
        jobs, messages, settings = Jobs(ticker), Messages(), Settings(store)
        made.append(Bare(jobs, messages, settings, ServerLink(jobs, ticker, settings, messages, retry=QUICK)))
        return made[-1]

    yield new
    for each in made:
        each.server.close()
        each.jobs.close()


@pytest.fixture
def desk(new_desk: Callable[[], Bare]) -> Bare:
    """One without a server."""
    return new_desk()


class Told:
    """What a server told: ``ready``, ``left``, and its states without repetitions."""

    def __init__(self, server: Any) -> None:
        self.signals: list[str] = []
        self.states: list[str] = []
        self.left_by: list[str] = []
        self._server = server
        server.ready.connect(lambda: self.signals.append("ready"))
        server.left.connect(lambda: self.signals.append("left"))
        server.left.connect(lambda: self.left_by.append(server.reader))
        server.changed.connect(self._changed)

    def _changed(self) -> None:
        if self.states[-1:] != [self._server.state]:
            self.states.append(self._server.state)


def message(desk: Bare) -> str:
    """What the reader is told of the server."""
    (told,) = [each for each in desk.messages.all if each.about == "server"]
    return f"{told.text} {told.hint}"


def connect(desk: Bare, ticker: HandTicker, address: str) -> Told:
    told = Told(desk.server)
    desk.server.connect(address)
    ticker.until(lambda: desk.server.state != "connecting")
    return told


def log_in(desk: Bare, ticker: HandTicker, site: Any, name: str) -> None:
    """Connect to the real server as somebody."""
    connect(desk, ticker, site.relay.url)
    desk.server.log_in_with_token(site.tokens[name])
    ticker.until(lambda: desk.server.state == "ready")


def look(desk: Bare, ticker: HandTicker) -> None:
    """Until one look has come to its end."""
    desk.server.refresh()
    ticker.until(lambda: desk.jobs.running == 0)


def test_a_reader_connects_and_logs_in_with_a_token(desk: Bare, ticker: HandTicker, site: Any) -> None:
    server = desk.server
    told = Told(server)
    assert (server.state, server.client, server.info) == ("none", None, None)
    server.connect(f" {site.relay.url}/ ")
    assert (server.state, server.address) == ("connecting", site.relay.url)
    ticker.until(lambda: server.state != "connecting")
    assert (server.state, server.login_wanted.kind, server.client) == ("login", "token_file", None)
    server.log_in_with_token(site.tokens["rita"])
    assert server.logging_in
    ticker.until(lambda: not server.logging_in)
    assert (server.state, server.reader, told.signals) == ("ready", "rita", ["ready"])
    assert (server.may("reviewer"), server.may("admin")) == (True, False)
    assert [task.name for task in server.info.tasks] == ["nodule", "pe"]
    assert server.client.access.who_am_i().name == "rita"
    assert told.states == ["connecting", "login", "ready"]
    assert desk.settings.addresses == (site.relay.url,)


def test_a_wrong_password_is_told_in_the_servers_words_and_nothing_secret_is_stored(
    desk: Bare, ticker: HandTicker, site: Any
) -> None:
    server = desk.server
    connect(desk, ticker, site.relay.url)
    server.log_in("anna", "wrong horse")
    ticker.until(lambda: not server.logging_in)
    assert (server.state, server.client) == ("login", None)
    assert "horse" not in message(desk)
    server.log_in("anna", site.tokens["anna"])
    ticker.until(lambda: server.state == "ready")
    assert (server.reader, desk.messages.current) == ("anna", None)
    stored = str(desk.settings.store)
    assert "horse" not in stored
    assert site.tokens["anna"] not in stored


def test_a_server_that_goes_away_is_looked_for_and_comes_back_with_everything(
    desk: Bare, ticker: HandTicker, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(desk, ticker, site, "anna")
    server = desk.server
    client, told = server.client, Told(server)
    monkeypatch.setattr(site.relay, "refuses", True)
    ticker.turn(desk.settings.get(REFRESH_SECONDS))
    ticker.until(lambda: server.state == "away")
    assert (server.client, server.reader, server.info is None) == (client, "anna", False)
    assert "nothing is lost" in message(desk)
    desk.messages.settle("server")
    ticker.turn(60)
    ticker.until(lambda: desk.jobs.running == 0)
    assert desk.messages.all == ()
    monkeypatch.undo()
    ticker.until(lambda: server.state == "ready")
    assert (server.client, told.signals, told.states) == (client, ["ready"], ["away", "ready"])


def test_while_it_is_away_it_is_asked_after_2_3_4_5_and_5_seconds(desk: Bare, ticker: HandTicker) -> None:
    with ScriptedServer([drop]) as server:
        connect(desk, ticker, server.url)
        waits = []
        for _ in range(5):
            ticker.until(lambda: desk.jobs.running == 0)
            (timer,) = [each for each in ticker.timers if not each.every and not each.stopped]
            waits.append(round(timer.due - ticker.now, 3))
            ticker.turn(waits[-1])
        assert waits == [2, 3, 4, 5, 5]
        assert desk.server.state == "away"
        desk.server.disconnect()
        assert desk.messages.all == ()


def test_whoever_hears_that_it_is_away_may_leave_it(desk: Bare, ticker: HandTicker) -> None:
    with doors() as door:
        connect(desk, ticker, door.url)
        desk.server.changed.connect(lambda: desk.server.state == "away" and desk.server.disconnect())
        desk.server.report(UnreachableError("the connection broke."))
        ticker.turn(60)
        assert (desk.server.state, desk.messages.all) == ("none", ())


def test_what_an_error_of_a_request_says_of_the_server(desk: Bare, ticker: HandTicker) -> None:
    with doors() as door:
        connect(desk, ticker, door.url)
        told = Told(desk.server)
        desk.server.report(LeaseError("not yours."))
        assert desk.jobs.running == 0
        for harmless in (
            NotNowError("too many requests wait.", status=503),
            NotAllowedError("needs the role reviewer."),
            TimedOutError("nothing came."),
        ):
            desk.server.report(harmless)
            assert desk.jobs.running == 1
            ticker.until(lambda: desk.jobs.running == 0)
        assert (desk.server.state, told.states, told.signals) == ("ready", [], [])
        desk.server.report(NotNowError("a proxy answered 502.", status=502, own_words=False))
        assert desk.server.state == "away"
        ticker.until(lambda: desk.server.state == "ready")
        desk.server.report(UnreachableError("the connection broke."))
        assert desk.server.state == "away"
        assert "the connection broke" in message(desk)
        ticker.until(lambda: desk.server.state == "ready")
        assert (told.signals, desk.messages.all) == (["ready", "ready"], ())
        desk.server.disconnect()
        desk.server.report(UnreachableError("the connection broke."))
        assert (desk.server.state, desk.messages.all) == ("none", ())


def test_a_login_that_is_taken_back_is_asked_for_again_and_what_was_begun_goes_on(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(BY_TOKEN, "anna", "annotator") as door:
        connect(desk, ticker, door.url)
        desk.server.log_in_with_token("one")
        ticker.until(lambda: desk.server.state == "ready")
        told, again, client = Told(desk.server), [], desk.server.client
        good = dict(door.plays)
        door.plays["/info/"] = answer(401, REFUSED)
        desk.server.report(
            NotLoggedInError(**{"detail": "this token is not known."}), lambda: again.append(1)
        )
        assert (desk.server.state, desk.server.reader, told.signals) == ("login", "anna", [])
        assert "not known" in message(desk)
        asked = len(door.server.asked)
        look(desk, ticker)
        assert door.tokens[asked:] == [""]
        door.plays.update(good)
        desk.server.log_in_with_token("two")
        ticker.until(lambda: desk.server.state == "ready")
        assert (told.signals, again, desk.server.client) == (["ready"], [1], client)
        client.access.who_am_i()
        assert door.tokens[-1] == "two"
        assert desk.messages.all == ()


def test_the_real_server_takes_a_token_back_and_the_reader_logs_in_with_the_next_one(
    desk: Bare, ticker: HandTicker, site: Any
) -> None:
    file = TokenFile(site.root / "tokens")
    first = file.add("tom", "user")
    connect(desk, ticker, site.relay.url)
    desk.server.log_in_with_token(first)
    ticker.until(lambda: desk.server.state == "ready")
    told = Told(desk.server)
    file.remove("tom")
    look(desk, ticker)
    assert (desk.server.state, desk.server.reader, told.signals) == ("login", "tom", [])
    desk.server.log_in("tom", file.add("tom", "annotator"))
    ticker.until(lambda: desk.server.state == "ready")
    assert (told.signals, desk.server.may("annotator")) == (["ready"], True)
    file.remove("tom")


def test_a_look_that_gets_401_asks_for_the_login_and_another_reader_gets_a_clean_desk(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(BY_TOKEN, "anna", "annotator") as door:
        connect(desk, ticker, door.url)
        desk.server.log_in_with_token("one")
        ticker.until(lambda: desk.server.state == "ready")
        told, again = Told(desk.server), []
        door.plays["/info/"] = answer(401, REFUSED)
        look(desk, ticker)
        assert (desk.server.state, "Ask for another one" in message(desk)) == ("login", True)
        desk.server.report(NotLoggedInError("no."), lambda: again.append(1))
        door.plays["/info/"] = answer(200, info())
        door.plays["/auth/token/valid"] = answer(200, {"username": "ben", "role": "user"})
        desk.server.log_in_with_token("two")
        ticker.until(lambda: desk.server.state == "ready")
        assert (told.signals, again, desk.server.reader) == (["left", "ready"], [], "ben")
        assert told.left_by == ["anna"]


def test_who_may_nothing_at_all_is_told_so_and_can_log_in_as_somebody_else(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(BY_TOKEN, "anna", "") as door:
        door.plays["/info/"] = answer(403, {"detail": "anna has no role.", "hint": "Ask for one."})
        connect(desk, ticker, door.url)
        desk.server.log_in_with_token("one")
        ticker.until(lambda: not desk.server.logging_in)
        assert (desk.server.state, message(desk)) == ("login", "anna has no role. Ask for one.")


def test_a_login_that_cannot_be_tried_now_is_told_and_can_be_tried_again(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(BY_TOKEN, "anna", "user") as door:
        door.plays["/auth/token"] = answer(429, {"detail": "too many logins are being tried.", "hint": ""})
        told = connect(desk, ticker, door.url)
        desk.server.log_in("anna", "password")
        ticker.until(lambda: not desk.server.logging_in)
        assert (desk.server.state, told.states) == ("login", ["connecting", "login"])
        assert "too many logins" in message(desk)
        door.plays["/auth/token"] = drop
        desk.server.log_in("anna", "password")
        ticker.until(lambda: desk.server.state == "away")
        ticker.until(lambda: desk.server.state == "login")
        assert desk.messages.all == ()


def test_a_login_of_somebody_else_that_fails_leaves_the_one_that_is_there(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(BY_TOKEN, "anna", "user") as door:
        connect(desk, ticker, door.url)
        desk.server.log_in_with_token("one")
        ticker.until(lambda: desk.server.state == "ready")
        good = door.plays["/info/"]
        door.plays["/info/"] = answer(401, REFUSED)
        told = Told(desk.server)
        desk.server.log_in_with_token("wrong")
        desk.server.report(UnreachableError("an answer that is late."))
        ticker.until(lambda: not desk.server.logging_in)
        assert told.states == ["ready"]
        door.plays["/info/"] = good
        look(desk, ticker)
        assert (desk.server.state, desk.server.reader, door.tokens[-1]) == ("ready", "anna", "one")


def test_logging_out_forgets_the_token_and_drops_what_was_the_readers(
    desk: Bare, ticker: HandTicker, site: Any
) -> None:
    log_in(desk, ticker, site, "anna")
    server, told = desk.server, Told(desk.server)
    client = server.client
    server.log_out()
    assert (server.state, server.client, server.reader, told.signals) == ("login", None, "", ["left"])
    assert told.left_by == ["anna"]
    with pytest.raises(NotLoggedInError):
        client.access.info()
    look(desk, ticker)
    assert (server.state, desk.messages.all) == ("login", ())


def test_another_server_drops_what_belongs_to_the_first_one_and_its_late_answer(
    desk: Bare, ticker: HandTicker
) -> None:
    with ScriptedServer([silence]) as slow, doors() as door:
        desk.server.connect(slow.url)
        ticker.turn(1)
        told = connect(desk, ticker, door.url)
        assert slow.hung_up.wait(5)
        assert (desk.server.state, desk.server.address, told.signals) == ("ready", door.url, ["ready"])
        with doors(BY_TOKEN) as other:
            desk.server.connect(other.url)
            assert (desk.server.info, told.signals) == (None, ["ready", "left"])
            ticker.until(lambda: desk.server.state == "login")
            assert desk.settings.addresses == (other.url, door.url)


def test_a_token_is_for_one_server_alone(desk: Bare, ticker: HandTicker) -> None:
    with doors(BY_TOKEN, "anna", "user") as first, doors(BY_TOKEN) as second:
        connect(desk, ticker, first.url)
        desk.server.log_in_with_token("secret")
        ticker.until(lambda: desk.server.state == "ready")
        connect(desk, ticker, second.url)
        look(desk, ticker)
        assert desk.server.state == "login"
        assert set(second.tokens) == {""}


@pytest.mark.parametrize(
    ("of_ours", "words"),
    [({"server_id": "another"}, "another server"), ({"version": "9.9"}, "version 9.9")],
)
def test_another_server_or_version_at_the_same_address_is_loaded_anew(
    desk: Bare, ticker: HandTicker, of_ours: dict[str, str], words: str
) -> None:
    with doors() as door:
        told = connect(desk, ticker, door.url)
        before = desk.server.client
        look(desk, ticker)
        assert told.signals == ["ready"]
        door.plays["/info/"] = answer(200, info(**of_ours))
        look(desk, ticker)
        assert told.signals == ["ready", "left", "ready"]
        assert desk.server.client not in (None, before)
        assert words in message(desk)


def test_new_models_are_told_and_an_unchanged_server_is_silent(desk: Bare, ticker: HandTicker) -> None:
    with doors() as door:
        connect(desk, ticker, door.url)
        changes: list[int] = []
        desk.server.changed.connect(lambda: changes.append(len(desk.server.info.models)))
        look(desk, ticker)
        assert changes == []
        door.plays["/info/"] = answer(200, info(models=[]))
        look(desk, ticker)
        assert changes == [0]


def test_without_a_login_the_readers_name_is_that_of_the_settings(desk: Bare, ticker: HandTicker) -> None:
    with doors() as door:
        desk.settings.set(READER, " Dr. Ünal ")
        told = connect(desk, ticker, door.url)
        assert (desk.server.state, desk.server.reader) == ("ready", "Dr. Ünal")
        desk.settings.set(READER, "Dr. Berg")
        look(desk, ticker)
        assert told.signals == ["ready", "left", "ready"]


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (answer(200, {"hello": "world"}), "it is no VPTCT server. Check the host and the port"),
        (answer(200, b"<html>A router</html>"), "it is no VPTCT server"),
        (answer(404, {"detail": "Not Found"}), "it is no VPTCT server"),
        (answer(404, b"<html>Not here</html>"), "it is no VPTCT server"),
        (answer(301, b"", Location="https://elsewhere"), "elsewhere"),
        (answer(401, b"<html>A proxy</html>"), "401"),
    ],
)
def test_what_is_no_server_of_ours_is_told_and_not_asked_again(
    desk: Bare, ticker: HandTicker, play: Any, words: str
) -> None:
    with ScriptedServer([play]) as server:
        connect(desk, ticker, server.url)
        assert (desk.server.state, desk.server.address, desk.settings.addresses) == ("none", "", ())
        assert words in message(desk)
        ticker.turn(120)
        assert len(server.asked) == 1


def test_a_server_of_files_and_a_path_that_a_server_of_ours_does_not_have_are_told_as_that(
    desk: Bare, ticker: HandTicker, site: Any, tmp_path: Path
) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        try:
            for address in (f"http://127.0.0.1:{files.server_port}", f"{site.relay.url}/studies"):
                connect(desk, ticker, address)
                assert desk.server.state == "none"
                assert message(desk) == (
                    f"something answers at {address}, but it is no VPTCT server. Check the host and "
                    "the port; mostly nothing stands after them, as in localhost:8000."
                )
        finally:
            files.shutdown()
            thread.join()


def test_the_page_that_a_browser_is_pointed_at_leads_to_the_server(
    desk: Bare, ticker: HandTicker, site: Any
) -> None:
    connect(desk, ticker, f"{site.relay.url}/info/")
    assert (desk.server.address, desk.server.state) == (site.relay.url, "login")


def test_a_typing_error_changes_nothing_but_is_told(desk: Bare, ticker: HandTicker) -> None:
    with doors() as door:
        connect(desk, ticker, door.url)
        for typed in ("", "http://anna:secret@ct", "ftp://ct"):
            desk.server.connect(typed)
            assert (desk.server.state, desk.server.address) == ("ready", door.url)
            assert "secret" not in message(desk)


def test_a_certificate_that_is_not_trusted_names_the_setting_that_helps(
    desk: Bare, ticker: HandTicker, tmp_path: Path
) -> None:
    certificate, context = new_authority(tmp_path)
    with ScriptedServer([answer(200, BY_TOKEN)], tls=context) as server:
        connect(desk, ticker, server.url)
        assert desk.server.state == "none"
        assert "choose its file as Certificates in the settings of VPTCT" in message(desk)
        desk.settings.set(CA_BUNDLE, str(certificate))
        connect(desk, ticker, server.url)
        assert desk.server.state == "login"


def test_a_file_of_certificates_that_is_gone_is_named(desk: Bare, ticker: HandTicker, tmp_path: Path) -> None:
    desk.settings.set(CA_BUNDLE, str(tmp_path / "ca.pem"))
    desk.server.connect("https://127.0.0.1:1")
    assert desk.server.state == "none"
    assert "ca.pem" in message(desk)


def test_the_module_opens_with_the_server_that_it_was_left_with(
    new_desk: Callable[[], Bare], ticker: HandTicker
) -> None:
    first = new_desk()
    first.server.resume()
    assert first.server.state == "none"
    with doors() as door:
        connect(first, ticker, door.url)
        first.server.close()
        next_day = new_desk()
        next_day.server.resume()
        ticker.until(lambda: next_day.server.state == "ready")
        next_day.server.disconnect()
        next_day.server.resume()
        assert (next_day.server.state, next_day.settings.addresses) == ("none", (door.url,))


def test_keycloak_is_asked_itself_and_where_it_is_out_of_reach_the_server_is(
    desk: Bare, ticker: HandTicker
) -> None:
    with doors(name="anna", role="user") as door, ScriptedServer([answer(200, {})]) as realm:
        realm.plays = [
            answer(200, {"token_endpoint": f"{realm.url}/token"}),
            answer(200, {"access_token": "of keycloak", "refresh_token": "r"}),
            drop,
        ]
        wanted = {"login": "keycloak", "realm": f"{realm.url}/realms/ct", "client_id": "ct"}
        door.plays["/auth/"] = answer(200, wanted)
        door.plays["/auth/token"] = answer(200, {"access_token": "of the server", "token_type": "bearer"})
        connect(desk, ticker, door.url)
        desk.server.log_in("anna", "password")
        ticker.until(lambda: desk.server.state == "ready")
        assert door.tokens[-1] == "of keycloak"
        desk.server.log_out()
        ticker.until(lambda: desk.jobs.running == 0)
        desk.server.log_in("anna", "password")
        ticker.until(lambda: desk.server.state == "ready", seconds=30)
        assert door.tokens[-1] == "of the server"


@pytest.mark.parametrize(
    ("address", "realm", "kind", "can"),
    [
        ("http://ct.example.org", None, "token_file", True),
        ("https://ct.example.org", None, "token_file", False),
        ("http://localhost:8000", None, "token_file", False),
        ("http://ct.example.org", None, "none", False),
        ("https://ct.example.org", "http://login.example.org", "keycloak", True),
        ("https://ct.example.org", "https://login.example.org", "keycloak", False),
    ],
)
def test_a_password_that_others_could_read_is_warned_of(
    address: str, realm: str | None, kind: str, can: bool
) -> None:
    assert can_be_read_along(address, LoginWanted(kind, realm, None)) is can
