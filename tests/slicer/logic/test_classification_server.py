"""A server that goes, refuses, or says something else in the middle of a classification."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, answer, drop, half
from standin.wheel import require_scene

require_scene()

from VPTCTLib.client import Client
from VPTCTLib.scene.results import result_of
from VPTCTLib.settings import UPLOAD_WHOLE
from VPTCTLib.transport.connection import Connection
from VPTCTLib.transport.retry import RetryRule

INFO = Path(__file__).parents[2] / "contract" / "info.json"
PHASES = ("asking", "preparing", "uploading", "computing")

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_goes_away_is_told_and_is_asked_again_by_another_click(
    reader, open_study, phase
) -> None:
    reader.log_in()
    open_study(marked=phase == "asking")
    relay = reader.site.relay
    # The last step that still gets through; what is held is lost when the server goes.
    relay.holds = {"asking": "GET /datastore/", "computing": "POST /infer/"}.get(phase, "PUT /session/")
    reader.classify_until(phase)
    reader.ticker.until(lambda: any(line.startswith(relay.holds) for line in relay.asked[-3:]))
    relay.refuses = True
    reader.ticker.until(lambda: reader.desk.server.state == "away")
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert reader.told
    relay.refuses, relay.holds = False, ""
    assert reader.classify_again() is not None
    assert reader.told == ""


def test_an_upload_whose_answer_is_lost_is_told_and_made_again(reader, open_study, uploads) -> None:
    reader.log_in()
    open_study()
    reader.site.relay.loses_answers = 1
    reader.desk.classification.start()
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert "broke" in reader.told or "part" in reader.told
    assert reader.classify_again() is not None
    assert uploads() == 2


def test_what_is_larger_than_the_server_takes_is_not_uploaded(reader, open_study, uploads) -> None:
    reader.log_in()
    info = reader.desk.server.info
    reader.desk.server.info = replace(info, uploads=replace(info.uploads, max_bytes=1000))
    open_study()
    for whole, hint in ((False, "Crop the volume"), (True, 'Switch off "Upload studies whole"')):
        reader.desk.settings.set(UPLOAD_WHOLE, whole)
        reader.desk.classification.start()
        reader.ticker.until(lambda: reader.desk.classification.state == "idle")
        assert "this server takes up to" in reader.told
        assert reader.desk.messages.current.hint.startswith(hint)
    assert uploads() == 0


def test_a_consent_is_not_used_for_another_server_that_came_to_the_address(
    reader, open_study, uploads
) -> None:
    reader.log_in()
    info = reader.desk.server.info
    # As if the last look had found another one than the server that is there by now.
    reader.desk.server.info = replace(info, server_id="the-one-before")
    open_study()
    reader.classify_until("asking")
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert reader.told == (
        f"another server answers at {reader.site.relay.url} now, so nothing was sent there."
    )
    reader.wait()
    assert uploads() == 0
    assert reader.desk.server.info == info, "it was looked at at once"


def test_where_a_login_ends_in_the_middle_it_goes_on_after_the_next_one(reader, open_study) -> None:
    from vpt_plugin.store.tokens import TokenFile

    tokens = TokenFile(reader.site.root / "tokens")
    reader.site.tokens["cleo"] = tokens.add("cleo", "annotator")
    reader.log_in("cleo")
    open_study(marked=True)
    reader.ticker.until(lambda: reader.desk.study.place is not None)
    tokens.remove("cleo")
    reader.desk.classification.start()
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    reader.ticker.until(lambda: reader.desk.server.state == "login")
    assert reader.told
    reader.desk.server.log_in_with_token(tokens.add("cleo", "annotator"))
    reader.ticker.until(lambda: reader.desk.classification.result is not None)
    assert reader.told == ""


@pytest.mark.parametrize("phase", PHASES)
def test_an_answer_of_a_server_that_was_left_never_comes(reader, open_study, phase) -> None:
    reader.log_in()
    volume = open_study()
    reader.classify_until(phase)
    reader.desk.server.disconnect()
    assert reader.desk.classification.state == "idle"
    reader.wait()
    assert result_of(volume, "nodule") is None
    assert reader.told == ""


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (answer(413, {"detail": "too large.", "hint": "Crop it."}), "too large."),
        (answer(500, {"detail": "the server failed.", "hint": ""}), "the server failed."),
        (answer(503, {"detail": "busy.", "hint": "Later."}, Retry_After="60"), "busy."),
        (answer(200, {"prediction": [], "vptct": {"schema": "vptct.result/9"}}), "vptct.result/9"),
        (answer(200, b"<html>a proxy</html>"), "JSON"),
        (half(b'{"prediction": []}'), "broke"),
        (drop, "broke"),
    ],
)
def test_what_the_server_says_instead_of_an_answer_is_told(reader, open_study, play, words) -> None:
    reader.log_in()
    volume = open_study(marked=True)
    reader.ticker.until(lambda: reader.desk.study.place is not None)
    reader.wait()
    with ScriptedServer([answer(200, json.loads(INFO.read_text())), play]) as scripted:
        reader.desk.server.client = Client(Connection(scripted.url, retry=RetryRule(attempts=1)))
        reader.desk.classification.start()
        reader.ticker.until(lambda: reader.desk.classification.state == "idle")
        reader.wait()
    assert [asked.path.split("?")[0] for asked in scripted.asked] == ["/info/", "/infer/nodule_tiny"]
    about = {each.about: each for each in reader.desk.messages.all}
    assert words in f"{about['classification'].text} {about['classification'].hint}"
    assert result_of(volume, "nodule") is None
