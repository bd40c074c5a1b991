"""A report of the answer on screen goes to the archive where that is offered, asked for and confirmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from doors import INFO, NO_LOGIN, doors, info
from made_up_answers import made_up_answer
from scripted_server import answer
from shown_volume import volume_from
from standin.wheel import require_scene

require_scene()

from VPTCTLib.scene.results import keep_result

STUDY = "1.2.826.0.1.3680043.8.498.1"
AGREED = json.loads(
    (Path(__file__).resolve().parents[2] / "contract" / "report.json").read_text(encoding="utf-8")
)
PLACE = "/report/pe_swin_t"
MODELS = [{**INFO["vptct"]["models"][0], "network": "tiny", "version": 3}]


@pytest.fixture
def anna(desk: Any, ticker: Any, answers: Any) -> Iterator[Any]:
    """Somebody before an answer of version 3, of a study that the server's archive has."""
    with doors(NO_LOGIN, "anna", "annotator") as server:
        features = {**INFO["vptct"]["features"], "report": "archive"}
        server.plays["/info/"] = answer(200, info(models=MODELS, features=features))
        server.plays["/datastore/image/info"] = answer(200, {})
        server.plays[PLACE] = answer(200, AGREED)
        desk.server.connect(server.url)
        ticker.until(lambda: desk.server.state == "ready" and desk.jobs.running == 0)
        desk.choice.select_task("pe")
        volume = volume_from(server.url, STUDY)
        given = made_up_answer("pe", pulmonary_embolism=(12, 0.93, 0.41))
        keep_result(volume, given, server=server.url, when="2026-11-20T20:31:05Z")
        desk.study.select(volume)
        ticker.until(lambda: desk.study.study == STUDY)
        yield SimpleNamespace(desk=desk, ticker=ticker, answers=answers, server=server, volume=volume)
        desk.server.disconnect()


def sent(anna: Any) -> list[str]:
    """Send, wait, and say what came to the server."""
    anna.desk.archive_reports.send()
    anna.ticker.until(lambda: not anna.desk.archive_reports.busy and anna.desk.jobs.running == 0)
    return [asked.path for asked in anna.server.server.asked if asked.path.startswith("/report/")]


def test_a_confirmed_report_is_in_the_archive_and_its_uid_is_told(anna: Any) -> None:
    reports = anna.desk.archive_reports
    assert (reports.is_offered, reports.why_not) == (True, "")
    assert sent(anna) == [f"{PLACE}?image={STUDY}&send=true"]
    assert anna.answers.asked == ["Send a report to the archive?"]
    message = anna.desk.messages.current
    assert message.text == f"The report on {STUDY} by version 3 is in the archive."
    assert message.hint == AGREED["sop_instance_uid"]


def test_one_that_was_there_before_is_told_as_that(anna: Any) -> None:
    anna.server.plays[PLACE] = answer(200, {**AGREED, "already_there": True})
    sent(anna)
    assert anna.desk.messages.current.text.endswith("was in the archive already.")


def test_who_says_no_sends_nothing(anna: Any) -> None:
    anna.answers.yes = False
    assert sent(anna) == []
    assert "archive report" not in [each.about for each in anna.desk.messages.all]


@pytest.mark.parametrize("what", ["another study", "no server", "another version"])
def test_what_was_confirmed_is_not_sent_where_something_else_is_on_screen_by_then(
    anna: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def confirm(*asked: str) -> bool:
        # Jobs end while the dialog is open.
        if what == "another study":
            other = volume_from(anna.server.url, f"{STUDY}.2")
            given = made_up_answer("pe", pulmonary_embolism=(12, 0.93, 0.41))
            keep_result(other, given, server=anna.server.url, when="2026-11-20T20:31:05Z")
            anna.desk.study.select(other)
            anna.ticker.until(lambda: anna.desk.study.study == f"{STUDY}.2")
        elif what == "no server":
            anna.desk.server.disconnect()
        else:
            anna.server.plays["/info/"] = answer(200, told_of_version_4)
            anna.desk.server.refresh()
            anna.ticker.until(lambda: anna.desk.archive_reports.why_not)
        return True

    features = {**INFO["vptct"]["features"], "report": "archive"}
    told_of_version_4 = info(models=[{**MODELS[0], "version": 4}], features=features)
    monkeypatch.setattr(anna.answers, "confirm", confirm)
    assert sent(anna) == []
    told = [each.text for each in anna.desk.messages.all if each.about == "archive report"]
    assert told == [f"No report on {STUDY} was sent: what is on screen changed meanwhile."]


def test_a_refusal_is_told_and_may_be_tried_again(anna: Any) -> None:
    refusal = {"error": "NotReportableError", "detail": "no DICOM.", "hint": "Take the study as it is."}
    anna.server.plays[PLACE] = answer(422, refusal)
    sent(anna)
    assert (anna.desk.messages.current.text, anna.desk.archive_reports.why_not) == ("no DICOM.", "")


@pytest.mark.parametrize(
    ("model", "features", "offered", "why_not"),
    [
        ({}, {"report": "file"}, False, ""),
        ({"version": 4}, {}, True, "Another version answers now: classify this study again first."),
    ],
)
def test_what_speaks_against_a_report_is_said(
    anna: Any, model: dict[str, Any], features: dict[str, Any], offered: bool, why_not: str
) -> None:
    features = {**INFO["vptct"]["features"], "report": "archive", **features}
    anna.server.plays["/info/"] = answer(200, info(models=[{**MODELS[0], **model}], features=features))
    anna.desk.server.refresh()
    anna.ticker.until(lambda: anna.desk.jobs.running == 0)
    assert (anna.desk.archive_reports.is_offered, anna.desk.archive_reports.why_not) == (offered, why_not)


def test_without_an_answer_there_is_nothing_to_report(anna: Any) -> None:
    from VPTCTLib.scene.results import forget_results

    forget_results(anna.volume)
    anna.desk.classification.changed.emit()
    assert anna.desk.archive_reports.why_not == "There is no answer to report yet."
