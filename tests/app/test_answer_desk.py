"""Equal questions are computed once, by whoever asks first and for all who wait."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from lib.answers.desk import AnswerDesk, Question
from lib.answers.key import AnswerKey, content_of, content_of_upload
from lib.answers.waiting import answer_of
from stand_in import wait_until

from vpt_plugin.errors import CancelledError, StudyNotFoundError
from vpt_plugin.inference import FindingPrediction, Prediction
from vpt_plugin.inference.evidence import AnswerFile
from vpt_plugin.models.card import ModelCard

CARD = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16, version=3, weights_sha256="ab")
KEY = AnswerKey.of("p01", "the files", CARD)


def prediction(probability: float = 0.5, card: ModelCard = CARD) -> Prediction:
    finding = FindingPrediction("lung_nodule", probability, 0.5, 0.0, ())
    seconds = {"read": 0.5, "prepare": 0.25, "network": 2.0, "total": 2.75}
    return Prediction(card, (finding,), ("synthetic",), seconds)


class Work:
    """A computation that goes on until the test lets it end; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()
        self.outcome: Prediction | Exception = prediction()

    def __call__(self, nobody_waits: Callable[[], bool]) -> Prediction:
        self.begun += 1
        while not self.may_end.wait(0.005):
            if nobody_waits():
                raise CancelledError
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def clients():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def asked(
    desk: AnswerDesk, work: Work, clients: ThreadPoolExecutor, gone: Callable[[], bool] = lambda: False
) -> tuple[Question, Future[Prediction]]:
    """A client's question, and the answer that it waits for."""
    question, is_first = desk.ask(KEY)
    if is_first:
        return question, clients.submit(desk.work, question, work, gone)
    return question, question.answer


def test_eight_who_ask_the_same_get_one_answer_that_was_computed_once(clients) -> None:
    desk, work = AnswerDesk(), Work()
    answers = [asked(desk, work, clients)[1] for _ in range(8)]
    work.may_end.set()
    assert [each.result(10) for each in answers] == [prediction()] * 8
    assert work.begun == 1


def test_an_answer_that_was_kept_says_so_and_tells_the_seconds_of_the_question(clients) -> None:
    desk, work = AnswerDesk(), Work()
    work.may_end.set()
    first = asked(desk, work, clients)[1].result(10).for_question(9.0)
    later = asked(desk, work, clients)[1].result(0).for_question(0.004, ("a copy of Monday",))
    assert work.begun == 1
    assert (first.kept, dict(first.seconds), first.warnings) == (False, prediction().seconds, ("synthetic",))
    assert (later.kept, later.warnings) == (True, ("a copy of Monday", "synthetic"))
    assert later.seconds == {"read": 0.0, "prepare": 0.0, "network": 0.0, "total": 0.004}


def test_the_one_who_computes_hangs_up_and_the_others_get_their_answer(clients) -> None:
    desk, work, hung_up = AnswerDesk(), Work(), threading.Event()
    question, first = asked(desk, work, clients, hung_up.is_set)
    second = asked(desk, work, clients)[1]
    hung_up.set()
    wait_until(lambda: question.waiting == 1)
    third = asked(desk, work, clients)[1]
    work.may_end.set()
    assert second.result(10) == third.result(10) == prediction()
    assert first.result(10) == prediction()
    assert work.begun == 1


def test_when_nobody_waits_the_work_ends_and_the_next_who_asks_begins_anew(clients) -> None:
    desk, work, hung_up = AnswerDesk(), Work(), threading.Event()
    question, first = asked(desk, work, clients, hung_up.is_set)
    follower = asked(desk, work, clients)[0]
    hung_up.set()
    wait_until(lambda: question.waiting == 1)
    assert desk.leave(follower)
    # Whoever comes now must not be told that somebody else hung up.
    again, is_first = desk.ask(KEY)
    assert is_first
    assert again is not question
    with pytest.raises(CancelledError):
        first.result(10)


def test_an_error_is_told_to_all_who_wait_and_is_not_kept(clients) -> None:
    desk, work = AnswerDesk(), Work()
    work.outcome = StudyNotFoundError("p01", "it has gone.", "Ask again.")
    answers = [asked(desk, work, clients)[1] for _ in range(3)]
    work.may_end.set()
    for each in answers:
        with pytest.raises(StudyNotFoundError, match="it has gone"):
            each.result(10)
    work.outcome = prediction(0.75)
    assert asked(desk, work, clients)[1].result(10).findings[0].probability == 0.75


def test_of_many_answers_those_that_nobody_asked_for_longest_go(clients) -> None:
    desk, work = AnswerDesk(keep=2), Work()
    work.may_end.set()
    keys = [AnswerKey.of("p01", content, CARD) for content in "abc"]
    for key in (keys[0], keys[1], keys[0], keys[2]):
        question, is_first = desk.ask(key)
        if is_first:
            desk.work(question, work)
    assert [desk.kept(key) is not None for key in keys] == [True, False, True]


def test_the_answer_of_a_version_that_came_meanwhile_is_given_and_not_kept(clients) -> None:
    desk, work = AnswerDesk(), Work()
    newer = replace(CARD, version=4)
    work.outcome = prediction(card=newer)
    work.may_end.set()
    assert asked(desk, work, clients)[1].result(10).card.version == 4
    assert desk.kept(KEY) is None


def test_who_waits_holds_no_thread_and_who_hangs_up_is_let_go(clients) -> None:
    desk, work = AnswerDesk(), Work()
    first = asked(desk, work, clients)[1]

    async def both() -> list[object]:
        hangs_up = [False, True]
        waiting = []
        for gone in hangs_up:
            question, _ = desk.ask(KEY)

            async def hung_up(gone: bool = gone) -> bool:
                if not gone:
                    work.may_end.set()
                return gone

            waiting.append(answer_of(question, desk, hung_up))
        return await asyncio.gather(*waiting, return_exceptions=True)

    stays, goes = asyncio.run(both())
    assert stays == first.result(10) == prediction()
    assert isinstance(goes, CancelledError)
    assert work.begun == 1


@pytest.mark.parametrize(
    "other",
    [
        AnswerKey.of("p02", "the files", CARD),
        AnswerKey.of("p01", "other files", CARD),
        AnswerKey.of("p01", "the files", replace(CARD, version=4)),
        AnswerKey.of("p01", "the files", replace(CARD, weights_sha256="cd")),
        AnswerKey.of("p01", "the files", replace(CARD, thresholds={"lung_nodule": 0.4})),
        AnswerKey.of("p01", "the files", replace(CARD, task="pe")),
    ],
    ids=["study", "files", "version", "weights", "threshold", "task"],
)
def test_questions_are_equal_only_where_all_of_this_is(other: AnswerKey) -> None:
    assert AnswerKey.of("p01", "the files", CARD) == KEY
    assert other != KEY


def test_a_study_is_another_when_a_slice_comes_goes_or_changes(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "1.dcm").write_bytes(b"a")
    contents = [content_of(study, "p01")]
    assert content_of(study, "p01") == contents[0]
    (study / "2.dcm").write_bytes(b"b")
    contents.append(content_of(study, "p01"))
    os.utime(study / "2.dcm", ns=(1, 1))
    contents.append(content_of(study, "p01"))
    (study / "1.dcm").unlink()
    contents.append(content_of(study, "p01"))
    assert len(set(contents)) == 4


def test_a_study_that_goes_away_at_this_moment_is_told_by_its_name_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> list[str | int]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    monkeypatch.setattr("lib.answers.key.file_places", gone)
    with pytest.raises(StudyNotFoundError, match="p01: its files cannot be read") as caught:
        content_of(tmp_path, "p01")
    assert str(tmp_path) not in str(caught.value)


def test_an_upload_is_known_by_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a.nii", "b.nii", "c.nii")]
    for place, content in zip(places, (b"ct", b"ct", b"CT"), strict=True):
        place.write_bytes(content)
    one, same, other = map(content_of_upload, places)
    assert one == same != other


def test_files_of_answers_are_kept_up_to_a_size_and_those_asked_for_longest_ago_leave() -> None:
    desk = AnswerDesk(keep_bytes=25)

    def keep(study: str, size_bytes: int) -> AnswerKey:
        key = replace(KEY, study=study)
        files = (AnswerFile("file", "map.nii.gz", bytes(size_bytes)),) if size_bytes else ()
        desk.keep(key, replace(prediction(), files=files))
        return key

    plain, first, second = keep("plain", 0), keep("first", 10), keep("second", 10)
    desk.ask(first)
    third = keep("third", 10)
    assert [desk.kept(key) is None for key in (plain, first, second, third)] == [False, False, True, False]
    too_large = keep("too large", 26)
    assert [desk.kept(key) is None for key in (plain, first, third, too_large)] == [False, False, False, True]


def test_an_answer_of_another_version_that_came_up_on_the_way_is_not_kept() -> None:
    desk = AnswerDesk()
    desk.keep(KEY, prediction(card=replace(CARD, version=4)))
    assert desk.kept(KEY) is None
