"""A reader orders a training, watches it, stops it, and lets another version answer: on the real server."""

from __future__ import annotations

from typing import Any

import pytest
from VPTCTLib.contract.label import FindingLabel, StudyLabel

PRESENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("present")})
ABSENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")})


@pytest.fixture
def rita(reader: Any) -> Any:
    """A reviewer who chose the network that has two versions."""
    reader.log_in("rita")
    reader.desk.choice.select_task("nodule")
    reader.wait()
    return reader


def told(reader: Any, about: str) -> str:
    return " ".join(f"{each.text} {each.hint}" for each in reader.desk.messages.all if each.about == about)


def test_why_nothing_can_be_ordered_is_said(reader: Any) -> None:
    trainings = reader.desk.trainings
    assert trainings.why_not == "Connect to a server first."
    reader.log_in("anna")
    assert "takes the role reviewer" in trainings.why_not
    reader.wait()
    trainings.order({})
    assert (trainings.busy, reader.desk.jobs.running) == ("", 0)
    assert "takes the role reviewer" in reader.desk.versions.why_no_promotion(1)


def test_too_few_labels_are_told_in_the_servers_words(rita: Any) -> None:
    rita.desk.choice.select_task("pe")
    rita.desk.trainings.order({})
    assert rita.desk.trainings.why_not == "Wait for the server's answer."
    rita.wait()
    assert "label" in told(rita, "training")
    assert (rita.desk.trainings.why_not, rita.desk.trainings.current) == ("", None)


def test_a_setting_that_the_server_does_not_know_is_told_and_can_be_ordered_anew(rita: Any) -> None:
    rita.desk.trainings.order({"speed": 11})
    rita.wait()
    assert "speed" in told(rita, "training")


def test_a_training_is_ordered_and_stopped_and_one_that_fails_is_told_with_what_to_do(rita: Any) -> None:
    trainings, ended = rita.desk.trainings, []
    trainings.finished.connect(lambda training: ended.append(training.state))
    for label in (PRESENT, PRESENT, ABSENT, ABSENT):
        rita.desk.server.client.labels.save(rita.site.new_study(), label)
    trainings.order({"epochs": 50})
    rita.ticker.until(lambda: trainings.current and trainings.current.state == "running", 60)
    assert trainings.can_stop
    trainings.stop()
    assert (trainings.busy, trainings.can_stop) == ("stopping", False)
    rita.ticker.until(lambda: ended, 60)
    assert (ended, trainings.current.state, trainings.busy) == (["stopped"], "stopped", "")
    assert told(rita, "training") == ""
    # All studies of this site are the same scan.
    trainings.order({"epochs": 51})
    rita.ticker.until(lambda: len(ended) == 2, 60)
    assert ended[1] == "failed"
    assert "What is served has not changed" in told(rita, "training")
    assert rita.desk.versions.versions.served == 2


def test_a_version_is_promoted_and_rolled_back_and_everybody_sees_it(rita: Any) -> None:
    versions = rita.desk.versions
    assert [(each.version, each.served) for each in versions.newest_first] == [(2, True), (1, False)]
    assert versions.why_no_promotion(None) == "Choose a version in the table first."
    assert versions.why_no_promotion(2) == "This version answers already."
    versions.promote(1)
    assert versions.why_not == "Wait for the server's answer."
    rita.ticker.until(lambda: versions.versions.served == 1 and rita.desk.choice.model.version == 1)
    assert told(rita, "versions") == "Version 1 answers from now on. "
    versions.roll_back()
    rita.ticker.until(lambda: versions.versions.served == 2 and rita.desk.choice.model.version == 2)


def test_another_network_or_server_has_other_versions(rita: Any) -> None:
    assert rita.desk.versions.versions.name == "nodule_tiny"
    rita.desk.choice.select_task("pe")
    assert rita.desk.versions.versions is None
    rita.wait()
    assert (rita.desk.versions.versions.name, rita.desk.versions.newest_first) == ("pe_tiny", ())
    rita.desk.server.disconnect()
    assert (rita.desk.versions.versions, rita.desk.trainings.current) == (None, None)


def test_a_server_that_goes_away_takes_the_order_but_not_the_panel(rita: Any) -> None:
    rita.site.relay.refuses = True
    rita.desk.trainings.order({"epochs": 3})
    rita.wait()
    assert rita.desk.server.state == "away"
    assert rita.desk.trainings.why_not == "The server does not answer. The panel keeps looking for it."
    assert rita.desk.trainings.busy == ""
    rita.site.relay.refuses = False
    rita.ticker.until(lambda: rita.desk.server.state == "ready")
    assert rita.desk.trainings.why_not == ""
