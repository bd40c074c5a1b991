"""One reader has a study open: nobody else is offered it, until its time is over or its reader is done."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from lease_clock import EIGHT, MINUTE, Clock, happened, order

from vpt_plugin.errors import ConfigurationError, LeaseError, StudyNotFoundError
from vpt_plugin.store.history_file import HistoryFile
from vpt_plugin.store.lease import utc_seconds, utc_text
from vpt_plugin.store.leases import SKIP_REASONS, LeaseBook, Order


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> LeaseBook:
    return LeaseBook(tmp_path / "worklist", clock=clock, max_held=3)


def test_a_lease_says_who_has_what_since_when_and_what_the_model_said(book: LeaseBook) -> None:
    asked = Order(
        "p01", "pe", "badge", "second", {"pulmonary_embolism": 0.25, "undefined": math.nan}, "tiny", 3
    )
    (lease,) = book.offer([asked], "anna")
    assert (lease.since, lease.until) == ("2026-11-20T20:00:00.000Z", "2026-11-20T20:30:00.000Z")
    assert (lease.study, lease.task, lease.reader, lease.holder) == ("p01", "pe", "anna", "anna")
    assert (lease.strategy, lease.reading, lease.model, lease.version) == ("badge", "second", "tiny", 3)
    assert lease.probabilities == {"pulmonary_embolism": 0.25}
    assert book.held() == {"p01": lease}
    with book.choosing() as held:
        assert held.leases == {"p01": lease}
    (offer,) = book.history().offers
    assert (offer.offer, offer.when, offer.probabilities) == (lease.offer, lease.since, lease.probabilities)
    told = {name: value for name, value in dataclasses.asdict(lease).items() if name not in ("why", "wish")}
    assert json.loads(json.dumps(lease.to_json())) == lease.kept() == told


def test_what_one_reader_has_is_offered_to_nobody_else_and_its_holder_is_not_named(book: LeaseBook) -> None:
    book.offer([order("p01")], "anna")
    for reader in ("otto", "anna", ""):
        with pytest.raises(
            LeaseError, match=r"^p01: somebody else has it in their hands, until 20:30"
        ) as told:
            book.offer([order("p02"), order("p01", task="nodule")], reader)
        assert "anna" not in str(told.value)
    assert list(book.held()) == ["p01"]
    assert happened(book) == [("offered", "p01", "anna")]


def test_a_lease_lasts_thirty_minutes_from_when_it_was_last_extended(book: LeaseBook, clock: Clock) -> None:
    book.offer([order("p01")], "anna")
    clock.seconds += 29 * MINUTE
    assert book.extend("p01", "anna").until == "2026-11-20T20:59:00.000Z"
    clock.seconds += 29.9 * MINUTE
    assert list(book.held()) == ["p01"]
    clock.seconds += 0.1 * MINUTE
    assert book.held() == {}
    assert happened(book) == [("offered", "p01", "anna")]  # whoever only looks changes nothing
    book.offer([order("p01")], "otto")
    assert happened(book)[1:] == [("expired", "p01", "anna"), ("offered", "p01", "otto")]


def test_nobody_but_the_holder_extends_gives_back_or_skips(book: LeaseBook) -> None:
    book.offer([order("p01")], "anna")
    for act in (
        lambda: book.extend("p01", "otto"),
        lambda: book.give_back("p01", "otto"),
        lambda: book.skip("p01", "otto", "unsure", task="pe"),
        lambda: book.extend("p01", ""),
        lambda: book.extend("p01", "\ud800"),
    ):
        with pytest.raises(LeaseError, match="somebody else"):
            act()
    assert book.held()["p01"].reader == "anna"
    with pytest.raises(LeaseError, match="p02: it is no longer in your hands"):
        book.extend("p02", "anna")


def test_what_is_given_back_is_free_at_once_and_giving_it_back_again_is_no_error(book: LeaseBook) -> None:
    book.offer([order("p01")], "anna")
    book.give_back("p01", "anna")
    book.give_back("p01", "anna")
    assert book.held() == {}
    book.offer([order("p01")], "otto")
    with pytest.raises(LeaseError):
        book.give_back("p01", "anna")


def test_a_reader_without_a_name_holds_a_batch_by_a_text_that_nobody_else_knows(book: LeaseBook) -> None:
    first, second = book.offer([order("p01"), order("p02")], "")
    (other,) = book.offer([order("p03")], "")
    assert first.holder == second.holder != other.holder
    assert len(first.holder) > 32
    with pytest.raises(LeaseError):
        book.extend("p01", "")
    with pytest.raises(LeaseError):
        book.extend("p01", other.holder)
    assert book.extend("p01", first.holder).holder == first.holder
    book.skip("p02", first.holder, "unsure")
    assert list(book.held()) == ["p01", "p03"]
    assert first.holder not in (book.folder / "history.jsonl").read_text()


def test_a_reader_holds_no_more_than_so_many_and_the_nameless_together_neither(book: LeaseBook) -> None:
    for reader in ("anna", ""):
        studies = [f"{reader or 'x'}{number}" for number in range(4)]
        book.offer([order(study) for study in studies[:2]], reader)
        whose = "your hands already" if reader else "the hands of readers without a name"
        with pytest.raises(LeaseError, match=f"2 studies are in {whose}, and 3 are the most"):
            book.offer([order(study) for study in studies[2:]], reader)
        book.offer([order(studies[2])], reader)
        book.labelled(studies[0], reader, "pe")
        book.offer([order(studies[3])], reader)


def test_who_has_nothing_and_asks_for_too_many_is_not_told_of_studies_in_their_hands(book: LeaseBook) -> None:
    with pytest.raises(LeaseError) as told:
        book.offer([order(f"p{number}") for number in range(4)], "anna")
    assert str(told.value) == "4 studies are more than a reader may hold: 3 are the most. Ask for fewer."


def test_a_reader_who_comes_back_late_has_the_study_again_unless_something_has_happened_to_it(
    book: LeaseBook, clock: Clock
) -> None:
    (first,) = book.offer([Order("p01", "pe", "random", "first", {"pe": 0.5}, "tiny", 2)], "anna")
    (nameless,) = book.offer([order("p02")], "")
    clock.seconds += 31 * MINUTE
    again = book.extend("p01", "anna")
    assert (again.until, again.strategy, again.probabilities) == (
        "2026-11-20T21:01:00.000Z",
        "random",
        {"pe": 0.5},
    )
    with pytest.raises(LeaseError, match="no longer in your hands"):
        book.extend("p02", nameless.holder)
    clock.seconds += 31 * MINUTE
    book.offer([order("p01")], "otto")
    with pytest.raises(LeaseError, match="somebody else"):
        book.extend("p01", "anna")
    book.give_back("p01", "otto")
    with pytest.raises(LeaseError, match="no longer in your hands"):
        book.extend("p01", "anna")
    assert first.offer != again.offer


def test_a_label_ends_the_lease_of_its_reader_for_its_task_and_no_other(book: LeaseBook) -> None:
    (lease,) = book.offer([order("p01")], "anna")
    book.labelled("p01", "otto", "pe")  # he opened it himself
    book.labelled("p01", "anna", "nodule")
    assert list(book.held()) == ["p01"]
    book.labelled("p01", "anna", "pe")
    assert book.held() == {}
    assert [each.offer for each in book.history().events if each.event == "labelled"] == ["", "", lease.offer]


def test_a_label_that_comes_after_the_time_was_over_belongs_to_its_offer(
    book: LeaseBook, clock: Clock
) -> None:
    book.offer([order("p01", "random")], "anna")
    clock.seconds += 31 * MINUTE
    book.offer([order("p01", "badge")], "otto")
    book.labelled("p01", "anna", "pe")
    assert [(each.offer.reader, each.how) for each in book.history().outcomes("pe")] == [
        ("anna", "labelled"),
        ("otto", "open"),
    ]
    assert list(book.held()) == ["p01"]


def test_a_skipped_study_is_not_offered_to_its_reader_and_after_two_readers_to_nobody(
    book: LeaseBook,
) -> None:
    book.offer([order("p01")], "anna")
    book.skip("p01", "anna", "poor_quality", comment="breathing, in\nall slices")
    assert book.held() == {}
    history = book.history()
    assert history.skipped_for("anna", "pe") == {"p01"}
    assert history.skipped_for("anna", "nodule") == history.skipped_for("otto", "pe") == set()
    book.skip("p01", "otto", "unsure", task="pe")  # without a lease, which nobody has
    assert book.history().skipped_for("paul", "pe") == book.history().skipped_for_all("pe") == {"p01"}
    assert [(each.reader, each.reason, each.comment) for each in book.history().skips] == [
        ("anna", "poor_quality", "breathing, in\nall slices"),
        ("otto", "unsure", ""),
    ]
    book.unskip("p01", "the head", task="pe")
    assert book.history().skips == ()
    assert book.history().skipped_for("anna", "pe") == set()


def test_a_skip_of_what_one_does_not_hold_asks_for_the_task(book: LeaseBook) -> None:
    with pytest.raises(ConfigurationError) as refused:
        book.skip("p01", "anna", "poor_quality")
    assert refused.value.message == "it is not said for which task p01 is to be skipped;"
    assert refused.value.hint == 'name it, as in "task": "nodule".'
    assert book.history().skips == ()


def test_what_one_reader_cannot_read_is_offered_to_nobody_for_any_task_until_that_is_taken_back(
    book: LeaseBook,
) -> None:
    book.skip("p01", "anna", "unreadable", task="pe")
    book.skip("p01", "anna", "unsure", task="nodule")
    assert book.history().skipped_for_all("nodule") == {"p01"}
    book.unskip("p01", "the head", task="nodule")
    assert book.history().skipped_for("anna", "nodule") == set()
    with pytest.raises(LeaseError, match="p01: nobody has skipped it for pe"):
        book.unskip("p01", "the head", task="pe")
    book.skip("p01", "anna", "unsure", task="nodule")
    book.unskip("p01", "the head")
    assert book.history().skips == ()


def test_what_cannot_be_kept_is_refused_before_anything_changes(book: LeaseBook) -> None:
    with pytest.raises(ConfigurationError, match=f"choose from {', '.join(SKIP_REASONS)}"):
        book.skip("p01", "anna", "boring", task="pe")
    with pytest.raises(ConfigurationError, match="2000 are the most"):
        book.skip("p01", "anna", "other", task="pe", comment="x" * 2001)
    with pytest.raises(ConfigurationError, match="for which task p01"):
        book.skip("p01", "anna", "other")
    with pytest.raises(ConfigurationError, match="200 are the most"):
        book.offer([order("p01")], "a" * 201)
    with pytest.raises(StudyNotFoundError):
        book.offer([order("p01"), order("../p02")], "anna")
    assert book.history().events == ()
    for wrong in ({"minutes": 0.0}, {"minutes": math.nan}, {"minutes": math.inf}, {"max_held": 0}):
        with pytest.raises(ConfigurationError, match="give numbers above 0"):
            LeaseBook(book.folder, **wrong)  # type: ignore[arg-type]


def test_leases_survive_a_restart(tmp_path: Path, book: LeaseBook, clock: Clock) -> None:
    leases = book.offer([order("p01"), order("p02")], "anna")
    again = LeaseBook(tmp_path / "worklist", clock=clock)
    assert list(again.held().values()) == leases
    with pytest.raises(LeaseError):
        again.offer([order("p02")], "otto")
    assert again.history() == book.history()


def test_a_clock_that_is_put_back_makes_no_lease_last_for_hours(book: LeaseBook, clock: Clock) -> None:
    book.offer([order("p01")], "anna")
    clock.seconds -= 30.0  # as another computer's clock may differ
    with book.choosing() as held:
        assert held.leases["p01"].until == "2026-11-20T20:30:00.000Z"
    clock.seconds = EIGHT - 5 * 60 * MINUTE
    with book.choosing() as held:
        assert held.leases["p01"].until == "2026-11-20T15:30:00.000Z"
    clock.seconds += 30 * MINUTE
    assert book.held() == {}


def test_a_program_with_shorter_leases_leaves_the_longer_ones_of_another_alone(
    tmp_path: Path, clock: Clock
) -> None:
    long, short = (LeaseBook(tmp_path, clock=clock, minutes=minutes) for minutes in (240.0, 5.0))
    long.offer([order("p01")], "anna")
    short.offer([order("p02")], "otto")
    assert [(each.study, each.until[11:16]) for each in long.held().values()] == [
        ("p01", "00:00"),
        ("p02", "20:05"),
    ]
    assert short.extend("p01", "anna").until == "2026-11-21T00:00:00.000Z"
    clock.seconds += 238 * MINUTE
    assert short.extend("p01", "anna").until == "2026-11-21T00:03:00.000Z"
    assert long.extend("p01", "anna").until == "2026-11-21T03:58:00.000Z"


def test_who_has_what_another_labelled_meanwhile_is_told_and_goes_on_with_the_next(
    book: LeaseBook, clock: Clock
) -> None:
    book.labelled("p01", "otto", "pe")  # before: the lease is for a second reading
    book.offer([order("p01")], "anna")
    book.labelled("p01", "otto", "nodule")
    assert book.extend("p01", "anna").reader == "anna"
    book.labelled("p01", "otto", "pe")
    with pytest.raises(LeaseError, match="p01: somebody labelled it while it was in your hands"):
        book.extend("p01", "anna")
    book.give_back("p01", "anna")
    assert book.held() == {}


def test_a_time_as_text_is_that_time_and_texts_compare_as_times() -> None:
    assert utc_text(EIGHT + 0.0006) == "2026-11-20T20:00:00.001Z"
    assert utc_seconds("2026-11-20T20:00:00.500Z") == EIGHT + 0.5
    assert utc_text(EIGHT + 0.999) < utc_text(EIGHT + 1)


def test_whoever_chooses_may_offer_and_nothing_changes_meanwhile(book: LeaseBook) -> None:
    with book.choosing() as held:
        book.offer([order("p01")], "anna")
        book.give_back("p01", "anna")
        assert held.leases == {}
        assert held.history.events == ()
    assert HistoryFile(book.folder / "history.jsonl").read() == book.history()


WISH = "0123456789abcdef"


def wished(study: str, wish: str = WISH, task: str = "pe") -> Order:
    return Order(
        study, task, "typical", probabilities={"pulmonary_embolism": 0.25}, why="Typical.", wish=wish
    )


def test_who_lost_the_answer_is_given_the_same_again_and_nobody_else_is(
    book: LeaseBook, clock: Clock
) -> None:
    given = book.offer([wished("p02"), wished("p01")], "anna")
    clock.seconds += MINUTE
    assert book.again(WISH, "anna", "pe") == given
    assert [(lease.why, lease.wish) for lease in given] == [("Typical.", WISH)] * 2
    for wish, reader, task in (
        (WISH, "otto", "pe"),
        (WISH, "", "pe"),
        ("f" * 16, "anna", "pe"),
        (WISH, "anna", "x"),
    ):
        assert book.again(wish, reader, task) == []
    # Nothing was given twice, and another program reads the same.
    assert happened(book) == [("offered", "p02", "anna"), ("offered", "p01", "anna")]
    assert LeaseBook(book.folder, clock=clock).again(WISH, "anna", "pe") == given


def test_what_is_no_longer_theirs_is_not_given_again(book: LeaseBook, clock: Clock) -> None:
    book.offer([wished("p01"), wished("p02"), wished("p03")], "anna")
    book.labelled("p01", "anna", "pe")
    book.labelled("p02", "otto", "pe")
    assert [each.study for each in book.again(WISH, "anna", "pe")] == ["p03"]
    clock.seconds += 31 * MINUTE
    assert book.again(WISH, "anna", "pe") == []
    assert happened(book)[-1] == ("expired", "p03", "anna")


def test_a_reader_without_a_name_gets_the_holder_again_by_the_wish(book: LeaseBook) -> None:
    (lease,) = book.offer([wished("p01")], "")
    (again,) = book.again(WISH, "", "pe")
    assert again.holder == lease.holder


def test_a_wish_that_a_crash_left_half_written_is_in_the_history_when_it_is_told(
    book: LeaseBook, clock: Clock
) -> None:
    (lease,) = book.offer([wished("p01")], "anna")
    (book.folder / "history.jsonl").unlink()  # the crash came after the leases and before the history
    (again,) = LeaseBook(book.folder, clock=clock).again(WISH, "anna", "pe")
    assert (again.study, again.holder, again.wish, again.why) == ("p01", "anna", WISH, "Typical.")
    assert again.offer != lease.offer
    assert happened(LeaseBook(book.folder, clock=clock)) == [("offered", "p01", "anna")]
