"""Which version is served: the record of it, promoting, rolling back and pruning."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from vpt_plugin.errors import (
    ChecksumError,
    ConfigurationError,
    ModelCardError,
    NotTrainedError,
    TrainingError,
)
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.served import Change, Served

CARD = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16)
NAME = ("nodule", "tiny")


def ticking() -> Callable[[], str]:
    """A clock that is a minute later every time."""
    minutes: Iterator[int] = iter(range(60))
    return lambda: f"2026-11-21T10:{next(minutes):02d}:00Z"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", clock=ticking())


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return new_classifier(get_model("tiny"), ("lung_nodule",), seed=3)


@pytest.fixture
def three(store: ModelStore, classifier: Classifier) -> ModelStore:
    """Versions 1, 2 and 3, each served when it was published."""
    for number in (1, 2, 3):
        store.publish(classifier, replace(CARD, trained_on=number))
    return store


def record(store: ModelStore) -> Path:
    return store.root / "nodule_tiny" / "served.json"


def test_a_candidate_is_not_served_until_it_is_promoted(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    assert store.publish(classifier, CARD, serve=False).version == 2
    assert store.current_version(*NAME) == 1
    assert store.load(TASKS["nodule"], "tiny")[1].version == 1
    assert store.promote(*NAME, 2, why="a person looked at it").version == 2
    assert store.load(TASKS["nodule"], "tiny")[1].version == 2


def test_where_there_are_candidates_only_nothing_is_served_and_they_are_named(
    store: ModelStore, classifier: Classifier
) -> None:
    for _ in range(2):
        store.publish(classifier, CARD, serve=False)
    assert store.current_version(*NAME) is None
    with pytest.raises(NotTrainedError, match=r"no version is served; there are candidates: 1, 2\. Choose"):
        store.load(TASKS["nodule"], "tiny")
    assert json.loads(record(store).read_text()) == {
        "schema": "vptct.served/1", "version": None, "earlier": [],
    }  # fmt: skip


def test_the_record_says_what_how_why_by_whom_and_when(store: ModelStore, classifier: Classifier) -> None:
    store.publish(classifier, CARD)
    store.publish(classifier, CARD, serve=False)
    store.promote(*NAME, 2, why="better on our scanner", by="anna")
    assert json.loads(record(store).read_text()) == {
        "schema": "vptct.served/1",
        "version": 2, "how": "promoted", "why": "better on our scanner", "by": "anna",
        "when": "2026-11-21T10:01:00Z",
        "earlier": [
            {"version": 1, "how": "published", "why": "", "by": "", "when": "2026-11-21T10:00:00Z"}
        ],
    }  # fmt: skip


def test_rolling_back_twice_goes_back_two_versions_and_no_further(three: ModelStore) -> None:
    assert three.rollback(*NAME, why="worse").version == 2
    assert three.rollback(*NAME, why="worse, too").version == 1
    with pytest.raises(ConfigurationError, match="no other version was served before"):
        three.rollback(*NAME, why="once more")
    assert three.current_version(*NAME) == 1
    assert [change.version for change in three.served(*NAME).changes] == [1, 2, 3, 2, 1]


@pytest.mark.parametrize(
    ("history", "before"),
    [
        ("", None),
        ("1", None),
        ("1 2", 1),
        ("1 2 3", 2),
        ("1 2 <1", None),
        ("1 2 3 <2", 1),
        ("1 2 1", 2),
        ("1 2 <1 3", 1),
        ("1 2 3 <2 3", 2),
        ("1 2 3 <2 3 <2 <1", None),
    ],
)
def test_a_rollback_goes_to_what_was_served_before_what_is_served(history: str, before: int | None) -> None:
    changes = [
        Change(int(each.lstrip("<")), "rolled back" if each.startswith("<") else "promoted")
        for each in history.split()
    ]
    assert Served(tuple(changes)).before == before
    assert Served.from_json(json.dumps(Served(tuple(changes)).to_json())) == Served(tuple(changes))


def test_a_store_from_before_there_was_a_record_serves_the_newest_and_can_be_rolled_back(
    three: ModelStore, classifier: Classifier
) -> None:
    record(three).unlink()
    assert three.current_version(*NAME) == 3
    assert three.publish(classifier, CARD, serve=False).version == 4
    assert three.current_version(*NAME) == 3
    assert three.rollback(*NAME, why="worse").version == 2


def test_promoting_what_is_served_changes_nothing(three: ModelStore) -> None:
    before = record(three).read_bytes()
    three.promote(*NAME, 3, why="again")
    assert record(three).read_bytes() == before


def test_a_version_that_could_not_answer_is_not_promoted(three: ModelStore) -> None:
    before = record(three).read_bytes()
    with (three.root / "nodule_tiny" / "v0002" / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ChecksumError, match="v0002"):
        three.promote(*NAME, 2, why="wanted")
    with pytest.raises(ChecksumError, match="v0002"):
        three.rollback(*NAME, why="wanted")
    with pytest.raises(NotTrainedError, match=r"version 9 .* there are: 1, 2, 3"):
        three.promote(*NAME, 9, why="a slip")
    assert record(three).read_bytes() == before


def test_a_version_that_was_trained_on_studies_read_in_another_way_is_not_promoted(
    store: ModelStore, classifier: Classifier
) -> None:
    reading = reading_facts(TASKS["nodule"], get_model("tiny"))
    store.publish(classifier, replace(CARD, reading={**reading, "offset": 0.5}))
    store.publish(classifier, replace(CARD, reading=reading))
    for act in (lambda: store.promote(*NAME, 1, why="a try"), lambda: store.rollback(*NAME, why="a try")):
        with pytest.raises(ModelCardError, match=r"version 1 was trained with offset 0\.5, the task has 0"):
            act()
    assert store.current_version(*NAME) == 2


DAMAGED_RECORDS = [
    "",
    "{",
    '{"schema": "vptct.served/2", "version": 1, "earlier": []}',
    '{"schema": "vptct.served/1", "version": null, "earlier": [{"version": 1, "how": "published"}]}',
    '{"schema": "vptct.served/1", "version": true, "how": "promoted", "earlier": []}',
    '{"schema": "vptct.served/1", "version": "2", "how": "promoted", "earlier": []}',
    '{"schema": "vptct.served/1", "version": 2, "how": "wished", "earlier": []}',
    '{"schema": "vptct.served/1", "version": 2, "how": "promoted", "why": 3, "earlier": []}',
    '{"schema": "vptct.served/1", "version": 2, "how": "promoted"}',
    '{"schema": "vptct.served/1", "version": 2, "how": "promoted", "earlier": 5}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", DAMAGED_RECORDS, ids=range(len(DAMAGED_RECORDS)))
def test_with_a_damaged_record_nothing_is_served_until_a_version_is_chosen(
    three: ModelStore, classifier: Classifier, text: str
) -> None:
    record(three).write_text(text)
    ask: list[Callable[[], object]] = [
        lambda: three.current_version(*NAME),
        lambda: three.load(TASKS["nodule"], "tiny"),
        lambda: three.rollback(*NAME, why="a try"),
        lambda: three.prune(*NAME, keep=1),
    ]
    for each in ask:
        with pytest.raises(ModelCardError, match=r"served\.json: which version is served cannot be read"):
            each()
    assert three.publish(classifier, CARD, serve=False).version == 4
    assert record(three).read_text() == text
    three.promote(*NAME, 2, why="the last that I remember")
    assert three.current_version(*NAME) == 2
    assert [change.version for change in three.served(*NAME).changes] == [2]


def test_a_record_of_a_version_that_is_gone_serves_no_other_one(
    three: ModelStore, classifier: Classifier
) -> None:
    shutil.rmtree(three.root / "nodule_tiny" / "v0003")
    message = r"version 3 is to be served, but it is gone\. .* There are: 1, 2"
    with pytest.raises(ModelCardError, match=message):
        three.load(TASKS["nodule"], "tiny")
    # Its number is not given again: a new version would be served under it.
    assert three.publish(classifier, CARD, serve=False).version == 4
    with pytest.raises(ModelCardError, match="version 3 is to be served"):
        three.current_version(*NAME)
    assert three.rollback(*NAME, why="3 is gone").version == 2


def test_pruning_keeps_the_newest_the_served_one_and_what_a_rollback_would_serve(
    store: ModelStore, classifier: Classifier
) -> None:
    for _ in range(7):
        store.publish(classifier, CARD, serve=False)
    store.promote(*NAME, 2, why="first")
    store.promote(*NAME, 4, why="second")
    assert store.prunable(*NAME, keep=2) == [1, 3, 5]
    assert store.prune(*NAME, keep=2) == [1, 3, 5]
    assert store.versions(*NAME) == [2, 4, 6, 7]
    assert store.prune(*NAME, keep=1, rollback_too=True) == [2, 6]
    assert store.versions(*NAME) == [4, 7]
    assert store.current_version(*NAME) == 4
    with pytest.raises(NotTrainedError, match="version 2 was never trained here, or was removed"):
        store.rollback(*NAME, why="too late")
    assert sorted(path.name for path in (store.root / "nodule_tiny").iterdir() if path.is_dir()) == [
        "v0004", "v0007",
    ]  # fmt: skip


def test_the_newest_version_is_always_kept(three: ModelStore) -> None:
    with pytest.raises(ConfigurationError, match="0 versions cannot be kept; keep at least the newest"):
        three.prune(*NAME, keep=0)


def test_what_was_never_trained_can_neither_be_rolled_back_nor_pruned(store: ModelStore) -> None:
    for act in (lambda: store.rollback(*NAME, why="a slip"), lambda: store.prune(*NAME, keep=1)):
        with pytest.raises(NotTrainedError, match="nodule_tiny was never trained here"):
            act()
    assert not store.root.exists()


def test_a_disk_that_takes_no_record_leaves_what_was_served(
    three: ModelStore, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vpt_plugin.training.version_folder.VersionFolder.record", full)
    acts: list[Callable[[], object]] = [
        lambda: three.promote(*NAME, 1, why="wanted"),
        lambda: three.rollback(*NAME, why="wanted"),
        lambda: three.publish(classifier, CARD),
    ]
    for act in acts:
        with pytest.raises(TrainingError, match=r"No space left on device\. What is served stays as it was"):
            act()
    monkeypatch.undo()
    assert three.current_version(*NAME) == 3
    # The version that could not be put into service is there, as a candidate.
    assert three.versions(*NAME) == [1, 2, 3, 4]


def test_changes_at_once_are_all_in_the_record(three: ModelStore, classifier: Classifier) -> None:
    def act(number: int) -> None:
        if number % 3:
            three.promote(*NAME, 1 + number % 3, why=str(number))
        else:
            three.publish(classifier, CARD)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(12)))
    changes = three.served(*NAME).changes
    assert three.versions(*NAME) == [1, 2, 3, 4, 5, 6, 7]
    # Promoting what is served already is no change, so at most 8 of the 12 are promotions.
    assert [change.version for change in changes if change.how == "published"] == [1, 2, 3, 4, 5, 6, 7]
    assert all(one.version != two.version for one, two in pairwise(changes))


CHANGING_ALL_THE_TIME = """
import sys
from pathlib import Path
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.training.model_store import ModelStore

store, card = ModelStore(Path(sys.argv[1])), ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16)
classifier = new_classifier(get_model("tiny"), ("lung_nodule",))
while True:
    version = store.publish(classifier, card, serve=False).version
    store.promote("nodule", "tiny", version, why="on and on")
    print(version, flush=True)
    store.prune("nodule", "tiny", keep=3)
"""


def test_a_process_killed_at_any_moment_leaves_a_whole_record_and_no_lock(three: ModelStore) -> None:
    for turn in range(2):
        command = [sys.executable, "-c", CHANGING_ALL_THE_TIME, str(three.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            acknowledged = [int(process.stdout.readline()) for _ in range(3 + turn)][-1]
            process.kill()
        current = three.current_version(*NAME)
        assert current is not None
        assert current >= acknowledged
        assert three.load(TASKS["nodule"], "tiny")[1].version == current
        began = time.monotonic()
        three.rollback(*NAME, why="after the crash")
        assert time.monotonic() - began < 10
        assert three.current_version(*NAME) == current - 1


def test_a_reader_never_sees_a_candidate_served_meanwhile(store: ModelStore, classifier: Classifier) -> None:
    for _ in range(2):
        store.publish(classifier, CARD)
    seen: set[int | None] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(store.current_version(*NAME))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        record(store).unlink()  # as in a store from before there was a record
        candidate = store.publish(classifier, CARD, serve=False).version
        shutil.rmtree(store.root / "nodule_tiny" / f"v{candidate:04d}")
    done.set()
    reader.join()
    assert seen == {2}
