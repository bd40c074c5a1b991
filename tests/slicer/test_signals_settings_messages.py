"""The small parts that everything in the Slicer module stands on."""

from __future__ import annotations

from standin.slot_errors import no_swallowed_errors
from standin.wheel import require_scene
from VPTCTLib.errors import CancelledError, UnreachableError
from VPTCTLib.settings import PRESELECT, READER, REFRESH_SECONDS, SETTINGS, Settings
from VPTCTLib.signal import Signal


def test_a_signal_calls_in_order_and_only_who_is_still_connected() -> None:
    signal, told = Signal(), []
    second = lambda: told.append("second")  # noqa: E731

    def first() -> None:
        told.append("first")
        signal.disconnect(second)

    signal.connect(first)
    signal.connect(first)
    signal.connect(second)
    signal.connect(lambda: told.append("third"))
    signal.emit()
    assert told == ["first", "third"]


def test_a_slot_that_fails_is_logged_and_keeps_neither_another_nor_who_tells_from_going_on() -> None:
    signal, told = Signal(), []

    def wrong(value: int) -> None:
        raise ZeroDivisionError(value)

    signal.connect(wrong)
    signal.connect(told.append)
    with no_swallowed_errors() as errors:
        signal.emit(7)
        assert [type(each) for each in errors] == [ZeroDivisionError]
        errors.clear()
    assert told == [7]


def test_settings_come_back_with_their_type_and_damaged_ones_as_the_default() -> None:
    store: dict[str, str] = {}
    settings = Settings(store)
    assert (settings.get(PRESELECT), settings.get(REFRESH_SECONDS), settings.get(READER)) == (False, 20, "")
    settings.set(PRESELECT, True)
    settings.set(REFRESH_SECONDS, 5)
    settings.set(READER, "Dr. Ünal")
    again = Settings(dict(store))
    assert (again.get(PRESELECT), again.get(REFRESH_SECONDS), again.get(READER)) == (True, 5, "Dr. Ünal")
    store[PRESELECT.key], store[REFRESH_SECONDS.key] = "yes", "true"
    assert (settings.get(PRESELECT), settings.get(REFRESH_SECONDS)) == (False, 20)


def test_every_setting_has_words_and_a_key_of_its_own() -> None:
    assert len({each.key for each in SETTINGS}) == len(SETTINGS)
    assert all(each.title and each.tip.endswith(".") for each in SETTINGS)


def test_addresses_are_remembered_the_last_one_first_and_forgotten() -> None:
    settings = Settings({"VPTCT.addresses": "broken"})
    assert settings.addresses == ()
    for address in ("http://a", "http://b", "http://a"):
        settings.remember_address(address)
    assert settings.addresses == ("http://a", "http://b")
    settings.forget_address("http://a")
    assert settings.addresses == ("http://b",)
    for number in range(20):
        settings.remember_address(f"http://{number}")
    assert len(settings.addresses) == 10


def test_the_newest_message_is_shown_and_good_news_take_away_those_of_their_subject() -> None:
    require_scene()
    from VPTCTLib.logic.messages import ERROR, INFO, Messages

    messages, changes = Messages(), []
    messages.changed.connect(lambda: changes.append(messages.current))
    messages.tell_error(UnreachableError("no answer.", "Try again."), about="server")
    messages.tell(INFO, "p07 was skipped.", about="next")
    assert messages.current is not None
    assert messages.current.text == "p07 was skipped."
    messages.tell_error(CancelledError("cancelled."), about="server")
    messages.settle("next")
    assert messages.current is not None
    assert (messages.current.level, messages.current.hint) == (ERROR, "Try again.")
    messages.settle("server")
    messages.settle("server")
    assert messages.current is None
    assert len(changes) == 4


def test_how_fast_uploads_went_is_remembered_for_the_servers_that_were_uploaded_to_last() -> None:
    settings = Settings({"VPTCT.link_speeds": "broken"})
    assert settings.link_speed("http://a") is None
    settings.remember_link_speed("http://a", 12e6)
    settings.remember_link_speed("http://b", 110e6)
    settings.remember_link_speed("http://a", 10e6)
    assert (settings.link_speed("http://a"), settings.link_speed("http://b")) == (10e6, 110e6)
    settings.forget_address("http://a")
    assert settings.link_speed("http://a") is None
    for number in range(10):
        settings.remember_link_speed(f"http://{number}", 1e6)
    assert settings.link_speed("http://b") is None
    assert Settings({"VPTCT.link_speeds": '{"http://a": "fast"}'}).link_speed("http://a") is None
