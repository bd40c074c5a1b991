"""A volume is classified by the real server: named or uploaded, and its answer stays its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standin.wheel import require_scene

require_scene()

from VPTCTLib.logic.classify_order import Bench, Order
from VPTCTLib.scene.results import result_of
from VPTCTLib.settings import REFRESH_SECONDS, UPLOAD_WHOLE

slicer = require_scene()


@pytest.fixture
def classify(reader: Any) -> Callable[..., Any]:
    """Clicks Classify and waits for the answer of the volume on screen."""

    def classify() -> Any:
        classification = reader.desk.classification
        assert classification.can_start == ""
        classification.start()
        assert classification.state != "idle"
        reader.ticker.until(lambda: classification.state == "idle")
        return classification.result

    return classify


def test_a_study_of_the_server_is_named_and_its_answer_is_kept_with_its_volume(
    reader, open_study, uploads
) -> None:
    reader.log_in()
    volume = open_study(marked=True)
    desk, finished = reader.desk, []
    desk.classification.finished.connect(lambda *values: finished.append(values))
    reader.ticker.until(lambda: desk.study.place is not None)
    desk.classification.start()
    assert desk.classification.state == "computing"
    reader.ticker.until(lambda: desk.classification.state == "idle")
    result = desk.classification.result
    assert finished == [(volume, result)]
    assert (result.task, result.model.name, result.findings[0].name) == ("nodule", "tiny", "lung_nodule")
    kept = result_of(volume, "nodule")
    assert (kept.result, kept.server) == (result, reader.site.relay.url)
    assert desk.classification.when == kept.when
    assert (reader.answers.asked, uploads()) == ([], 0)


def test_what_is_only_here_is_uploaded_after_one_question_and_answered_as_the_same_on_the_server(
    reader, open_study, classify, uploads, around
) -> None:
    reader.log_in()
    open_study(marked=True)
    there = classify()
    open_study("CT 2")
    uploaded = classify()
    assert uploaded.findings[0].probability == pytest.approx(there.findings[0].probability, abs=1e-4)
    assert uploaded.findings[0].key_slice_mm == pytest.approx(there.findings[0].key_slice_mm, abs=0.01)
    assert reader.answers.asked == [reader.site.relay.url]
    assert reader.answers.told[0][1] == (
        "Of CT 2 the slices alone go: about 1 MB, no names, and no other data of the patient."
    )
    reader.wait()
    assert list(around.scratch_folder.iterdir()) == []
    assert classify() is not None
    assert uploads() == 1, "the upload is used again for the same volume"
    open_study("CT 3")
    classify()
    assert (uploads(), len(reader.answers.asked)) == (2, 1), "the consent is for the server"


def test_the_states_come_in_their_order_with_slices_and_then_bytes(reader, open_study) -> None:
    reader.log_in()
    open_study()
    seen: list[tuple[str, Any]] = []
    classification = reader.desk.classification
    for signal in (classification.changed, classification.progressed):
        signal.connect(lambda: seen.append((classification.state, classification.progress)))
    reader.classify_until("computing")
    states = list(dict.fromkeys(state for state, _ in seen))
    assert states == ["asking", "preparing", "uploading", "computing"]
    sent = [progress for state, progress in seen if state == "uploading"]
    assert sent[-1][0] == sent[-1][1] > 10_000


def test_an_upload_has_the_size_of_slices_that_the_chosen_network_takes(reader, open_study) -> None:
    reader.log_in()
    volume = open_study()
    desk = reader.desk
    task = replace(desk.choice.task, needs=replace(desk.choice.task.needs, pixels=None))
    model = replace(desk.choice.model, pixels=48)
    order = Order(volume, volume.GetID(), "CT", task, model, desk.server.client, desk.server.info)
    bench = Bench(None, None, None, desk.settings, None, Path(), lambda _volume: None)
    assert bench.needs(order) == replace(task.needs, pixels=48)
    desk.settings.set(UPLOAD_WHOLE, True)
    assert bench.needs(order) is None


def test_whole_is_uploaded_where_the_setting_says_so(reader, open_study, classify, uploads) -> None:
    reader.log_in()
    open_study()
    small = classify()
    reader.desk.settings.set(UPLOAD_WHOLE, True)
    whole = classify()
    assert uploads() == 2, "what is there in the smaller form is not enough"
    assert whole.findings[0].probability == pytest.approx(small.findings[0].probability, abs=1e-4)


def test_who_refuses_the_upload_uploads_nothing_and_may_change_their_mind(
    reader, open_study, classify, uploads
) -> None:
    reader.log_in()
    open_study()
    reader.answers.yes = False
    assert classify() is None
    assert uploads() == 0
    assert reader.desk.messages.current.text.startswith("Nothing was uploaded")
    reader.answers.yes = True
    assert classify() is not None
    assert reader.desk.messages.current is None


def test_a_server_without_sessions_answers_in_the_request_that_uploads(
    reader, open_study, classify, uploads
) -> None:
    reader.log_in()
    info = reader.desk.server.info
    reader.desk.server.info = replace(info, uploads=replace(info.uploads, sessions=False))
    open_study()
    assert classify().task == "nodule"
    assert uploads() == 0


def test_an_answer_goes_to_the_volume_it_was_asked_for_and_is_never_shown_with_another(
    reader, open_study
) -> None:
    reader.log_in()
    first = open_study("CT 1", marked=True)
    reader.classify_until("computing")
    open_study("CT 2", marked=True)
    classification, shown = reader.desk.classification, []
    classification.changed.connect(lambda: shown.append(classification.result))
    assert (classification.state, classification.others) == ("idle", ("CT 1",))
    reader.wait()
    assert result_of(first, "nodule") is not None
    assert [each for each in shown if each is not None] == []
    assert reader.desk.messages.current.text == "CT 1 is classified. Choose it to see the answer."
    reader.desk.study.select(first)
    assert classification.result == result_of(first, "nodule").result
    assert reader.desk.messages.current is None


def test_an_answer_is_not_shown_for_another_task_or_network(reader, open_study) -> None:
    reader.log_in()
    volume = open_study(marked=True)
    reader.classify_until("computing")
    reader.desk.choice.select_task("pe")
    classification = reader.desk.classification
    assert (classification.state, classification.others) == ("idle", ("CT 1",))
    reader.wait()
    assert classification.result is None
    assert result_of(volume, "pe") is None
    assert reader.desk.messages.current is None, "its volume is on screen"
    reader.desk.choice.select_task("nodule")
    assert classification.result.task == "nodule"


def test_a_second_volume_waits_in_line_and_each_gets_its_answer(reader, open_study) -> None:
    reader.log_in()
    first = open_study("CT 1", marked=True)
    reader.classify_until("computing")
    second = open_study("CT 2")
    classification = reader.desk.classification
    classification.start()
    assert (classification.state, classification.waits_for) == ("waiting", "CT 1")
    open_study("CT 3", marked=True)
    classification.start()
    classification.cancel()
    assert classification.others == ("CT 1", "CT 2")
    reader.ticker.until(lambda: not classification.others)
    assert [result_of(volume, "nodule") is not None for volume in (first, second)] == [True, True]
    assert classification.result is None


def test_a_volume_that_is_no_ct_any_more_when_its_turn_comes_is_told(reader, open_study) -> None:
    reader.log_in()
    open_study("CT 1", marked=True)
    reader.classify_until("computing")
    second = open_study("CT 2")
    reader.desk.classification.start()
    slicer.util.updateVolumeFromArray(second, slicer.util.arrayFromVolume(second) * 0)
    reader.ticker.until(lambda: not reader.desk.classification.others)
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert "not the Hounsfield units" in reader.desk.messages.current.text


def test_cancelling_the_first_lets_the_second_begin(reader, open_study) -> None:
    reader.log_in()
    first = open_study("CT 1", marked=True)
    reader.classify_until("computing")
    second = open_study("CT 2", marked=True)
    reader.desk.classification.start()
    reader.desk.study.select(first)
    reader.desk.classification.cancel()
    reader.desk.study.select(second)
    assert reader.desk.classification.state in ("asking", "computing")
    reader.ticker.until(lambda: reader.desk.classification.state == "idle")
    assert (result_of(first, "nodule"), result_of(second, "nodule") is None) == (None, False)


def test_what_answers_now_is_told_beside_an_older_answer(reader, open_study, classify) -> None:
    reader.log_in()
    open_study(marked=True)
    classify()
    classification, info = reader.desk.classification, reader.desk.server.info
    assert classification.note == ""
    newer = tuple(replace(each, version=4) if each.trained else each for each in info.models)
    reader.desk.server.info = replace(info, models=newer)
    reader.desk.server.changed.emit()
    assert classification.note == "Version 4 answers now; this answer is of version 2."


def test_an_answer_of_a_saved_scene_is_there_without_a_server(reader, open_study, classify) -> None:
    reader.log_in()
    open_study(marked=True)
    result = classify()
    reader.desk.server.disconnect()
    assert reader.desk.classification.result == result


def test_why_it_cannot_start_is_said_in_words(reader, open_study) -> None:
    classification = reader.desk.classification
    assert classification.can_start == "Connect to a server first."
    reader.desk.server.connect(reader.site.relay.url)
    assert classification.can_start == "Wait for the server."
    reader.ticker.until(lambda: reader.desk.server.state == "login")
    assert classification.can_start == "Log in to the server first."
    reader.log_in()
    assert classification.can_start == "Load or choose a chest CT first."
    volume = open_study(marked=True)
    assert classification.can_start == ""
    reader.desk.choice.select_task("pe")
    assert classification.can_start.endswith(
        "was never trained for this task. Label studies, then train it below."
    )
    classification.start()
    assert classification.state == "idle"
    reader.desk.choice.select_task("nodule")
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) * 0)
    assert "not the Hounsfield units" in classification.can_start


def test_how_many_come_before_is_told_and_only_ever_less(reader, open_study, monkeypatch) -> None:
    from VPTCTLib.contract.info import Inference
    from VPTCTLib.logic.study_words import state_in_words
    from VPTCTLib.routes.access import Access

    reader.log_in()
    open_study(marked=True)
    real = Access.info
    lines = [
        Inference(running=1, waiting=1),
        Inference(1, 2),
        Inference(1, 3),
        Inference(1, 1),
        Inference(1, 0),
    ]

    def info(self: Any, cancel: Any = None) -> Any:
        return replace(real(self, cancel), inference=lines.pop(0) if len(lines) > 1 else lines[0])

    monkeypatch.setattr(Access, "info", info)
    reader.desk.settings.set(REFRESH_SECONDS, 100_000)
    seen: list[str] = []
    classification = reader.desk.classification
    for signal in (classification.changed, classification.progressed):
        signal.connect(lambda: seen.append(state_in_words(classification)))
    reader.site.relay.holds = "POST /infer/"
    classification.start()
    reader.ticker.until(lambda: classification.ahead == 0)
    reader.site.relay.holds = ""
    reader.ticker.until(lambda: classification.state == "idle")
    told = [words for words in dict.fromkeys(seen) if words.startswith("Waits")]
    assert told == ["Waits on the server behind 2 others.", "Waits on the server behind another one."]
    assert classification.ahead is None


def test_how_fast_an_upload_went_is_known_to_the_next_session_of_the_module(
    reader, open_study, classify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("VPTCTLib.transport.link_speed._LEAST_BYTES", 1)
    reader.log_in()
    open_study("CT 2")
    classify()
    server = reader.desk.server
    speed = server.client.studies.link.bytes_per_second
    assert speed is not None
    server.disconnect()
    reader.log_in()
    assert server.client.studies.link.bytes_per_second == speed
