"""A training that is stopped, killed or cut off goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import CancelledError, TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.run_folder import RunFolder
from vpt_plugin.training.sources import ManifestSource

NODULE = TASKS["nodule"]
PLAIN = FinetuneConfig(epochs=4, steps_per_epoch=3, batch=4, patience=4)
# Everything that remembers something from epoch to epoch.
ELABORATE = FinetuneConfig(
    epochs=4, steps_per_epoch=3, batch=4, patience=4, train="head_first", head_epochs=2, optimizer="adam",
    schedule="plateau", plateau_patience=1, micro_batch=2, layer_decay=0.7,
)  # fmt: skip
FOLDS = FinetuneConfig(epochs=2, steps_per_epoch=2, batch=4, folds=2)

Train = Callable[..., ModelCard]


@pytest.fixture(scope="module")
def train(ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec) -> Train:
    """``finetune`` on the small studies, into a folder of models."""
    blank = Manifest(tuple(each.__class__(**{**vars(each), "split": ""}) for each in ball_manifest.studies))

    def train(models: Path, config: FinetuneConfig, **facts: Any) -> ModelCard:
        source = ManifestSource(blank if config.folds else ball_manifest)
        store = ModelStore(models)
        return finetune(
            source,
            NODULE,
            small_spec,
            config,
            store=store,
            cache=ball_cache,
            device="cpu",
            report=False,
            **facts,
        ).card

    return train


@pytest.fixture(scope="module")
def uninterrupted(
    train: Train, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[FinetuneConfig], ModelCard]:
    """The card of a training that ran from its start to its end."""
    cards: dict[FinetuneConfig, ModelCard] = {}

    def card(config: FinetuneConfig) -> ModelCard:
        if config not in cards:
            cards[config] = train(tmp_path_factory.mktemp("uninterrupted"), config)
        return cards[config]

    return card


def stop_at(step: int) -> tuple[list[Progress], Callable[[], bool]]:
    """What is told, and a question that is answered with yes at that step, counted over all rounds."""
    told: list[Progress] = []
    return told, lambda: sum(each.state == "training" and not each.note for each in told) >= step


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def notes(told: list[Progress]) -> list[str]:
    return [each.note for each in told if each.note]


@pytest.mark.parametrize("config", [PLAIN, ELABORATE], ids=["plain", "elaborate"])
def test_stopped_and_started_again_it_gives_the_same_network_bit_for_bit(
    train: Train, uninterrupted: Callable[[FinetuneConfig], ModelCard], tmp_path: Path, config: FinetuneConfig
) -> None:
    # Within epoch 2, then within epoch 3 of what is left.
    for step in (6, 4):
        told, cancelled = stop_at(step)
        with pytest.raises(CancelledError):
            train(tmp_path, config, progress=told.append, cancelled=cancelled)
    told, _ = stop_at(0)
    card = train(tmp_path, config, progress=told.append)
    assert "was interrupted before and goes on" in notes(told)[0]
    assert any("goes on after epoch" in note for note in notes(told))
    assert min(each.epoch for each in told if each.state == "validating") > 1
    whole = uninterrupted(config)
    assert card.weights_sha256 == whole.weights_sha256
    assert card.to_json()["validation_auroc"] == whole.to_json()["validation_auroc"]
    assert card.training["history"] == whole.training["history"]
    assert names(tmp_path / ".runs") == [".lock"]


def test_with_folds_finished_rounds_are_not_trained_again(
    train: Train, uninterrupted: Callable[[FinetuneConfig], ModelCard], tmp_path: Path
) -> None:
    told: list[Progress] = []
    in_fold_2 = lambda: bool(told) and (told[-1].fold, told[-1].epoch, told[-1].step) == (2, 2, 3)  # noqa: E731
    with pytest.raises(CancelledError):
        train(tmp_path, FOLDS, progress=told.append, cancelled=in_fold_2)
    again: list[Progress] = []
    card = train(tmp_path, FOLDS, progress=again.append)
    assert {(each.fold, each.epoch) for each in again if each.state == "validating"} == {(2, 2)}
    whole = uninterrupted(FOLDS)
    assert card.weights_sha256 == whole.weights_sha256
    others = {"seconds": 0, "run": ""}
    assert {**card.training, **others} == {**whole.training, **others}
    for figures in ("metrics", "thresholds"):
        assert card.to_json()[figures] == whole.to_json()[figures]


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("before", ["is recorded as served", "its run folder is removed"])
def test_killed_when_its_version_was_published_already_it_publishes_no_second_one(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    recorded = before != "is recorded as served"
    kind, name = (RunFolder, "remove") if recorded else (ModelStore, "_serve")
    with monkeypatch.context() as dying:
        dying.setattr(kind, name, killed)
        with pytest.raises(Killed):
            train(tmp_path, PLAIN)
    store = ModelStore(tmp_path)
    assert store.versions("nodule", "tiny") == [1]
    assert store.current_version("nodule", "tiny") == (1 if recorded else None)

    told: list[Progress] = []
    card = train(tmp_path, PLAIN, progress=told.append)
    assert card.version == 1
    assert not [each for each in told if each.state == "training" and not each.note]
    assert (told[-1].state, told[-1].best_auroc) == ("done", card.validation_auroc["lung_nodule"].value)
    (change,) = store.served("nodule", "tiny").changes
    assert (change.version, change.why) == (1, "Nothing was served yet, so this version is to be served.")
    assert names(tmp_path / ".runs") == [".lock"]
    # Ordered once more it is another training, though it comes to the same.
    assert train(tmp_path, PLAIN).version == 2
    assert store.versions("nodule", "tiny") == [1, 2]


def test_what_a_person_served_meanwhile_stays_when_a_published_training_is_ended(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(RunFolder, "remove", lambda run: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train(tmp_path, PLAIN)
    store = ModelStore(tmp_path)
    store.publish(store.classifier(store.card("nodule", "tiny")), store.card("nodule", "tiny"), why="by hand")
    assert train(tmp_path, PLAIN).version == 1
    assert [each.version for each in store.served("nodule", "tiny").changes] == [1, 2]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_gone_on_from(
    train: Train, uninterrupted: Callable[[FinetuneConfig], ModelCard], tmp_path: Path
) -> None:
    told, cancelled = stop_at(12)  # steps and ends of epochs: in epoch 3
    with pytest.raises(CancelledError):
        train(tmp_path, PLAIN, progress=told.append, cancelled=cancelled)
    first, last = sorted((tmp_path / ".runs").glob("*/round-1/epoch-*.ckpt"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    again: list[Progress] = []
    card = train(tmp_path, PLAIN, progress=again.append)
    epoch = int(first.stem.removeprefix("epoch-"))
    assert f"{last.name}: the checkpoint is damaged. The one after epoch {epoch} is taken." in notes(again)[1]
    assert min(each.epoch for each in again if each.state == "validating") == epoch + 1
    assert card.weights_sha256 == uninterrupted(PLAIN).weights_sha256


def test_where_every_checkpoint_is_damaged_the_round_begins_again(
    train: Train, uninterrupted: Callable[[FinetuneConfig], ModelCard], tmp_path: Path
) -> None:
    told, cancelled = stop_at(12)
    with pytest.raises(CancelledError):
        train(tmp_path, PLAIN, progress=told.append, cancelled=cancelled)
    for checkpoint in (tmp_path / ".runs").glob("*/round-1/epoch-*.ckpt"):
        checkpoint.write_bytes(b"not a checkpoint")
    again: list[Progress] = []
    card = train(tmp_path, PLAIN, progress=again.append)
    assert notes(again)[-1].endswith("The round begins again.")
    assert card.weights_sha256 == uninterrupted(PLAIN).weights_sha256


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are of POSIX")
@pytest.mark.parametrize(
    ("largest_file", "published"), [(1_000_000, True), (100_000, False)], ids=["checkpoints", "weights, too"]
)
def test_on_a_full_disk_the_training_says_so_and_what_is_served_stays(
    train: Train, tmp_path: Path, small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch,
    largest_file: int, published: bool,
) -> None:  # fmt: skip
    import resource  # of POSIX alone

    monkeypatch.setattr("vpt_plugin.training.model_store.get_model", lambda name: small_spec)
    first = train(tmp_path, FinetuneConfig(epochs=1, steps_per_epoch=1, batch=2))
    told: list[Progress] = []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, before[1]))
    try:
        if published:
            assert train(tmp_path, PLAIN, progress=told.append).version == 2
        else:
            with pytest.raises(TrainingError, match=r"cannot be published.*What is served stays as it was"):
                train(tmp_path, PLAIN, progress=told.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the checkpoint after epoch 1 cannot be written" in notes(told)[0]
    store = ModelStore(tmp_path)
    if not published:
        assert store.current_version("nodule", "tiny") == 1
        assert store.load(NODULE, "tiny")[1].to_json() == first.to_json()


class Command:
    """``vpt finetune`` on the small studies as the real program; the same arguments every time."""

    def __init__(self, folder: Path, manifest: Path, *options: str) -> None:
        self.models = folder / "models"
        self._arguments = [
            "finetune", str(manifest), "--task", "nodule", "--model", "tiny", "--device", "cpu",
            "--models-dir", str(self.models), "--cache", str(folder / "cache"),
            "--batch", "2", "--no-report", *options,
        ]  # fmt: skip
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "VPTCT_HOME": str(folder / "home")}

    def run_here(self) -> str:
        """From start to end, in this process; gives what it said."""
        result = CliRunner().invoke(app, self._arguments)
        assert result.exit_code == 0, result.stderr
        return result.stderr

    def run(self) -> str:
        """From start to end, in a process of its own; gives what it said."""
        with self._start() as process:
            _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return said

    def kill(self, at: str, seconds: float) -> None:
        """Kill it so many seconds after it says that it is there."""
        with self._start() as process:
            assert process.stderr is not None
            said = [next(process.stderr)]
            while at not in said[-1]:
                said.append(next(process.stderr))
            time.sleep(seconds)
            process.kill()
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, "".join(said)

    def cards(self) -> list[ModelCard]:
        return ModelStore(self.models).cards()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "vpt_plugin.cli", *self._arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment,
        )  # fmt: skip


@pytest.fixture
def chance() -> random.Random:
    """Another moment in every test run: whichever it is, the result is the same."""
    return random.Random()


SINGLE_SPLIT = ("--epochs", "4", "--steps-per-epoch", "3")
TWO_FOLDS = ("--epochs", "2", "--steps-per-epoch", "2", "--folds", "2")


@pytest.mark.parametrize(
    ("options", "moments"),
    [(SINGLE_SPLIT, ["epoch 1/4", "epoch 2/4", "epoch 3/4"]), (TWO_FOLDS, ["fold 1", "fold 2"])],
    ids=["single split", "folds"],
)
def test_killed_at_any_moment_and_started_again_it_gives_the_same_weights(
    tmp_path: Path, make_study: Callable[..., Any], chance: random.Random,
    options: tuple[str, ...], moments: list[str],
) -> None:  # fmt: skip
    sides = [""] * 8 if "--folds" in options else ["train"] * 6 + ["validation"] * 2
    (tmp_path / "studies").mkdir()
    studies = (make_study(tmp_path / "studies", number, side) for number, side in enumerate(sides))
    Manifest(tuple(studies)).write(tmp_path / "studies" / "manifest.csv")
    command = Command(tmp_path, tmp_path / "studies" / "manifest.csv", *options)
    command.run_here()
    (whole,) = command.cards()

    command.kill(chance.choice(moments), chance.uniform(0, 0.2))
    store = ModelStore(command.models)
    assert store.current_version("nodule", "tiny") == 1
    assert store.load(NODULE, "tiny")[1].to_json() == whole.to_json()
    kept = list(command.models.glob(".runs/nodule_tiny-*/*/*.ckpt"))

    said = command.run_here() if "--folds" in options else command.run()
    assert ("was interrupted before and goes on" in said) == bool(kept)
    card = command.cards()[-1]
    assert (card.version, card.weights_sha256) == (2, whole.weights_sha256)
    assert card.to_json()["validation_auroc"] == whole.to_json()["validation_auroc"]
    assert names(command.models / ".runs") == [".lock"]
