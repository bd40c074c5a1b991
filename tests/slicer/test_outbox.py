"""Labels that wait for the server: none is lost, and none is saved twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, answer
from VPTCTLib.client import Client
from VPTCTLib.contract.label import FindingLabel, StudyLabel
from VPTCTLib.errors import LabelConflictError, NotNowError, NotThereError, OutboxError, UnreachableError
from VPTCTLib.folder_lock import folder_lock
from VPTCTLib.kept_label import KeptLabel
from VPTCTLib.outbox import Outbox
from VPTCTLib.transport.connection import Connection

PRESENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("present", ((-20.5, 11.0),))})
ABSENT = StudyLabel("nodule", {"lung_nodule": FindingLabel("absent")})
LIBRARY = Path(__file__).resolve().parents[2] / "slicer_module" / "VPTCT"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def states(client: Client, study: str) -> list[str]:
    """What the versions of a study's label say, oldest first."""
    versions = client.labels.history(study, "nodule").versions
    return [each.label.findings["lung_nodule"].state for each in versions]


@pytest.mark.parametrize("if_version", [0, None])
def test_a_label_whose_answer_is_lost_again_and_again_is_saved_once(
    site, outbox: Outbox, if_version: int | None
) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT, if_version=if_version)
    # All of the client's own attempts, and of the next sending two.
    site.relay.loses_answers = 5
    lost = outbox.send(client, "anna")
    assert (lost.saved, lost.waiting, type(lost.problem)) == ((), 1, UnreachableError)
    ((_, saved),) = outbox.send(client, "anna").saved
    assert (saved.study, saved.version) == (study, 1)
    assert states(client, study) == ["present"]
    assert outbox.kept() == []
    assert outbox.send(client, "anna").saved == ()


def test_a_label_outlives_the_kill_of_this_program_and_the_absence_of_the_server(
    site, tmp_path: Path
) -> None:
    client, study = site.client(), site.new_study()
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from VPTCTLib.outbox import Outbox; from pathlib import Path\n"
        "from VPTCTLib.contract.label import FindingLabel, StudyLabel\n"
        "label = StudyLabel('nodule', {'lung_nodule': FindingLabel('absent')})\n"
        "Outbox(Path(sys.argv[2])).keep(sys.argv[3], 'anna', sys.argv[4], label)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "outbox"
    command = [sys.executable, "-c", script, str(LIBRARY), str(folder), client.address, study]
    assert subprocess.run(command, check=False).returncode == -9
    outbox = Outbox(folder)
    site.relay.refuses = True
    try:
        assert outbox.send(client, "anna").waiting == 1
    finally:
        site.relay.refuses = False
    assert len(outbox.send(client, "anna").saved) == 1
    assert states(client, study) == ["absent"]


def test_labels_wait_while_the_server_is_killed_and_are_sent_once_when_it_is_back(
    site, outbox: Outbox
) -> None:
    client, studies = site.client(), [site.new_study() for _ in range(2)]
    for study in studies:
        outbox.keep(client.address, "anna", study, PRESENT, if_version=0)
    # The first one arrives, but its answers do not; then the server is gone.
    site.relay.loses_answers = 3
    assert outbox.send(client, "anna").waiting == 2
    site.process.kill()
    assert isinstance(outbox.send(client, "anna").problem, UnreachableError)
    site.process.start_again()
    site.relay.target = site.process.url
    assert [saved.version for _, saved in outbox.send(client, "anna").saved] == [1, 1]
    assert [states(client, study) for study in studies] == [["present"], ["present"]]


def test_two_labels_of_one_study_become_two_versions_in_their_order(site, outbox: Outbox) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT, if_version=0)
    outbox.keep(client.address, "anna", study, ABSENT, if_version=0)
    assert [saved.version for _, saved in outbox.send(client, "anna").saved] == [1, 2]
    assert states(client, study) == ["present", "absent"]


def test_a_label_that_is_kept_while_the_one_before_it_is_sent_becomes_the_next_version(
    site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT, if_version=0)
    remove, said_later = outbox._files.remove, []

    def remove_and_say_something_else(kept: KeptLabel) -> None:
        remove(kept)
        if not said_later:
            said_later.append(outbox.keep(client.address, "anna", study, ABSENT, if_version=0))

    # The last moment at which the reader's label can come in between.
    monkeypatch.setattr(outbox._files, "remove", remove_and_say_something_else)
    assert [saved.version for _, saved in outbox.send(client, "anna").saved] == [1, 2]
    assert states(client, study) == ["present", "absent"]


def test_labels_of_a_server_that_moved_are_sent_to_its_new_address(site, outbox: Outbox) -> None:
    client, study = site.client(), site.new_study()
    kept = outbox.keep("https://old.example.org", "anna", study, PRESENT, if_version=0, server_id="ab12")
    assert outbox.kept() == [kept]
    assert outbox.send(client, "anna").saved == ()
    assert outbox.move([kept], client.address)
    assert [saved.version for _, saved in outbox.send(client, "anna").saved] == [1]
    # It is gone: a second move brings nothing back.
    assert outbox.move([kept], client.address)
    assert outbox.kept() == []


def test_a_label_is_not_sent_to_another_server_that_is_at_the_same_address_now(site, outbox: Outbox) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT, if_version=0, server_id="ab12")
    sending = outbox.send(client, "anna", server_id="cd34")
    assert (sending.saved, sending.waiting) == ((), 0)
    assert states(client, study) == []
    (kept,) = outbox.kept()
    # The reader may say that it is the same one after all; from then on it is.
    assert outbox.move([kept], client.address, server_id="cd34")
    assert len(outbox.send(client, "anna", server_id="cd34").saved) == 1
    assert states(client, study) == ["present"]


def test_in_a_conflict_the_label_stays_here_too_until_it_is_dropped(site, outbox: Outbox) -> None:
    client, study = site.client(), site.new_study()
    site.client("ben").labels.save(study, ABSENT, if_version=0)
    outbox.keep(client.address, "anna", study, PRESENT, if_version=0)
    sending = outbox.send(client, "anna")
    ((kept, error),) = sending.refused
    assert isinstance(error, LabelConflictError)
    assert (sending.waiting, sending.problem) == (0, None)
    assert states(client, study) == ["absent"]
    (here,) = outbox.kept()
    assert here.refused == str(error)
    assert outbox.send(client, "anna").refused == ()
    outbox.drop(kept)
    assert outbox.kept() == []


def test_what_can_never_be_saved_does_not_hold_up_the_rest(site, outbox: Outbox) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", "s99.nii", PRESENT)
    outbox.keep(client.address, "anna", study, ABSENT)
    sending = outbox.send(client, "anna")
    assert [type(error) for _, error in sending.refused] == [NotThereError]
    assert [saved.study for _, saved in sending.saved] == [study]


def test_a_label_is_sent_to_its_own_server_and_under_its_own_login_only(site, outbox: Outbox) -> None:
    client, study = site.client("ben"), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT)
    outbox.keep("https://elsewhere.example.org", "ben", study, PRESENT)
    assert outbox.send(client, "ben").waiting == 0
    assert states(client, study) == []
    assert len(outbox.kept()) == 2


def test_a_page_of_a_proxy_refuses_no_label(outbox: Outbox) -> None:
    with ScriptedServer([answer(404, b"<html>no such page</html>")]) as server:
        client = Client(Connection(server.url))
        outbox.keep(client.address, "", "s", PRESENT, if_version=0)
        sending = outbox.send(client, "")
    assert (sending.waiting, sending.refused, type(sending.problem)) == (1, (), NotThereError)


def test_a_busy_server_is_asked_again_later(outbox: Outbox) -> None:
    busy = {"detail": "too many requests wait already.", "hint": ""}
    with ScriptedServer([answer(503, busy, Retry_After="100")]) as server:
        client = Client(Connection(server.url))
        outbox.keep(client.address, "", "s", PRESENT, if_version=0)
        sending = outbox.send(client, "")
        assert (sending.waiting, type(sending.problem)) == (1, NotNowError)
        assert len(server.asked) == 1


def test_only_one_process_sends_at_a_time(site, outbox: Outbox, tmp_path: Path) -> None:
    client, study = site.client(), site.new_study()
    outbox.keep(client.address, "anna", study, PRESENT)
    with folder_lock(tmp_path / "outbox") as alone:
        assert alone
        sending = outbox.send(client, "anna")
        assert (sending.busy, sending.waiting) == (True, 1)
    assert len(outbox.send(client, "anna").saved) == 1


def test_a_label_keeps_when_and_by_whom_it_was_said(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, clock=lambda: 1_763_721_065.0)
    kept = outbox.keep("http://x", "anna", "s", PRESENT)
    assert (kept.label.created, kept.label.annotator) == ("2025-11-21T10:31:05Z", "anna")
    assert outbox.kept() == [kept]


def test_a_damaged_file_is_told_and_does_not_hide_the_others(outbox: Outbox, tmp_path: Path) -> None:
    kept = outbox.keep("http://x", "anna", "s", PRESENT)
    (tmp_path / "outbox" / "0.json").write_text("{")
    (tmp_path / "outbox" / "1.json").write_text('{"schema": "vptct.kept-label/9"}')
    assert outbox.kept() == [kept]
    assert [str(tmp_path) in problem for problem in outbox.problems()] == [True, True]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such folder")
def test_a_label_that_cannot_be_kept_is_an_error_and_never_silence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="labels cannot be kept in"):
        Outbox(tmp_path / "file" / "outbox").keep("http://x", "anna", "s", PRESENT)
