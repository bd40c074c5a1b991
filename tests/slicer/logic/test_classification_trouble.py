"""Whatever happens in the middle of a classification is told, leaves nothing, and can be tried again."""

from __future__ import annotations

from typing import Any

import pytest
from standin.wheel import require_scene

require_scene()

from VPTCTLib.errors import NotThereError
from VPTCTLib.scene.nodes import volume_of
from VPTCTLib.scene.results import result_of
from VPTCTLib.settings import REFRESH_SECONDS

slicer = require_scene()

PHASES = ("asking", "preparing", "uploading", "computing")

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def upload_ids(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sessions of all uploads of this test, as they are remembered."""
    from VPTCTLib.logic.upload_sessions import UploadSessions

    ids: list[str] = []
    keep = UploadSessions.keep

    def noting(self: Any, uploaded: Any, session: Any) -> None:
        ids.append(session.id)
        keep(self, uploaded, session)

    monkeypatch.setattr(UploadSessions, "keep", noting)
    return ids


def is_on_server(reader: Any, session: str) -> bool:
    """Whether the server still has an upload."""
    try:
        reader.site.client().studies.classify_upload("nodule_tiny", _Session(session))
    except NotThereError:
        return False
    return True


class _Session:
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.mark.parametrize("phase", PHASES)
def test_a_volume_that_is_removed_ends_it(reader, scene, open_study, upload_ids, phase) -> None:
    reader.log_in()
    volume = open_study()
    reader.classify_until(phase)
    scene.RemoveNode(volume)
    assert reader.desk.classification.state == "idle"
    assert reader.told == "CT 1 is gone, so it is not classified."
    reader.wait()
    assert result_of(open_study("CT 1"), "nodule") is None
    assert not any(is_on_server(reader, each) for each in upload_ids)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 0


@pytest.mark.parametrize("phase", PHASES)
def test_the_answer_to_a_volume_that_was_changed_meanwhile_is_not_kept(reader, open_study, phase) -> None:
    reader.log_in()
    volume = open_study()
    reader.classify_until(phase)
    slicer.util.arrayFromVolume(volume)[:2] = 40
    slicer.util.arrayFromVolumeModified(volume)
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert reader.told == "CT 1 was changed while it was classified."
    assert reader.desk.classification.result is None
    assert reader.classify_again() is not None


@pytest.mark.parametrize("phase", PHASES)
def test_cancel_ends_it_without_a_word(reader, open_study, phase) -> None:
    reader.log_in()
    open_study()
    reader.classify_until(phase)
    reader.desk.classification.cancel()
    assert (reader.desk.classification.state, reader.desk.classification.progress) == ("idle", None)
    reader.wait()
    assert (reader.told, reader.desk.classification.result) == ("", None)
    assert reader.classify_again() is not None


@pytest.mark.parametrize("held", ["PUT /session/", "POST /infer/"])
def test_cancel_closes_the_connection_by_which_the_server_stops(reader, open_study, held) -> None:
    reader.log_in()
    open_study()
    relay = reader.site.relay
    relay.holds = held
    relay.hung_up.clear()
    reader.classify_until("uploading" if held.startswith("PUT") else "computing")
    reader.ticker.until(lambda: any(line.startswith(held) for line in relay.asked[-2:]))
    assert not relay.hung_up.is_set()
    reader.desk.classification.cancel()
    assert relay.hung_up.wait(5)


def test_an_upload_that_the_server_forgot_is_made_again_once(reader, open_study, upload_ids) -> None:
    reader.log_in()
    open_study()
    assert reader.classify_again() is not None
    reader.site.client().studies.forget_upload(_Session(upload_ids[0]))
    assert reader.classify_again() is not None
    assert len(upload_ids) == 2
    assert len(reader.answers.asked) == 1


def test_an_upload_that_may_have_expired_is_not_asked_for(reader, open_study, uploads) -> None:
    reader.desk.settings.set(REFRESH_SECONDS, 100_000)
    reader.log_in()
    open_study()
    assert reader.classify_again() is not None
    reader.ticker.now += 0.8 * 3600
    assert reader.classify_again() is not None
    assert uploads() == 1
    reader.ticker.now += 0.95 * 3600
    assert reader.classify_again() is not None
    assert uploads() == 2


def test_a_study_that_the_server_lost_meanwhile_is_uploaded(reader, open_study, uploads) -> None:
    reader.log_in()
    study = reader.site.new_study()
    open_study(study=study, marked=True)
    reader.ticker.until(lambda: reader.desk.study.study == study)
    (reader.site.root / "studies" / study).unlink()
    assert reader.classify_again() is not None
    assert (uploads(), len(reader.answers.asked)) == (1, 1)


@pytest.mark.parametrize("phase", PHASES)
def test_a_scene_that_closes_ends_all_of_it(reader, scene, open_study, upload_ids, phase) -> None:
    reader.log_in()
    open_study("CT 1")
    reader.classify_until(phase)
    open_study("CT 2")
    reader.desk.classification.start()
    assert reader.desk.classification.state == "waiting"
    reader.desk.leave_scene()
    scene.Clear()
    reader.wait()
    assert reader.desk.classification.others == ()
    assert scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 0
    reader.desk.use_scene(reader.parameters)
    open_study("CT 3")
    assert reader.classify_again() is not None


def test_when_the_panel_goes_the_server_removes_what_was_uploaded(reader, open_study, upload_ids) -> None:
    reader.log_in()
    open_study()
    assert reader.classify_again() is not None
    assert is_on_server(reader, upload_ids[0])
    reader.desk.classification.close()
    assert not is_on_server(reader, upload_ids[0])


def test_a_volume_that_goes_while_the_reader_is_asked_is_not_uploaded(
    reader, scene, open_study, uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.log_in()
    volume = open_study()

    def ask(address: str, why: str, what: str) -> bool:
        scene.RemoveNode(volume)
        return True

    monkeypatch.setattr(reader.answers, "may_upload", ask)
    reader.desk.classification.start()
    reader.ticker.until(lambda: reader.desk.classification.others == ())
    reader.wait()
    assert uploads() == 0


def test_quick_switching_of_volumes_tasks_and_servers_shows_no_answer_of_another(reader, open_study) -> None:
    """A reader in a hurry: 24 switches, each a step after the one before, none with a foreign answer."""
    reader.log_in()
    volumes = [open_study(f"CT {number}", marked=number % 2 == 0) for number in range(3)]
    desk = reader.desk

    def look() -> None:
        kept = desk.classification.kept
        if kept is not None:
            assert volume_of(kept.nodes.text) is desk.study.volume
            assert kept.result.task == desk.choice.task.name

    desk.classification.changed.connect(look)
    for step in range(24):
        desk.study.select(volumes[step % 3])
        desk.choice.select_task(("nodule", "pe", "nodule", "nodule")[step % 4])
        if not desk.classification.can_start:
            desk.classification.start()
        reader.ticker.turn(0.05 * (step % 3))
    desk.choice.select_task("nodule")
    reader.ticker.until(lambda: not desk.classification.others and desk.classification.state == "idle")
    assert [result_of(volume, "nodule") is not None for volume in volumes] == [True, True, True]
