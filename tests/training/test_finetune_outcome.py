"""Whole trainings on small studies: honest answers of folds, cards, candidates, what is beside a version."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import TrainingError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.typicality import reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import load_weights, new_classifier
from vpt_plugin.models.device import choose_dtype
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.finetune import FinetuneResult, clip_shape, finetune
from vpt_plugin.training.keeping import KeptRound
from vpt_plugin.training.loop import Observer
from vpt_plugin.training.model_package import write_package
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.rounds import Rounds, TrainingLoop
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource

NODULE = TASKS["nodule"]
SHORT = FinetuneConfig(epochs=2, steps_per_epoch=2, batch=4, seed=1)
Train = Callable[..., FinetuneResult]


@pytest.fixture(scope="module")
def without_sides(ball_manifest: Manifest) -> Manifest:
    """The 20 studies, of which nobody said who is validated on."""
    return Manifest(tuple(replace(study, split="") for study in ball_manifest.studies))


@pytest.fixture(scope="module")
def train(ball_cache: Path, small_spec: ModelSpec) -> Train:
    def train(
        manifest: Manifest, store: ModelStore, config: FinetuneConfig = SHORT, **facts: Any
    ) -> FinetuneResult:
        source = ManifestSource(manifest)
        facts = {"report": False, "cache": ball_cache, "device": "cpu", **facts}
        return finetune(source, NODULE, small_spec, config, store=store, **facts)

    return train


@pytest.fixture(scope="module")
def folded(
    train: Train, without_sides: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelStore, FinetuneResult, list[tuple[set[str], set[str]]], list[Progress]]:
    """A training in folds; whom each loop trained and validated on; what was told."""
    store, told = ModelStore(tmp_path_factory.mktemp("folded")), []
    loops: list[tuple[set[str], set[str]]] = []

    class Watched(TrainingLoop):
        def __init__(
            self, classifier: Any, train: Any, validation: Any = None, *args: Any, **facts: Any
        ) -> None:
            sides = (
                {study.study for study in side._studies} if side else set()
                for side in (train, validation and validation.clips)
            )
            loops.append(tuple(sides))
            super().__init__(classifier, train, validation, *args, **facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vpt_plugin.training.rounds.TrainingLoop", Watched)
        result = train(without_sides, store, progress=told.append, report=True)
    return store, result, loops, told


def recorded(store: ModelStore, version: int) -> dict[str, Any]:
    return dict(json.loads((store.place("nodule", "tiny", version) / "validation.json").read_text()))


def test_with_folds_every_study_is_answered_by_a_network_that_never_saw_it(folded: Any) -> None:
    store, result, loops, told = folded
    *folds, (everything, nobody) = loops
    assert len(folds) == 5
    assert all(not trained & validated for trained, validated in folds)
    assert all(len(trained) + len(validated) == 20 for trained, validated in folds)
    answered = [name for _, validated in folds for name in sorted(validated)]
    assert sorted(answered) == sorted(everything)
    assert (len(everything), nobody) == (20, set())
    record = recorded(store, 1)
    assert [each["study"] for each in record["studies"]] == sorted(answered)
    assert {each["study"] for each in record["trained_on"]} == everything
    assert (result.card.trained_on, result.card.validation_auroc["lung_nodule"].n) == (20, 20)
    assert len(result.card.training["folds"]) == 5
    shown = [(each.fold, each.folds) for each in told if each.state == "training"]
    assert list(dict.fromkeys(shown)) == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (0, 5)]


def test_the_recorded_answers_of_a_fold_are_those_of_a_network_trained_on_the_others_alone(
    folded: Any, without_sides: Manifest, ball_cache: Path, small_spec: ModelSpec
) -> None:
    store, result, *_ = folded
    shape, config = clip_shape(NODULE, small_spec), SHORT.settled(())
    data = select_studies(
        ManifestSource(without_sides), NODULE, shape,
        PreparedStudies(ball_cache, NODULE.hu_window, pixels=small_spec.resize_px), config,
        progress=lambda *_: None, cancelled=lambda: False,
    )  # fmt: skip
    cpu = torch.device("cpu")
    placement = Placement(cpu, choose_dtype(cpu, "auto"))
    third = data.rounds[2]
    rounds = Rounds(NODULE, small_spec, config, shape, placement, Observer())
    _, found = rounds.run(third.train, third.validation, KeptRound(Team()))
    found = found.at(result.card.training["best_epoch"])
    said = {each["study"]: each["probabilities"]["lung_nodule"] for each in recorded(store, 1)["studies"]}
    # The epoch is the one that the other folds chose.
    at = found.at(result.card.training["folds"][2]["best_epoch"]).best
    for number, study in enumerate(third.validation):
        logits = at.logits[at.clip_studies == number] / result.card.temperature
        assert said[study.study] == pytest.approx(float(expit(logits).max()), abs=1e-9)


def test_the_card_says_what_scikit_learn_says_of_the_recorded_answers(folded: Any) -> None:
    store, result, *_ = folded
    studies = recorded(store, 1)["studies"]
    truth = np.array([each["states"]["lung_nodule"] == "present" for each in studies])
    said = np.array([each["probabilities"]["lung_nodule"] for each in studies])
    figures = result.card.metrics["study"]["lung_nodule"]
    threshold = result.card.thresholds["lung_nodule"]
    assert figures["auroc"].value == pytest.approx(roc_auc_score(truth, said), abs=1e-9)
    assert figures["auprc"].value == pytest.approx(average_precision_score(truth, said), abs=1e-9)
    assert figures["brier"].value == pytest.approx(brier_score_loss(truth, said), abs=1e-9)
    assert figures["sensitivity"].value == pytest.approx((said >= threshold)[truth].mean(), abs=1e-9)
    assert figures["specificity"].value == pytest.approx((said < threshold)[~truth].mean(), abs=1e-9)
    # Youden: no threshold among the answers does better.
    gains = [(said >= each)[truth].mean() - (said >= each)[~truth].mean() for each in said]
    best = figures["sensitivity"].value + figures["specificity"].value - 1
    assert best == pytest.approx(max(gains), abs=1e-9)


def test_beside_a_version_lie_its_record_its_report_and_its_figures(folded: Any, tmp_path: Path) -> None:
    store, result, *_ = folded
    assert result.served
    assert result.report == store.place("nodule", "tiny", 1) / "report.html"
    assert result.decision in result.report.read_text(encoding="utf-8")
    figures = list((result.report.parent / "figures").glob("*.png"))
    assert figures
    # None of that leaves the site: it names studies and shows patients.
    package = tmp_path / "package"
    card = result.card
    folder = store.folders()[0]
    write_package(folder.place(card.version), package)
    # 20 studies are just enough to know what they are like; the card names the file that says it.
    assert sorted(path.name for path in package.iterdir()) == [
        "card.json",
        reference_file(card.typicality_sha256),
        "weights.safetensors",
    ]


def test_a_worse_training_is_kept_as_a_candidate_and_both_figures_are_told(
    train: Train, ball_manifest: Manifest, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    good = train(ball_manifest, store, replace(SHORT, epochs=6, steps_per_epoch=10, learning_rate=0.01))
    assert (good.served, good.card.version, good.comparison) == (True, 1, None)
    assert good.card.validation_auroc["lung_nodule"].value > 0.9

    bad = train(ball_manifest, store, replace(SHORT, epochs=1, steps_per_epoch=1, learning_rate=1e-6))
    assert (bad.served, bad.card.version) == (False, 2)
    assert store.current_version("nodule", "tiny") == 1
    assert bad.comparison is not None
    # The 8 validation studies, from which neither learned.
    assert bad.comparison.gain.n == 8
    assert bad.comparison.served.value == good.card.validation_auroc["lung_nodule"].value
    assert bad.comparison.candidate.value == bad.card.validation_auroc["lung_nodule"].value
    assert bad.comparison.candidate.value < bad.comparison.served.value
    for estimate in (bad.comparison.served, bad.comparison.candidate):
        assert f"{estimate.value:.3f}" in bad.decision
    assert store.card("nodule", "tiny", 2).comparison["sentence"] == bad.decision
    again = train(ball_manifest, store, replace(SHORT, epochs=6, steps_per_epoch=10, learning_rate=0.01))
    # The very same network once more: not better, so nothing changes.
    assert (again.served, store.current_version("nodule", "tiny")) == (False, 1)


def test_a_comparison_is_made_on_what_the_served_version_never_saw(
    train: Train, ball_manifest: Manifest, without_sides: Manifest, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    train(ball_manifest, store)
    # Served: trained on 12 studies, 8 recorded. In folds all 20 are validated; the 12 are left out.
    folded = train(without_sides, store)
    assert folded.comparison is not None
    assert folded.comparison.gain.n == 8
    assert "12 studies are left out, because the served version learned from them." in folded.decision
    on_eight = [each for each in recorded(store, 2)["studies"] if each["study"] >= "study-012"]
    truth = [each["states"]["lung_nodule"] == "present" for each in on_eight]
    said = [each["probabilities"]["lung_nodule"] for each in on_eight]
    assert folded.comparison.candidate.value == pytest.approx(roc_auc_score(truth, said), abs=1e-9)


def test_a_version_served_meanwhile_is_not_replaced_by_one_that_was_not_compared_with_it(
    train: Train, ball_manifest: Manifest, tmp_path: Path, small_spec: ModelSpec
) -> None:
    store = ModelStore(tmp_path)

    def another(now: Progress) -> None:
        if now.state == "publishing":
            card = ModelCard("nodule", "tiny", NODULE.findings, "none", 8)
            store.publish(new_classifier(small_spec, NODULE.findings), card)

    result = train(ball_manifest, store, progress=another, report=True)
    assert (result.served, result.card.version) == (False, 2)
    assert store.current_version("nodule", "tiny") == 1
    assert "Meanwhile another version came to be served" in result.decision
    # The report and the card were written before: they say what was decided, not what is served.
    report, card = result.report, store.card("nodule", "tiny", 2)
    assert report is not None
    assert "Published to be served." in report.read_text(encoding="utf-8")
    decided = "Nothing was served yet, so this version is to be served."
    assert decided in report.read_text(encoding="utf-8")
    assert card.comparison == {}


def test_too_few_labels_are_told_before_anything_is_read(
    train: Train, ball_manifest: Manifest, tmp_path: Path
) -> None:
    told: list[Progress] = []
    present = [
        study
        for study in ball_manifest.studies
        if int(study.study[-3:]) % 2 == 0 or study.study == "study-001"
    ]
    with pytest.raises(TrainingError, match="nodule: 10 studies with lung nodule, 1 without"):
        train(Manifest(tuple(present)), ModelStore(tmp_path), progress=told.append)
    unlabelled = replace(ball_manifest.studies[3], labels={})
    with pytest.raises(TrainingError, match=r"1 without \(left out: 1 not labelled\)\."):
        train(Manifest((*present, unlabelled)), ModelStore(tmp_path), progress=told.append)
    assert told == []


def test_a_report_that_cannot_be_written_publishes_nothing_and_says_so(
    train: Train, ball_manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vpt_plugin.training.publishing.write_report", full)
    store = ModelStore(tmp_path)
    with pytest.raises(TrainingError, match=r"No space left on device.* What is served stays as it was"):
        train(ball_manifest, store, report=True)
    assert store.versions("nodule", "tiny") == []


def test_what_begins_from_a_classifier_of_the_site_is_not_validated_on_what_that_learned_from(
    train: Train, ball_manifest: Manifest, without_sides: Manifest, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    train(Manifest(ball_manifest.studies[:10] + ball_manifest.studies[12:]), store)
    config = replace(SHORT, pretraining="ct", start="nodule_tiny")
    with pytest.raises(TrainingError, match=r"nodule_tiny:1 was trained on patients of the validation side"):
        train(without_sides, store, config)
    rest = Manifest(ball_manifest.studies[6:])
    second = train(rest, store, config)
    assert second.card.pretraining == "ct"
    # Which version was served when it began is written down.
    assert second.card.training["config"]["start"] == "nodule_tiny:1"
    # It learned from 6 to 11 itself, and from 0 to 9 through what it began from.
    learned = {each["study"] for each in recorded(store, 2)["trained_on"]}
    assert learned == {f"study-{number:03d}" for number in range(12)}


def test_what_is_recorded_is_what_readers_will_be_answered(
    train: Train, ball_manifest: Manifest, tmp_path: Path, small_spec: ModelSpec
) -> None:
    store = ModelStore(tmp_path)
    config = replace(SHORT, epochs=3, steps_per_epoch=10, learning_rate=0.01)
    card = train(ball_manifest, store, config).card
    classifier = new_classifier(small_spec, NODULE.findings)
    load_weights(classifier, store.place("nodule", "tiny", 1) / "weights.safetensors")
    predictor = Predictor(classifier, NODULE, card, device="cpu", unsuitable="warn")  # balls, no chest
    said = {each["study"]: each["probabilities"]["lung_nodule"] for each in recorded(store, 1)["studies"]}
    answers = {
        study.study: predictor.predict(read_study(study.path)).findings[0]
        for study in ball_manifest.studies
        if study.split == "validation"
    }
    assert {name: answer.probability for name, answer in answers.items()} == pytest.approx(said, abs=1e-4)
    # Even ones have a ball: the decisions of the reader's screen are those that the card's figures count.
    called = [
        answer.decision == "present" for name, answer in sorted(answers.items()) if int(name[-3:]) % 2 == 0
    ]
    assert np.mean(called) == card.metrics["study"]["lung_nodule"]["sensitivity"].value
