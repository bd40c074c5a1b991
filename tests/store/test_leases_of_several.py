"""Several readers at once, in threads and processes that are killed: no study is in two readers' hands."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vpt_plugin.errors import LeaseError
from vpt_plugin.store.history_file import HistoryFile
from vpt_plugin.store.lease_file import LeaseFile
from vpt_plugin.store.leases import LeaseBook, Order
from vpt_plugin.store.worklist_history import WorklistHistory

STUDIES = [f"p{number:02d}" for number in range(12)]
# A reader who asks for studies and labels, skips, gives back or forgets them; tells what was acknowledged.
READER = """
import json, random, sys, time
from pathlib import Path
from vpt_plugin.errors import LeaseError
from vpt_plugin.store.lease import utc_seconds
from vpt_plugin.store.leases import LeaseBook, Order
folder, name, rounds, minutes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
studies = [f"p{number:02d}" for number in range(12)]
choice = random.Random(name)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    if number % 10 == 0:
        book = LeaseBook(folder, minutes=minutes)  # as after a restart
    with book.choosing() as held:
        free = [study for study in studies if study not in held.leases]
        chosen = choice.sample(free, min(1, len(free)))
        given = book.offer([Order(study, "pe", "random") for study in chosen], name)
    for lease in given:
        print(json.dumps(["has", lease.study, time.time(), lease.offer]), flush=True)
        until = utc_seconds(lease.until)
        time.sleep(choice.uniform(0, 0.01))
        end = choice.choice(["labelled", "skip", "give_back", "forgotten"])
        at = until if end == "forgotten" else min(time.time(), until)
        how = "forgets" if end == "forgotten" else "ends"
        print(json.dumps([how, lease.study, at, lease.offer]), flush=True)
        try:
            if end == "labelled":
                book.labelled(lease.study, name, "pe")
            elif end == "skip":
                book.skip(lease.study, name, "unsure", task="pe")
            elif end == "give_back":
                book.give_back(lease.study, name)
        except LeaseError:
            if time.time() < until:  # else this computer was slow, and somebody else has it now
                raise
print(json.dumps(["done", "", time.time(), ""]), flush=True)
"""


def start(folder: Path, name: str, *, rounds: int, minutes: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READER, str(folder), name, str(rounds), str(minutes)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def told(process: subprocess.Popen[str]) -> list[tuple[str, str, float, str]]:
    """What a process told; of the last line of a killed one only as much as is whole."""
    out = process.communicate(timeout=60)[0]
    return [tuple(json.loads(line)) for line in out.splitlines(keepends=True) if line.endswith("\n")]


def nobody_shares(history: WorklistHistory) -> None:
    """By the history alone: no study is offered while an offer of it has no end."""
    held: dict[str, str] = {}
    for event in history.events:
        if event.event == "offered":
            assert event.study not in held, f"{event.study} is in two readers' hands at {event.when}"
            held[event.study] = event.offer
        elif held.get(event.study) == event.offer:
            del held[event.study]


def times_in_hand(said: list[tuple[str, str, float, str]]) -> Iterator[tuple[str, float, float]]:
    """Study, from when and until when it was in a reader's hands beyond doubt, as the reader saw it."""
    ends = {offer: at for what, _, at, offer in said if what in ("ends", "forgets")}
    yield from ((study, since, ends[offer]) for what, study, since, offer in said if what == "has")


def test_four_processes_ask_two_hundred_times_and_no_study_is_in_two_hands(tmp_path: Path) -> None:
    readers = [start(tmp_path, name, rounds=50, minutes=0.5 / 60) for name in "abcd"]
    go(*readers)
    said = [told(process) for process in readers]
    assert [each[-1][0] for each in said] == ["done"] * 4
    spans = sorted(span for each in said for span in times_in_hand(each) if span[1] < span[2])
    for (study, _, until), (next_study, since, _) in pairwise(spans):
        assert study != next_study or until <= since, f"{study} was in two readers' hands"
    history = LeaseBook(tmp_path).history()
    nobody_shares(history)
    assert history.damaged_lines == 0
    assert {each.offer for each in history.offers} == {
        line[3] for each in said for line in each if line[0] == "has"
    }
    # What was forgotten came back, and went to somebody again.
    forgotten = [each.study for each in history.events if each.event == "expired"]
    assert any(sum(offer.study == study for offer in history.offers) > 1 for study in forgotten)


def test_readers_that_are_killed_hand_in_hand_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(5)
    steady = start(tmp_path, "steady", rounds=60, minutes=10)
    go(steady)
    said = []
    for number in range(4):
        victims = [start(tmp_path, f"victim{number}{letter}", rounds=10_000, minutes=10) for letter in "ab"]
        go(*victims)
        time.sleep(chance.uniform(0.1, 0.3))
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        said += [line for victim in victims for line in told(victim)]
    said += told(steady)
    assert said[-1][0] == "done"  # no killed process keeps the lock
    book = LeaseBook(tmp_path, minutes=10)
    history = book.history()
    nobody_shares(history)
    offered = {each.offer for each in history.offers}
    assert {line[3] for line in said if line[0] == "has"} <= offered
    held = {lease.offer for lease in book.held().values()}
    ended = {line[3] for line in said if line[0] == "ends"}
    assert {line[3] for line in said if line[0] == "has"} - ended <= held


def test_four_threads_of_one_server_ask_at_once(tmp_path: Path) -> None:
    book = LeaseBook(tmp_path)
    mine: dict[str, list[str]] = {name: [] for name in "abcd"}

    def read(name: str) -> None:
        for _ in range(25):
            with book.choosing() as held:
                free = [study for study in STUDIES if study not in held.leases]
                book.offer([Order(free[0], "pe", "typical")], name)
            mine[name].append(free[0])
            book.labelled(free[0], name, "pe") if len(mine[name]) % 2 else book.give_back(free[0], name)

    threads = [threading.Thread(target=read, args=[name]) for name in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    nobody_shares(book.history())
    assert {
        name: [each.study for each in book.history().offers if each.reader == name] for name in mine
    } == mine
    assert book.held() == {}


class Killed(BaseException):
    """Stands for kill -9."""


@contextmanager
def killed_after(writes: int | None) -> Iterator[None]:
    """The program dies at its next write after so many; None: it lives."""
    left = [writes]

    def mortal(write: object) -> object:
        def written(*args: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] = None if left[0] is None else left[0] - 1
            return write(*args)  # type: ignore[operator]

        return written

    with (
        patch.object(LeaseFile, "write", mortal(LeaseFile.write)),
        patch.object(HistoryFile, "add", mortal(HistoryFile.add)),
    ):
        yield


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "offer", "extend", "give_back", "skip", "labelled", "damage"]),
        st.sampled_from(STUDIES[:3]),
        st.sampled_from(["anna", "otto"]),
        st.sampled_from([0.0, 1.0, 20.0, 29.0, 31.0]),
        st.sampled_from([None, None, None, 0, 1, 2]),
    ),
    max_size=25,
)


@dataclass
class Hands:
    """Who has a study: for certain, or perhaps, because of an act that was broken off.

    Attributes:
        readers: one of them; only if ``certain`` it is sure that one has it.
        until: the latest, in minutes.
    """

    readers: set[str]
    until: float
    certain: bool


class Expectation:
    """What must be so."""

    def __init__(self) -> None:
        self.minutes = 0.0
        self.hands: dict[str, Hands] = {}

    def wait(self, minutes: float) -> None:
        self.minutes += minutes
        self.hands = {study: each for study, each in self.hands.items() if each.until > self.minutes}

    def check(self, act: str, study: str, reader: str, outcome: str) -> None:
        hands = self.hands.get(study, Hands(set(), 0.0, True))
        if outcome == "killed":
            self.broken_off(act, study, reader, hands)
            return
        free, theirs = not hands.readers, hands.readers == {reader}
        if hands.certain and act == "offer":
            assert (outcome == "done") == free
        if hands.certain and act == "extend" and not free:
            assert (outcome == "done") == theirs
        if hands.certain and act in ("give_back", "skip"):
            assert (outcome == "done") == (free or theirs)
        if outcome == "done" and act in ("offer", "extend"):
            self.hands[study] = Hands({reader}, self.minutes + 30, certain=True)
        elif outcome == "done":
            # Who may give it back had it, or nobody; a label is taken from everybody.
            left = set() if act in ("give_back", "skip") else hands.readers - {reader}
            self.hands.pop(study, None)
            if left:
                self.hands[study] = Hands(left, hands.until, hands.certain)

    def broken_off(self, act: str, study: str, reader: str, hands: Hands) -> None:
        if hands.certain and hands.readers and hands.readers != {reader}:
            return  # it would have been refused
        if act in ("offer", "extend"):
            self.hands[study] = Hands(hands.readers | {reader}, self.minutes + 30, certain=False)
        elif hands.readers:
            self.hands[study] = Hands(hands.readers, hands.until, certain=False)

    def begin_anew(self) -> None:
        for each in self.hands.values():
            each.until = self.minutes + 30

    def holds(self, held: dict[str, str]) -> None:
        for study, reader in held.items():
            assert study in self.hands, f"{reader} has {study}, which was never given or has ended"
            assert reader in self.hands[study].readers
        for study, hands in self.hands.items():
            assert study in held or not hands.certain, f"{study} was taken from {hands.readers}"


def attempt(book: LeaseBook, act: str, study: str, reader: str) -> str:
    try:
        if act == "offer":
            book.offer([Order(study, "pe", "random")], reader)
        elif act == "skip":
            book.skip(study, reader, "unsure", task="pe")
        elif act == "labelled":
            book.labelled(study, reader, "pe")
        else:
            getattr(book, act)(study, reader)
    except LeaseError:
        return "refused"
    except Killed:
        return "killed"
    return "done"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_and_whenever_the_program_dies_a_reader_keeps_what_is_theirs(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str, float, int | None]]
) -> None:
    folder = tmp_path_factory.mktemp("worklist")
    expected = Expectation()

    def reopened() -> LeaseBook:
        return LeaseBook(folder, clock=lambda: 1.7e9 + 60 * expected.minutes)

    book = reopened()
    for act, study, reader, minutes, writes in steps:
        expected.wait(minutes)
        if act == "damage":
            with book.choosing() as held:
                living = held.leases
            (folder / "leases.json").write_text("{")
            with book.choosing() as held:
                assert held.leases.keys() <= living.keys()
            expected.begin_anew()
        else:
            with killed_after(writes):
                outcome = attempt(book, act, study, reader)
            expected.check(act, study, reader, outcome)
            book = reopened() if outcome == "killed" else book
        expected.holds({each: lease.reader for each, lease in book.held().items()})
    nobody_shares(book.history())
