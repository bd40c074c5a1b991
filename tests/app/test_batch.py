"""A batch over HTTP: a line per study as its answer comes, readers in between, an end when nobody listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter
from contract_files import differences, golden
from held_predictor import HeldPredictor, Site, listening, publish, write_study
from lib import limits
from lib.device_queue import FairQueue
from lib.routes.batch import LinesResponse
from stand_in import wait_until

from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.labels import StudyLabel

STUDIES = ("a.nii", "b.nii", "c.nii")


@pytest.fixture
def site(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in STUDIES:
        write_study(tmp_path / "studies" / name)
    publish(tmp_path / "models")
    network = HeldPredictor(Predictor.predict)
    monkeypatch.setattr(Predictor, "predict", lambda *args, **options: network(*args, **options))
    with listening(serve(), network) as running:
        yield running


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.iter_lines()]


def test_lines_come_as_they_are_there_and_a_summary_at_the_end(site: Site) -> None:
    site.network.release()
    with site.batch() as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        coming = answer.iter_lines()
        # The second study is held: what comes now did not wait for it.
        assert json.loads(next(coming))["image"] == "a.nii"
        assert site.get("/batch/infer").json() == {"running": 1, "waiting": 0}
        site.network.release(2)
        rest = [json.loads(line) for line in coming]
    assert [line["image"] for line in rest[:-1]] == ["b.nii", "c.nii"]
    summary = rest[-1]["summary"]
    assert (summary["studies"], summary["answered"], summary["failed"]) == (3, 3, 0)
    assert site.get("/batch/infer").status_code == 404


def test_what_is_wrong_with_one_study_is_told_in_its_line_as_agreed(site: Site, tmp_path: Path) -> None:
    site.network.release(3)
    (tmp_path / "studies" / "b.nii").write_bytes(b"no image")
    with site.batch() as answer:
        found = lines(answer)
    assert [sorted(line) for line in found] == [
        ["image", "result"], ["error", "image"], ["image", "result"], ["summary"]
    ]  # fmt: skip
    assert found[1]["error"]["error"] == "UnreadableStudyError"
    assert str(tmp_path) not in json.dumps(found)
    assert found[3]["summary"]["failed"] == 1
    agreed = golden("batch.json")
    for line, like in zip(found, [agreed[0], agreed[1], agreed[0], agreed[2]], strict=True):
        assert differences(line, like) == []


def test_a_reader_waits_for_one_study_of_the_batch_and_not_for_all(site: Site, tmp_path: Path) -> None:
    write_study(tmp_path / "mine.nii")
    with site.batch() as answer, ThreadPoolExecutor(1) as reader:
        wait_until(lambda: site.network.studies == ["a.nii"])
        file = {"file": ("mine.nii", (tmp_path / "mine.nii").read_bytes())}
        mine = reader.submit(site.classify, files=file)
        wait_until(lambda: site.workplace.device.waiting == 1)
        site.network.release(2)
        assert mine.result().status_code == 200
        site.network.release(2)
        assert lines(answer)[-1]["summary"]["answered"] == 3
    assert site.network.studies == ["a.nii", "mine.nii", "b.nii", "c.nii"]


def test_a_batch_and_a_reader_who_ask_the_same_share_one_computation(site: Site) -> None:
    with site.batch() as answer, ThreadPoolExecutor(1) as reader:
        wait_until(lambda: site.network.studies == ["a.nii"])
        same = reader.submit(site.classify, "a.nii")
        wait_until(lambda: any(q.waiting == 2 for q in site.workplace.answers._questions.values()))
        site.network.release(3)
        first = lines(answer)[0]
        assert first["result"] == same.result().json()
    assert site.network.studies == list(STUDIES)


def test_what_was_answered_before_is_answered_at_once(site: Site) -> None:
    site.network.release(3)
    assert site.classify("b.nii").status_code == 200
    with site.batch() as answer:
        kept = [line["result"]["vptct"]["kept"] for line in lines(answer)[:-1]]
    assert kept == [False, True, False]
    assert site.network.studies == ["b.nii", "a.nii", "c.nii"]


def test_hanging_up_ends_the_batch_and_what_was_answered_is_kept(site: Site) -> None:
    site.network.release()
    with site.batch() as answer:
        next(answer.iter_lines())
        wait_until(lambda: len(site.network.studies) == 2)
    wait_until(lambda: not (site.workplace.batches.inside or site.workplace.device.inside))
    assert site.network.studies == ["a.nii", "b.nii"]
    assert site.classify("a.nii").json()["vptct"]["kept"] is True


def test_a_server_that_is_stopped_does_not_wait_for_a_batch_and_says_so_in_the_last_line(site: Site) -> None:
    site.network.release()
    with site.batch() as answer:
        wait_until(lambda: len(site.network.studies) == 2)
        site.running.app.ending.set()
        first, last = lines(answer)
    assert first["image"] == "a.nii"
    assert (last["error"]["error"], last["error"]["detail"]) == (
        "CancelledError",
        "the server is being stopped.",
    )
    assert site.network.studies == ["a.nii", "b.nii"]


def test_labelled_studies_or_the_others_or_the_first_so_many(site: Site, serve) -> None:
    site.network.release(100)
    label = StudyLabel.from_json({
        "schema": "vptct.label/1", "task": "nodule", "findings": {"lung_nodule": {"state": "absent"}},
        "annotator": "anna", "created": "2026-11-20T20:31:05Z",
    })  # fmt: skip
    site.running.app.datastore().save("b.nii", label)

    def asked(images: str, body: str = "{}") -> list[str]:
        with site.batch(params={"images": images}, data=body) as answer:
            return [line["image"] for line in lines(answer)[:-1]]

    assert asked("labeled") == ["b.nii"]
    assert asked("unlabeled") == ["a.nii", "c.nii"]
    assert asked("all", '{"max_batch_size": 2, "client_id": "x"}') == ["a.nii", "b.nii"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"device": "cuda"}', 400),
        ('{"max_batch_size": -1}', 400),
        ('{"max_batch_size": true}', 400),
        ("[", 400),
    ],
)
def test_what_is_not_a_clients_is_refused_before_anything_is_read(site: Site, body: str, status: int) -> None:
    assert site.batch(data=body).status_code == status
    assert site.batch(params={"images": "some"}).status_code == 422
    assert site.network.studies == []


def test_a_second_batch_waits_for_the_first(site: Site) -> None:
    with site.batch() as first, site.batch() as second:
        wait_until(lambda: site.workplace.batches.waiting == 1)
        site.network.release(3)
        assert lines(first)[-1]["summary"]["answered"] == 3
        kept = [line["result"]["vptct"]["kept"] for line in lines(second)[:-1]]
    assert kept == [True, True, True]


def test_an_answer_that_has_no_json_is_an_error_in_its_line_and_the_batch_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_json, means = Prediction.to_json, iter([0.5, float("nan"), 0.5])
    monkeypatch.setattr(Prediction, "to_json", lambda self: {**to_json(self), "mean": next(means)})
    site.network.release(3)
    with site.batch() as answer:
        found = lines(answer)
    assert [sorted(line) for line in found] == [
        ["image", "result"], ["error", "image"], ["image", "result"], ["summary"]
    ]  # fmt: skip
    assert (found[3]["summary"]["answered"], found[3]["summary"]["failed"]) == (2, 1)


def test_a_client_that_stops_reading_loses_its_turn_and_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "LINE_TAKEN_SECONDS", 0.1)
    queue, sent = FairQueue(1), []

    def make(ended: Callable[[], bool]) -> Generator[bytes, None, None]:
        with queue.turn(ended):
            yield from (b"%d\n" % number for number in range(9))

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body"))
        if message.get("body") == b"1\n":
            await anyio.sleep_forever()

    async def serve() -> None:
        threads = CapacityLimiter(2)
        with anyio.fail_after(20):
            await LinesResponse(make, threads).stream_response(send)
        assert (queue.inside, threads.borrowed_tokens) == (0, 0)

    anyio.run(serve)
    assert sent == [None, b"0\n", b"1\n"]
    assert "took no line for 0.1 s" in caplog.text
