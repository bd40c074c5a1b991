"""Whole simulations on small phantoms: head and network, interrupted and gone on with."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from vpt_plugin.active.simulation.network import NetworkLearner
from vpt_plugin.active.simulation.settings import SimulationSettings
from vpt_plugin.active.simulation.setup import Setup, set_up
from vpt_plugin.active.simulation.simulate import run_replays, simulate
from vpt_plugin.cli import app
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import PhantomConfig, write_phantom_set
from vpt_plugin.errors import TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import ManifestSource

SMALL = PhantomConfig(pixels=32, slice_spacings_mm=(6.0,), nodule_diameters_mm=(26.0, 40.0))
STUDIES = 14
TWO_STEPS = ("--set", "epochs=1", "--set", "steps_per_epoch=2", "--set", "batch=2")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the phantoms, and what is prepared of them."""
    folder = tmp_path_factory.mktemp("simulated")
    write_phantom_set(
        folder / "set", count=STUDIES, seed=1, task="nodule", formats=("nrrd",), config=SMALL,
        splits=(STUDIES, 0, 0),
    )  # fmt: skip
    return folder


def vpt_simulate(place: Path, out: Path, *options: object, source: Path | None = None) -> Result:
    words = [
        "simulate", source or place / "set" / "manifest.csv", "--task", "nodule", "--model", "tiny",
        "--out", out, "--cache", place / "prepared", "--models-dir", place / "models",
        "--pretraining", "none",
        "--device", "cpu", "--batch", 4, "--budget", 8, "--target", 0.6, *options,
    ]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_simulation_leaves_a_table_a_csv_a_json_and_a_figure(place: Path, tmp_path: Path) -> None:
    done = vpt_simulate(place, tmp_path / "out", "--seeds", 2, "--strategies", "auto,random,uncertain")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 seeds; of 9 phantoms to choose from 4 show a finding, of 5 held out 3.")
    assert "the head on frozen features of an untrained tiny (seed 0)" in " ".join(done.stdout.split())
    assert "labels to 0.6" in done.stdout
    # A log file says what is done now; on a terminal there are bars.
    assert "auto, seed 0\n" in done.stderr
    with (tmp_path / "out" / "simulation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # Three strategies, two seeds, 0 and 4 and 8 labels.
    assert len(rows) == 18
    assert [row["labels"] for row in rows if (row["strategy"], row["seed"]) == ("auto", "1")] == [
        "0",
        "4",
        "8",
    ]
    found = json.loads((tmp_path / "out" / "simulation.json").read_text())
    assert (found["synthetic"], found["held_out"]) == (True, {"studies": 5, "with_finding": 3})
    assert [each["strategy"] for each in found["strategies"]] == ["auto", "random", "uncertain"]
    assert (tmp_path / "out" / "simulation.png").read_bytes().startswith(b"\x89PNG")


def test_too_few_labels_of_a_state_are_refused_with_their_counts_before_anything_is_prepared(
    place: Path, tmp_path: Path
) -> None:
    rows = (place / "set" / "manifest.csv").read_text().splitlines()
    few = place / "set" / "few.csv"
    few.write_text("\n".join(rows[:2]) + "\n")
    done = vpt_simulate(place, tmp_path / "out", "--cache", tmp_path / "prepared", source=few)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: few.csv has 1 study with a label of nodule: lung_nodule ")
    assert "1 present, 0 absent" in done.stderr or "0 present, 1 absent" in done.stderr
    assert "a simulation needs at least 2 of each state" in done.stderr
    assert not (tmp_path / "prepared").exists()


def test_sides_that_lack_a_state_are_refused_before_features_are_computed(
    place: Path, tmp_path: Path
) -> None:
    done = vpt_simulate(place, tmp_path / "out", "--test-share", 0.01, "--cache", tmp_path / "prepared")
    assert done.exit_code == 1
    assert (
        "0 are held out, and of some finding one state is missing there (0 present, 0 absent)" in done.stderr
    )
    assert not (tmp_path / "prepared" / "features").exists()


def test_an_interrupted_simulation_goes_on_and_ends_as_an_uninterrupted_one(
    place: Path, tmp_path: Path
) -> None:
    setup, parts = started(place, place / "models", "head"), tmp_path / "parts"
    settings = SimulationSettings(("uncertain", "random"), seeds=(0, 1), batch=4, budget=8, target=0.6)
    simulate(setup, settings, tmp_path / "whole")
    run_replays(setup, replace(settings, strategies=("random",), seeds=(0,)), parts)
    kept = parts / "replays" / "random-0.json"
    # What was found already is taken as it is, and a damaged file is found again.
    as_it_is = kept.read_text().replace('"auroc": 0.5', '"auroc": 0.25')
    kept.write_text(as_it_is)
    run_replays(setup, settings, parts)
    assert kept.read_text() == as_it_is
    kept.write_text(as_it_is[:-40])
    simulate(setup, settings, parts)
    for name in ("simulation.csv", "simulation.json", "simulation.png"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_of_another_simulation_is_refused_with_what_differs(place: Path, tmp_path: Path) -> None:
    vpt_simulate(place, tmp_path, "--seeds", 1, "--strategies", "random")
    other = vpt_simulate(place, tmp_path, "--seeds", 1, "--strategies", "random", "--test-share", 0.5)
    assert other.exit_code == 2
    assert "holds a simulation of something else (test_share differs)" in other.stderr


def test_a_whole_network_is_trained_after_every_round(place: Path, tmp_path: Path) -> None:
    done = vpt_simulate(
        place, tmp_path, "--seeds", 1, "--strategies", "random,badge", "--learner", "network", *TWO_STEPS
    )
    assert done.exit_code == 0, done.output
    assert "the whole network from an untrained tiny (seed 0)" in " ".join(done.stdout.split())
    found = json.loads((tmp_path / "simulation.json").read_text())
    assert found["learner"] == "network"
    with (tmp_path / "simulation.csv").open(newline="") as file:
        assert [row["labels"] for row in csv.DictReader(file)] == ["0", "4", "8"] * 2


def started(place: Path, models: Path, learner: str, **config: object) -> Setup:
    return set_up(
        ManifestSource(Manifest.read(place / "set" / "manifest.csv")), TASKS["nodule"], get_model("tiny"),
        FinetuneConfig.from_dict(
            {"pretraining": "none", "epochs": 1, "steps_per_epoch": 2, "batch": 2, **config}
        ),
        learner=learner, store=ModelStore(models), cache=place / "prepared", device="cpu",
    )  # fmt: skip


def test_a_training_depends_on_its_studies_and_its_seed_and_on_no_training_before_it(place: Path) -> None:
    learner = started(place, place / "models", "network").learner
    assert isinstance(learner, NetworkLearner)
    rows = list(range(6))
    first = learner.trained(rows, 7).answers([8, 9])
    other = learner.trained(rows, 8).answers([8, 9])
    again = learner.trained(rows, 7).answers([8, 9])
    assert first.probabilities is not None
    assert other.probabilities is not None
    assert again.probabilities is not None
    assert first.probabilities.tolist() == again.probabilities.tolist() != other.probabilities.tolist()


def test_a_start_that_has_seen_the_studies_is_refused(place: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    config = FinetuneConfig(pretraining="none", epochs=1, steps_per_epoch=1, batch=2, folds=2)
    finetune(
        ManifestSource(without_sides(Manifest.read(place / "set" / "manifest.csv"))), TASKS["nodule"],
        get_model("tiny"), config, store=store, cache=place / "prepared", device="cpu", report=False,
    )  # fmt: skip
    with pytest.raises(TrainingError, match="was trained on patients"):
        started(place, tmp_path, "head", pretraining="ct", start="nodule_tiny:1")


def without_sides(manifest: Manifest) -> Manifest:
    return replace(manifest, studies=tuple(replace(each, split="") for each in manifest.studies), path=None)


def test_features_are_kept_and_computed_again_where_damaged(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = started(place, place / "models", "head").learner.untrained().answers([0, 1])
    files = sorted((place / "prepared" / "features").iterdir())
    assert len(files) >= STUDIES

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    with monkeypatch.context() as patched:
        patched.setattr("vpt_plugin.active.simulation.features.clip_features", refuse)
        kept = started(place, place / "models", "head").learner.untrained().answers([0, 1])
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    mended = started(place, place / "models", "head").learner.untrained().answers([0, 1])
    assert before.embeddings == pytest.approx(kept.embeddings, rel=1e-5)
    assert mended.embeddings == pytest.approx(kept.embeddings, rel=1e-5)


def test_the_classifier_that_a_simulation_starts_from_is_named(place: Path, tmp_path: Path) -> None:
    task, spec = TASKS["nodule"], get_model("tiny")
    card = ModelCard(task.name, spec.name, task.findings, "none", spec.clip_slices, synthetic=True)
    ModelStore(tmp_path).publish(new_classifier(spec, task.findings, seed=3), card)
    setup = started(place, tmp_path, "head", pretraining="ct", start="nodule_tiny:1")
    assert setup.start == "the classifier nodule_tiny:1 of this site, without its head"
    assert any("does not say which studies it was trained on" in note for note in setup.notes)
