"""The history of what was offered: read as it grows, whole lines only, and what follows of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from vpt_plugin.store.history_file import HistoryFile
from vpt_plugin.store.leases import LeaseBook, Order
from vpt_plugin.store.worklist_history import WorklistEvent, WorklistHistory

WHEN = "2026-11-20T20:00:00.000Z"


def event(kind: str, study: str, reader: str = "anna", offer: str = "", **said: object) -> WorklistEvent:
    return WorklistEvent(kind, WHEN, study, "pe", reader, offer, **said)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> HistoryFile:
    return HistoryFile(tmp_path / "worklist" / "history.jsonl")


def test_what_is_written_is_read_again_and_what_is_not_there_is_left_out(file: HistoryFile) -> None:
    assert file.read() == WorklistHistory()
    offer = event(
        "offered", "p01", "", "0a", strategy="badge", probabilities={"pe": 0.5}, model="tiny", version=2
    )
    file.add([offer, event("skipped", "p01", reason="other", comment="a\nb \u2028 \ud800")])
    file.add([])
    assert file.read().events == (
        offer,
        event("skipped", "p01", reason="other", comment="a\nb \u2028 \ud800"),
    )
    first, second = file.path.read_text().splitlines()
    assert json.loads(first) == {
        "schema": "vptct.worklist-event/1", "event": "offered", "when": WHEN, "study": "p01", "task": "pe",
        "reader": "", "offer": "0a", "strategy": "badge", "probabilities": {"pe": 0.5}, "model": "tiny",
        "version": 2,
    }  # fmt: skip
    assert "probabilities" not in second


def test_a_file_that_grows_is_read_on_and_another_one_in_its_place_from_its_beginning(
    file: HistoryFile,
) -> None:
    other = HistoryFile(file.path)
    file.add([event("offered", "p01")])
    assert len(other.read().events) == 1
    file.add([event("offered", "p02"), event("offered", "p03")])
    assert [each.study for each in other.read().events] == ["p01", "p02", "p03"]
    before = other.read()
    assert other.read() is before
    file.path.write_bytes(event("offered", "p04").line())
    assert [each.study for each in other.read().events] == ["p04"]
    file.path.unlink()
    assert other.read().events == ()


def test_a_line_that_was_broken_off_is_left_out_and_the_next_one_is_whole(
    file: HistoryFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.add([event("offered", "p01")])
    with file.path.open("ab") as raw:
        raw.write(event("offered", "p02").line()[:40])
    # It may be being written at this moment: nobody is told.
    assert [each.study for each in file.read().events] == ["p01"]
    assert (file.read().damaged_lines, caplog.text) == (0, "")
    file.add([event("offered", "p03")])
    assert [each.study for each in file.read().events] == ["p01", "p03"]
    assert file.read().damaged_lines == 1
    assert "a line is left out of the history" in caplog.text
    assert HistoryFile(file.path).read() == file.read()


@pytest.mark.parametrize(
    "line",
    [
        "", "[]", "null", "{}", '{"schema": "vptct.worklist-event/2"}', "[" * 100_000, "\ufeff{}",
        event("offered", "p02").line().decode().replace('"p02"', "7").strip(),
        event("danced", "p02").line().decode().strip(),
        event("offered", "p02", probabilities={"pe": "high"}).line().decode().strip(),
        event("offered", "p02", probabilities=["high"]).line().decode().strip(),
        event("offered", "p02", version="2").line().decode().strip(),
        event("offered", "p02").line().decode().replace('"task": "pe", ', "").strip(),
        event("offered", "p02").line().decode().replace("task", "tusk").strip(),
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_hides_no_other(file: HistoryFile, line: str) -> None:
    file.add([event("offered", "p01")])
    with file.path.open("a", encoding="utf-8") as raw:
        raw.write(line + "\n")
    file.add([event("offered", "p03")])
    found = file.read()
    assert ([each.study for each in found.events], found.damaged_lines) == (["p01", "p03"], 1)


def test_bytes_that_are_no_text_hide_no_event(file: HistoryFile) -> None:
    file.add([event("offered", "p01")])
    with file.path.open("ab") as raw:
        raw.write(b"\xff\xfe\0\n")
    file.add([event("offered", "p03")])
    assert [each.study for each in file.read().events] == ["p01", "p03"]


def test_every_offer_has_one_outcome_and_a_late_label_is_the_last_word() -> None:
    history = WorklistHistory(
        (
            event("offered", "p01", "anna", "1", strategy="random"),
            event("offered", "p02", "otto", "2", strategy="badge"),
            event("expired", "p01", "anna", "1"),
            event("skipped", "p02", "otto", "2", reason="unsure"),
            event("offered", "p02", "anna", "3", strategy="random"),
            event("expired", "p02", "otto", "2"),  # a crash came between; it had ended before
            event("labelled", "p01", "anna", "1"),
            event("labelled", "p07", "anna"),  # she opened it herself
        )
    )
    assert [(each.offer.offer, each.how) for each in history.outcomes("pe")] == [
        ("1", "labelled"),
        ("2", "skipped"),
        ("3", "open"),
    ]
    assert [each.offer.study for each in history.random_picks("pe")] == ["p01", "p02"]
    assert history.outcomes("nodule") == ()
    assert history.seen_by("anna") == {"p01", "p02"}
    assert history.seen_by("otto") == {"p02"}
    assert history.last_offer("p02", "otto", "pe") == "2"
    assert history.last_offer("p02", "otto", "nodule") == ""


def test_two_skips_of_one_reader_close_a_study_for_that_reader_only() -> None:
    history = WorklistHistory(tuple(event("skipped", "p01", "anna", reason="unsure") for _ in range(2)))
    assert history.skipped_for_all("pe") == set()
    assert history.skipped_for("anna", "pe") == {"p01"}
    assert history.skipped_for("otto", "pe") == set()


def test_a_skip_that_is_taken_back_counts_no_more_and_a_later_one_does() -> None:
    history = WorklistHistory(
        (
            event("skipped", "p01", "anna", reason="unsure"),
            event("skipped", "p02", "anna", reason="unsure"),
            event("unskipped", "p03", "eve"),
            event("unskipped", "p01", "eve"),
            event("skipped", "p01", "otto", reason="other"),
        )
    )
    assert sorted((skip.study, skip.reader) for skip in history.skips) == [("p01", "otto"), ("p02", "anna")]


def test_a_history_that_is_read_on_says_what_one_that_is_read_at_once_says(file: HistoryFile) -> None:
    happened = [
        event("offered", "p01", "anna", "1"),
        event("skipped", "p01", "anna", "1", reason="unsure"),
        event("skipped", "p02", "otto", reason="unreadable"),
        event("unskipped", "p01", "eve"),
        event("offered", "p01", "otto", "2"),
        event("skipped", "p01", "otto", "2", reason="other"),
    ]
    for number, each in enumerate(happened, 1):
        file.add([each])
        read, whole = file.read(), WorklistHistory(tuple(happened[:number]))
        assert (read.events, read.offers, read.skips) == (whole.events, whole.offers, whole.skips)


def test_a_long_history_with_skips_that_were_taken_back_keeps_nobody_waiting(file: HistoryFile) -> None:
    """100,000 events, 10,000 skips of which 1,000 were taken back: took seconds where that is quadratic."""
    long = []
    for at in range(50_000):
        study, reader, offer = f"p{at % 10_000:05d}", f"r{at % 20}", f"{at:016x}"
        long.append(event("offered", study, reader, offer, strategy="auto"))
        skipped = at % 5 == 0
        end = event("skipped", study, reader, offer, reason="unsure") if skipped else None
        long.append(end or event("expired", study, reader, offer))
    file.add(long)
    file.add(event("unskipped", f"p{5 * number:05d}", "eve") for number in range(1000))
    book = LeaseBook(file.path.parent)
    assert len(book.history().skips) == 5000
    began = time.thread_time()
    for study in ("new-1", "new-2"):
        with book.choosing() as held:
            assert len(held.history.offers) >= 50_000
            assert len(held.history.skipped_for("r0", "pe")) == 250
            book.offer([Order(study, "pe", "auto")], "r0")
    assert time.thread_time() - began < 0.2
