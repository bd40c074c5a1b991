"""A real server that several readers ask at once and that is killed: no study is ever in two hands."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from server_process import ServerProcess
from stand_in import wait_until

_ASKS, _READERS = 200, 4
_SECONDS = 60
_BODY = {"task": "nodule"}
# Long enough for a few requests on a machine that is busy.
_SHORT_MINUTES = 0.1


@dataclass
class Hands:
    """Who has which study, as the readers know it from answers alone.

    Attributes:
        has: reader by study.
        two_at_once: studies that were given while another reader had them.
        asked: how often anybody asked for a study.
    """

    has: dict[str, str] = field(default_factory=dict)
    two_at_once: list[str] = field(default_factory=list)
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asks(self) -> None:
        with self.lock:
            self.asked += 1

    def took(self, study: str, reader: str) -> None:
        with self.lock:
            if study in self.has:
                self.two_at_once.append(f"{study}: {self.has[study]} and {reader}")
            self.has[study] = reader

    def gives(self, study: str) -> None:
        """To be said before the server is told: it may give the study to another before it answers."""
        with self.lock:
            del self.has[study]


class Site:
    """A server over some files that nobody reads, and what readers ask of it."""

    def __init__(self, root: Path, studies: int, *, lease_minutes: float) -> None:
        folder = root / "studies"
        folder.mkdir()
        (root / "models").mkdir()
        for number in range(studies):
            (folder / f"s{number:02d}.nii").write_bytes(b"x")
        conf = {
            "tasks": "nodule,pe", "models": "tiny", "device": "cpu", "models_dir": str(root / "models"),
            "scoring": "off", "lease_minutes": str(lease_minutes),
        }  # fmt: skip
        self.process = ServerProcess(folder, conf=conf)
        self.back = threading.Event()

    def told(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer that has to be a good one."""
        answer = requests.request(method, f"{self.process.url}{path}", timeout=_SECONDS, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def next(self, reader: str, n: int = 1, strategy: str = "auto") -> list[str]:
        """The studies that a reader gets."""
        told = self.told("POST", f"/activelearning/{strategy}", json={**_BODY, "client_id": reader, "n": n})
        return [each["study"] for each in told["vptct"]["studies"]]

    def extend(self, study: str, reader: str) -> None:
        self.told("PUT", f"/activelearning/leases/{study}", params={"client_id": reader})

    def leases(self) -> dict[str, str]:
        """Who has what, as the server says."""
        told = self.told("GET", "/activelearning/")["leases"]
        assert len({each["study"] for each in told}) == len(told)
        return {each["study"]: each["reader"] for each in told}

    def gives_up(self, study: str, reader: str, how: str) -> None:
        """End a lease: with a label, by skipping the study, or by giving it back."""
        if how == "label":
            content = {
                "schema": "vptct.label/1", "task": "nodule", "annotator": reader,
                "findings": {"lung_nodule": {"state": "absent"}},
            }  # fmt: skip
            files = {"label": ("label.json", json.dumps(content).encode())}
            self.told("PUT", "/datastore/label", params={"image": study}, files=files)
        elif how == "skip":
            said = {**_BODY, "client_id": reader, "reason": "unsure"}
            self.told("POST", f"/activelearning/skips/{study}", json=said)
        else:
            self.told("DELETE", f"/activelearning/leases/{study}", params={"client_id": reader})

    def kill(self) -> None:
        """Kill the server in the middle of whatever it does, and start it again."""
        self.process.kill()
        self.process.start_again()
        self.back.set()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts a server for a test."""
    with ExitStack() as running:

        def begin(studies: int, *, lease_minutes: float) -> Site:
            site = Site(tmp_path, studies, lease_minutes=lease_minutes)
            running.enter_context(site.process)
            return site

        yield begin


def work(site: Site, hands: Hands, reader: str, asks: int) -> Counter[str]:
    """A reader's day: ask for studies; label, skip, keep or give back what was got. Returns what was done."""
    done: Counter[str] = Counter()
    mine: list[str] = []
    for number in range(asks):
        what = ("give back", "keep", "label", "give back", "extend", "skip", "give back")[number % 7]
        hands.asks()
        try:
            for study in site.next(reader, n=1 + number % 2, strategy=("auto", "random")[number % 2]):
                hands.took(study, reader)
                mine.append(study)
            if what == "extend" and mine:
                site.extend(mine[0], reader)
            elif what != "keep" and mine:
                study = mine.pop(0)
                hands.gives(study)
                site.gives_up(study, reader, what)
            done[what] += 1
        except requests.RequestException:
            # The server was killed before it answered: what it did, nobody knows.
            done["no answer"] += 1
            site.back.wait(_SECONDS)
    return done


def test_four_readers_ask_two_hundred_times_past_a_kill_and_no_study_is_in_two_hands(
    start: Callable[..., Site],
) -> None:
    site, hands, done = start(150, lease_minutes=30), Hands(), Counter[str]()
    with ThreadPoolExecutor(_READERS) as at_once:
        readers = [
            at_once.submit(work, site, hands, f"reader{number}", _ASKS // _READERS)
            for number in range(_READERS)
        ]
        while hands.asked < _ASKS // 2:
            time.sleep(0.005)
        site.kill()
        for reader in readers:
            done += reader.result()
    assert hands.two_at_once == []
    assert hands.asked == sum(done.values()) == _ASKS
    # Whoever asks while it is down has none, and waits until it is back.
    assert 1 <= done["no answer"] <= _READERS
    # Every study that a reader was given is theirs, also after the kill. The server may have given more: in
    # answers that never came.
    leases = site.leases()
    assert leases.items() >= hands.has.items()
    assert len(leases) - len(hands.has) <= 2 * done["no answer"]
    assert len(hands.has) >= 20


def test_leases_expire_also_while_the_server_is_down_and_last_while_they_are_extended(
    start: Callable[..., Site],
) -> None:
    site = start(3, lease_minutes=_SHORT_MINUTES)
    first = site.next("anna", n=3)
    assert len(first) == 3
    began, open_study = time.monotonic(), first[0]
    assert site.next("ben") == []
    while time.monotonic() < began + 60 * _SHORT_MINUTES + 0.5:
        site.extend(open_study, "anna")
        time.sleep(0.2)
    site.extend(open_study, "anna")
    assert site.leases() == {open_study: "anna"}
    assert sorted(site.next("ben", n=3)) == sorted(first[1:])
    site.kill()
    wait_until(lambda: site.leases() == {})
    assert sorted(site.next("cleo", n=3)) == sorted(first)
