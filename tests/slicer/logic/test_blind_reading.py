"""A second reading stays blind around a reconnect, and until the reader's own label for that very task."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doors import BY_TOKEN, INFO, Doors, doors, info
from heat_maps import heat_map_of
from made_up_answers import made_up_answer
from scripted_server import Play, answer, drop
from shown_volume import new_volume
from standin.wheel import require_scene

require_scene()

from VPTCTLib.contract.result import read_result
from VPTCTLib.scene.heat_map import box_of, read_heat_maps
from VPTCTLib.scene.origin import mark_origin
from VPTCTLib.scene.results import keep_result
from VPTCTLib.settings import PRESELECT
from VPTCTLib.transport.cancel import Cancel

STUDY, WORKLISTS = "p17--ct", "/activelearning/"
# The network whose answers are made up.
MODELS = [{**INFO["vptct"]["models"][0], "network": "tiny"}]
AGREED = json.loads(
    (Path(__file__).resolve().parents[2] / "contract" / "active.json").read_text(encoding="utf-8")
)["state"]


def worklists(*readings: str) -> Play:
    """What the server answers to Anna, who holds the study on screen for this reading, or nothing."""
    lease = {**AGREED["leases"][0], "study": STUDY, "task": "pe", "reader": "anna"}
    return answer(200, {**AGREED, "leases": [{**lease, "reading": each} for each in readings]})


def late(gate: threading.Event, then: Play) -> Play:
    """Answers when the gate opens."""

    def play(connection: socket.socket) -> None:
        gate.wait(10)
        then(connection)

    return play


@dataclass
class SecondReader:
    """Anna, before a study whose answer the scene has."""

    desk: Any
    ticker: Any
    server: Doors

    def until_ready(self) -> None:
        self.ticker.until(lambda: self.desk.server.state == "ready" and self.desk.jobs.running == 0)

    def look(self) -> None:
        """Look at the server, and wait for all that follows."""
        self.desk.server.refresh()
        self.ticker.until(lambda: self.desk.jobs.running == 0)

    @property
    def seen(self) -> Any:
        """What the label would say that was seen."""
        return self.desk.draft.to_label().model_suggestion


@pytest.fixture
def anna(desk: Any, ticker: Any) -> Iterator[SecondReader]:
    desk.settings.set(PRESELECT, True)
    with doors(BY_TOKEN, "anna", "annotator") as server:
        server.plays.update({"/info/": answer(200, info(models=MODELS)), WORKLISTS: worklists("second")})
        desk.server.connect(server.url)
        ticker.until(lambda: desk.server.state == "login")
        desk.server.log_in_with_token("hers")
        made = SecondReader(desk, ticker, server)
        made.until_ready()
        desk.choice.select_task("pe")
        volume = new_volume(STUDY)
        mark_origin(volume, server=server.url, study=STUDY, server_id=desk.server.info.server_id)
        given = made_up_answer("pe", pulmonary_embolism=(12, 0.93, 0.41))
        keep_result(volume, given, server=server.url, when="2026-11-20T20:31:05Z")
        desk.study.select(volume)
        made.look()
        yield made
        desk.server.disconnect()


def is_another_version(server: Doors) -> None:
    """The server is updated, by which all that it said before counts no more."""
    server.plays["/info/"] = answer(200, info(models=MODELS, version="0.2.0"))


def test_a_server_that_was_updated_shows_a_second_reader_nothing(anna: SecondReader) -> None:
    assert (anna.desk.evidence.is_hidden, anna.seen) == (True, {})
    is_another_version(anna.server)
    anna.look()
    assert anna.desk.server.info.version == "0.2.0"
    assert (anna.desk.evidence.is_hidden, anna.seen) == (True, {})
    assert anna.desk.draft.states == {"pulmonary_embolism": None}, "nothing was filled in"


def test_nor_does_a_heat_map_tell_what_the_network_said(anna: SecondReader, tmp_path: Path) -> None:
    volume, maps = anna.desk.study.volume, anna.desk.heat_maps
    said = json.loads((Path(__file__).resolve().parents[2] / "contract" / "result.json").read_text())
    said["vptct"]["model"]["name"] = "tiny"
    content = {"pulmonary_embolism": heat_map_of(volume, (20, 20, 12))}
    read = read_heat_maps(content, tmp_path, box_of(volume), Cancel())
    keep_result(volume, read_result(said), server=anna.server.url, when="2026-11-20T20:31:06Z", maps=read)
    maps.show(True)
    anna.desk.classification.changed.emit()
    assert (maps.map, maps.words) == (None, "")
    assert "read blind" in maps.why_not
    anna.desk.next_studies.labelled(STUDY, "pe")
    assert maps.words.startswith("Hottest at z = ")


def test_nor_does_one_that_goes_away_before_it_has_said_what_the_reader_holds(anna: SecondReader) -> None:
    is_another_version(anna.server)
    anna.server.plays[WORKLISTS] = drop
    anna.look()
    assert anna.desk.server.state == "away"
    assert (anna.desk.evidence.is_hidden, anna.seen) == (True, {})
    anna.server.plays[WORKLISTS] = worklists()
    anna.until_ready()
    assert not anna.desk.evidence.is_hidden
    assert anna.seen["pulmonary_embolism"] == pytest.approx(0.93)
    assert anna.desk.draft.states == {"pulmonary_embolism": "present"}


def test_a_server_that_tells_no_worklists_hides_nothing(anna: SecondReader) -> None:
    is_another_version(anna.server)
    del anna.server.plays[WORKLISTS]
    anna.look()
    assert (anna.desk.server.state, anna.desk.evidence.is_hidden) == ("ready", False)


def test_a_label_for_another_task_opens_no_window(anna: SecondReader) -> None:
    anna.desk.next_studies.labelled(STUDY, "effusion")
    anna.until_ready()
    assert (anna.desk.evidence.is_hidden, anna.seen) == (True, {})
    anna.desk.next_studies.labelled(STUDY, "pe")
    assert not anna.desk.evidence.is_hidden


def test_an_answer_that_comes_late_is_not_taken_for_the_newest(anna: SecondReader) -> None:
    held, gate = anna.desk.held, threading.Event()
    anna.server.plays[WORKLISTS] = late(gate, worklists())
    before = len(anna.server.server.asked)
    held.refresh()
    anna.ticker.until(lambda: len(anna.server.server.asked) > before)
    anna.server.plays[WORKLISTS] = worklists("first")
    held.refresh()
    anna.ticker.until(lambda: held.of(STUDY).reading == "first")
    gate.set()
    anna.until_ready()
    assert [each.reading for each in held.all] == ["first"]


def test_what_was_asked_before_a_study_was_given_back_does_not_bring_it_back(anna: SecondReader) -> None:
    held, gate = anna.desk.held, threading.Event()
    anna.server.plays[WORKLISTS] = late(gate, worklists("second"))
    before = len(anna.server.server.asked)
    held.refresh()
    anna.ticker.until(lambda: len(anna.server.server.asked) > before)
    anna.server.plays[WORKLISTS] = worklists()
    held.forget(STUDY)
    gate.set()
    anna.until_ready()
    assert held.all == ()
