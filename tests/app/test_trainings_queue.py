"""The queue of trainings, with processes that stand in for trainings: turns, stops, crashes, restarts."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lib.errors import NothingThereError
from lib.training.folder import JobFolder
from lib.training.queue import Trainings
from lib.training.record import Record
from lib.training.told import record_info, train_stats, training_info
from stand_in import PROGRESS, RESULT, alive, stand_in, wait_until

from vpt_plugin.errors import TrainingError
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.job import TrainingJob

QUICK = "say(progress=PROGRESS); say(result=RESULT)"
LONG = "say(progress=PROGRESS); time.sleep(60)"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks /proc for processes")


def job(model: str = "tiny", **settings: object) -> TrainingJob:
    return TrainingJob("/studies", "/labels", "nodule", model, settings, by="anna")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Trainings]]:
    """Makes queues over the same folder; they are closed in the end."""
    made: list[Trainings] = []

    def make(body: str, **options: Any) -> Trainings:
        made.append(Trainings(JobFolder(tmp_path), command=stand_in(body), **options))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()


def ended(trainings: Trainings, number: int) -> Record:
    wait_until(lambda: not trainings.get(number).waits_or_runs)
    return trainings.get(number)


def full(*args: object, **options: object) -> None:
    """A disk without room."""
    raise OSError(errno.ENOSPC, "No space left on device")


def running_pid(trainings: Trainings) -> int:
    wait_until(lambda: any(r.state == "running" and r.progress for r in trainings.records()))
    return trainings._worker.pid


def test_a_training_that_ends_well_is_done_and_keeps_what_its_process_told(opened) -> None:
    trainings = opened(QUICK)
    number = trainings.submit(job(epochs=2)).number
    record = ended(trainings, number)
    assert (record.state, record.outcome, record.progress, record.failure) == ("done", RESULT, PROGRESS, None)
    assert record.created <= record.started <= record.ended


def test_trainings_take_turns_in_the_order_in_which_they_were_ordered(opened, tmp_path: Path) -> None:
    trainings = opened(
        "log = pathlib.Path(sys.argv[1]).parents[1] / 'turns'\n"
        "def note(what): open(log, 'a').write(f'{what} {json.load(open(sys.argv[1]))[\"model\"]}\\n')\n"
        "note('begin'); time.sleep(0.2); note('end'); say(result=RESULT)"
    )
    numbers = [trainings.submit(job(model)).number for model in ("a", "b", "c")]
    assert numbers == [1, 2, 3]
    for number in numbers:
        assert ended(trainings, number).state == "done"
    assert (tmp_path / "turns").read_text().split("\n")[:-1] == [
        "begin a", "end a", "begin b", "end b", "begin c", "end c",
    ]  # fmt: skip


def test_the_same_training_does_not_wait_twice_and_follows_the_one_that_runs_only_with_new_labels(
    opened,
) -> None:
    labels = ["p00 v1"]
    trainings = opened(LONG, labels_of=lambda job: tuple(labels))
    trainings.submit(job(epochs=2))
    running_pid(trainings)
    with pytest.raises(TrainingError, match="runs already, as number 1, and no label has changed"):
        trainings.submit(job(epochs=2))
    labels.append("p01 v1")
    assert trainings.submit(job(epochs=2)).state == "queued"
    with pytest.raises(TrainingError, match="waits already, as number 2"):
        trainings.submit(job(epochs=2))
    assert trainings.submit(job(epochs=3)).number == 3


def test_what_is_left_out_of_an_order_is_its_default(opened) -> None:
    trainings = opened(LONG)
    trainings.submit(job())
    running_pid(trainings)
    with pytest.raises(TrainingError, match="runs already"):
        trainings.submit(job(**FinetuneConfig().to_dict()))
    trainings.submit(job(batch=8))
    with pytest.raises(TrainingError, match="waits already, as number 2"):
        trainings.submit(job(batch=8, epochs=10))


def test_a_stop_ends_the_process_and_its_children_before_it_answers(opened, tmp_path: Path) -> None:
    trainings = opened(
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "(pathlib.Path(sys.argv[1]).parents[1] / 'child').write_text(str(child.pid))\n" + LONG
    )
    number = trainings.submit(job()).number
    pid = running_pid(trainings)
    child = int((tmp_path / "child").read_text())
    assert alive(pid)
    assert alive(child)
    record = trainings.stop(number, by="berta")
    assert record.state == "stopped"
    assert "What is served has not changed" in record.failure.detail
    assert "goes on after the last epoch" in record.failure.hint
    assert not alive(pid)
    wait_until(lambda: not alive(child))


def test_a_process_that_does_not_listen_is_killed(opened) -> None:
    trainings = opened("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LONG, patience_seconds=0.3)
    number = trainings.submit(job()).number
    pid = running_pid(trainings)
    assert trainings.stop(number).state == "stopped"
    assert not alive(pid)


@pytest.mark.parametrize(("last", "state"), [("result=RESULT", "done"), ("error={'message': 'x'}", "failed")])
def test_a_process_that_has_told_its_end_and_hangs_is_ended_and_counts(opened, last: str, state: str) -> None:
    trainings = opened(
        f"if json.load(open(sys.argv[1]))['model'] == 'a': say({last}); time.sleep(60)\n" + QUICK,
        rest_seconds=0.3,
    )
    trainings.submit(job("a"))
    trainings.submit(job("b"))
    assert ended(trainings, 1).state == state
    assert ended(trainings, 2).state == "done"


def test_what_waits_is_taken_out_of_the_queue_and_the_next_gets_its_turn(opened) -> None:
    trainings = opened(LONG)
    for model in ("a", "b"):
        trainings.submit(job(model))
    running_pid(trainings)
    assert trainings.stop(2).state == "stopped"
    third = trainings.submit(job("c")).number
    trainings.stop(1)
    wait_until(lambda: trainings.get(third).state == "running")
    assert trainings.get(2).started == ""


def test_a_crash_is_told_with_the_last_words_and_the_next_gets_its_turn(opened) -> None:
    trainings = opened(
        "if json.load(open(sys.argv[1]))['model'] == 'a': raise RuntimeError('the coffee is out')\n" + QUICK
    )
    trainings.submit(job("a"))
    trainings.submit(job("b"))
    record = ended(trainings, 1)
    assert record.state == "failed"
    assert record.failure.detail == ("the training crashed (exit status 1). What is served has not changed.")
    assert record.failure.last_words[-1] == "RuntimeError: the coffee is out"
    assert ended(trainings, 2).state == "done"


def test_an_error_that_nobody_expected_is_told_with_the_last_words(opened) -> None:
    error = {"message": "what nobody expected.", "hint": "See its log.", "unexpected": True}
    trainings = opened(f"say(error={error!r}); raise RuntimeError('the coffee is out')")
    failure = ended(trainings, trainings.submit(job()).number).failure
    assert failure.detail == "what nobody expected. What is served has not changed."
    assert failure.last_words[-1] == "RuntimeError: the coffee is out"


def test_an_error_that_the_training_tells_is_told_on(opened) -> None:
    trainings = opened("say(error={'message': 'too few;', 'hint': 'label more.'}); sys.exit(1)")
    failure = ended(trainings, trainings.submit(job()).number).failure
    assert (failure.detail, failure.hint) == ("too few What is served has not changed.", "label more.")


@pytest.mark.parametrize(
    ("number", "state", "words"),
    [
        (signal.SIGKILL, "failed", "memory does not suffice"),
        (signal.SIGTERM, "interrupted", "told the training"),
    ],
)
def test_a_training_killed_from_outside_says_so(opened, number: int, state: str, words: str) -> None:
    trainings = opened(LONG)
    trainings.submit(job())
    os.kill(running_pid(trainings), number)
    record = ended(trainings, 1)
    assert record.state == state
    assert words in record.failure.detail
    assert "goes on after the last epoch" in record.failure.hint


@pytest.mark.parametrize("state", ["publishing", "done"])
def test_a_training_that_ends_while_it_publishes_promises_nothing_of_what_is_served(opened, state) -> None:
    trainings = opened(f"say(progress={{**PROGRESS, 'state': {state!r}}}); time.sleep(60)")
    trainings.submit(job())
    running_pid(trainings)
    failure = trainings.stop(1).failure
    assert "has not changed" not in failure.detail
    assert "the table of versions shows whether its version is there" in failure.detail


def test_a_command_that_cannot_be_started_fails_the_training_and_not_the_queue(tmp_path: Path) -> None:
    trainings = Trainings(JobFolder(tmp_path), command=lambda job_file: ("/no/such/program",))
    trainings.submit(job())
    record = ended(trainings, 1)
    assert record.state == "failed"
    assert "could not be started" in record.failure.detail
    trainings.close()


def test_lines_that_are_no_events_are_passed_over(opened) -> None:
    trainings = opened("print('hello'); print('[1]'); print('{\"progress\": 3}', flush=True)\n" + QUICK)
    assert ended(trainings, trainings.submit(job()).number).state == "done"


def test_a_closed_server_leaves_no_process_and_the_next_tells_what_was_interrupted(opened) -> None:
    first = opened(LONG)
    first.submit(job("a"))
    pid = running_pid(first)
    first.submit(job("b"))
    first.close()
    assert not alive(pid)
    second = opened(QUICK)
    record = second.get(1)
    assert (record.state, record.progress) == ("interrupted", PROGRESS)
    assert "the server ended while this training ran" in record.failure.detail
    assert "goes on after the last epoch" in record.failure.hint
    # What waited has not lost its turn.
    assert ended(second, 2).state == "done"


def test_a_training_that_the_end_of_the_server_met_before_it_began_keeps_its_turn(opened) -> None:
    first = opened("json.load(open(sys.argv[1]))['model'] == 'a' and say(progress=PROGRESS); time.sleep(60)")
    first.submit(job("a"))
    pid = running_pid(first)
    first.submit(job("b"))
    # As a system does that tells all processes to end: the server comes to its end a moment later.
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: first.get(2).state == "running")
    first.close()
    assert (first.get(1).state, first.get(2).state) == ("interrupted", "queued")
    assert ended(opened(QUICK), 2).state == "done"


def test_what_a_killed_server_left_as_running_is_interrupted(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.claim()
    folder.add(Record(1, job(), state="running", created="2026-11-20T20:31:05Z", progress=PROGRESS))
    folder.release()
    trainings = Trainings(JobFolder(tmp_path), command=stand_in(QUICK))
    trainings.open()
    assert trainings.get(1).state == "interrupted"
    trainings.close()
    assert json.loads((tmp_path / ".trainings" / "0001.json").read_text())["state"] == "interrupted"


def test_two_servers_do_not_train_into_one_folder_of_models(opened) -> None:
    first = opened(QUICK)
    ended(first, first.submit(job()).number)
    second = opened(QUICK)
    assert "another server trains" in second.problem
    with pytest.raises(TrainingError, match="another server trains"):
        second.submit(job())
    first.close()
    assert second.submit(job()).number == 2


def test_a_server_that_starts_while_the_one_before_still_ends_takes_the_folder_soon(opened) -> None:
    first = opened(QUICK)
    ended(first, first.submit(job()).number)
    second = opened(QUICK)
    assert second.problem
    first.close()
    wait_until(lambda: not second.problem)
    assert second.get(1).state == "done"


def test_a_damaged_record_is_passed_over_and_its_number_not_given_again(opened, tmp_path: Path) -> None:
    first = opened(QUICK)
    ended(first, first.submit(job()).number)
    first.close()
    (tmp_path / ".trainings" / "0001.json").write_text('{"schema": "vptct.tr')
    second = opened(QUICK)
    assert second.records() == []
    assert second.submit(job()).number == 2


@pytest.mark.parametrize("wrong", [{"progress": None}, {"outcome": 3}, {"number": "seven"}, {"failure": "x"}])
def test_a_record_with_something_else_in_it_is_passed_over(tmp_path: Path, wrong: dict[str, object]) -> None:
    folder = JobFolder(tmp_path)
    folder.claim()
    folder.add(Record(1, job(), state="done"))
    path = tmp_path / ".trainings" / "0001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    assert folder.load() == []
    folder.release()


def test_a_server_keeps_its_last_fifty_trainings(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.claim()
    for number in range(1, 60):
        folder.add(Record(number, job(), state="done"))
    kept = folder.prune(folder.load())
    assert [record.number for record in kept] == list(range(10, 60))
    assert [record.number for record in folder.load()] == list(range(10, 60))
    assert not (tmp_path / ".trainings" / "0009.job.json").exists()
    folder.release()


def test_an_old_record_that_cannot_be_removed_changes_nothing_for_a_new_training(
    opened, tmp_path: Path
) -> None:
    folder = JobFolder(tmp_path)
    folder.claim()
    for number in range(1, 51):
        folder.add(Record(number, job(), state="done"))
    folder.release()
    log = tmp_path / ".trainings" / "0001.log"
    log.mkdir()  # no file, so that it cannot be removed as one
    trainings = opened(QUICK)
    for number in (51, 52):
        assert trainings.submit(job(epochs=number)).number == number
        assert ended(trainings, number).state == "done"
    assert log.is_dir()


def test_numbers_go_on_after_ten_thousand_trainings(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.claim()
    folder.add(Record(10_000, job()))
    assert folder.next_number() == 10_001
    assert [record.number for record in folder.load()] == [10_000]
    folder.release()


def test_a_folder_that_nobody_may_write_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in the place of the folder")
    trainings = Trainings(JobFolder(tmp_path / "models"), command=stand_in(QUICK))
    with pytest.raises(TrainingError, match="trainings cannot be kept in"):
        trainings.submit(job())
    assert trainings.records() == []


def test_a_full_disk_refuses_an_order_and_leaves_the_queue_as_it_was(opened, monkeypatch) -> None:
    trainings = opened(QUICK)

    with monkeypatch.context() as patch:
        patch.setattr("lib.training.folder.write_over", full)
        with pytest.raises(OSError, match="No space left"):
            trainings.submit(job())
    assert trainings.records() == []
    assert ended(trainings, trainings.submit(job()).number).state == "done"


def test_a_training_whose_begin_cannot_be_kept_is_not_begun(opened, monkeypatch, tmp_path: Path) -> None:
    trainings = opened(LONG)
    trainings.submit(job("a"))
    running_pid(trainings)
    trainings.submit(job("b"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "lib.training.folder.JobFolder.save",
            full,
        )
        trainings.stop(1)
        record = ended(trainings, 2)
    assert record.state == "failed"
    assert "No space left on device" in record.failure.detail
    assert not (tmp_path / ".trainings" / "0002.log").exists()


def test_a_disk_that_is_full_while_it_runs_does_not_end_a_training(opened, monkeypatch) -> None:
    trainings = opened("time.sleep(0.3)\n" + QUICK)
    number = trainings.submit(job()).number
    wait_until(lambda: trainings._worker is not None)
    monkeypatch.setattr(
        "lib.training.folder.JobFolder.save",
        full,
    )
    assert ended(trainings, number).state == "done"


def test_what_a_full_disk_did_not_take_is_kept_with_the_next_or_at_the_end(
    opened, monkeypatch, tmp_path: Path
) -> None:
    def kept(number: int) -> str:
        return json.loads((tmp_path / ".trainings" / f"{number:04d}.json").read_text())["state"]

    trainings = opened(LONG)
    for model in ("a", "b", "c", "d"):
        trainings.submit(job(model))
    running_pid(trainings)
    for number in (2, 4):
        with monkeypatch.context() as patch:
            patch.setattr("lib.training.folder.write_over", full)
            assert trainings.stop(number).state == "stopped"
        assert kept(number) == "queued"
        trainings.stop(3) if number == 2 else trainings.close()
        assert kept(number) == "stopped"


def test_an_order_that_a_full_disk_refuses_leaves_nothing_behind(opened, monkeypatch, tmp_path: Path) -> None:
    trainings = opened(QUICK)
    with monkeypatch.context() as patch:
        patch.setattr("lib.training.folder.JobFolder.save", full)
        with pytest.raises(OSError, match="No space left"):
            trainings.submit(job())
    assert list((tmp_path / ".trainings").glob("*.json")) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("flock")])
def test_a_disk_without_locks_is_told_with_the_way_out(opened, monkeypatch, error: Exception) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    JobFolder(opened(QUICK)._folder.path.parent).path.mkdir()
    trainings = opened(QUICK)
    assert "cannot be locked" in trainings.problem
    with pytest.raises(TrainingError, match="cannot be locked") as caught:
        trainings.submit(job())
    assert "models_dir" in caught.value.hint


def test_an_unknown_training_is_not_there(opened) -> None:
    with pytest.raises(NothingThereError, match="there is no training 7"):
        opened(QUICK).get(7)


def test_nothing_of_the_servers_folders_is_told(opened) -> None:
    trainings = opened("raise RuntimeError('/srv/secret/models is broken')")
    record = ended(trainings, trainings.submit(job()).number)
    told = json.dumps(record_info(record, lambda text: text.replace("/srv/secret/", "")))
    assert "models is broken" in told
    assert "/srv/secret" not in told
    assert "/studies" not in told
    assert "/labels" not in told


def test_stock_clients_see_epochs_while_it_runs_and_a_time_when_it_is_over(opened) -> None:
    trainings = opened(QUICK)
    assert train_stats(trainings.records()) == {}
    ended(trainings, trainings.submit(job()).number)
    (stats,) = train_stats(trainings.records()).values()
    assert (stats["epoch"], stats["total_epochs"]) == (1, 2)
    assert stats["total_time"]


@pytest.mark.parametrize("state", ["comparing", "publishing", "done"])
def test_stock_clients_see_a_full_bar_when_no_epoch_is_to_come(state: str) -> None:
    progress = {**PROGRESS, "state": state, "epoch": 0, "epochs": 0}
    record = Record(1, job(epochs=7), state="done", started="2026-11-20T20:31:05Z", progress=progress)
    (stats,) = train_stats([record]).values()
    assert (stats["epoch"], stats["total_epochs"]) == (7, 7)
    (stats,) = train_stats([replace(record, progress={**progress, "state": "preparing"})]).values()
    assert (stats["epoch"], stats["total_epochs"]) == (0, 7)


def test_the_last_ones_come_first_and_only_five_of_them(opened) -> None:
    trainings = opened(QUICK)
    for number in range(1, 8):
        trainings.submit(job(epochs=number))
    ended(trainings, 7)
    told = training_info(trainings.records(), problem="", plain=str)
    assert [each["id"] for each in told["last"]] == [7, 6, 5, 4, 3]
    assert (told["running"], told["queue"], told["offered"], told["problem"]) == (None, [], True, None)
    everything = training_info(trainings.records(), problem="", plain=str, all_of_them=True)
    assert [each["id"] for each in everything["last"]] == [7, 6, 5, 4, 3, 2, 1]
