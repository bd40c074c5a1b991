"""A training publishes what its answers need to say how sure they are, and a version from before gets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vpt_plugin.cli import app
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.splits import hash_order
from vpt_plugin.errors import CancelledError, ChecksumError, TrainingError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.typicality import FeatureReference, LostReference, fit_reference, reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.device import choose_dtype
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.evidence import FeatureSides, measure_reference, reference_of
from vpt_plugin.training.evidence_check import check_evidence
from vpt_plugin.training.finetune import clip_shape, finetune
from vpt_plugin.training.loop import Observer
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.version_folder import VersionFolder

NODULE = TASKS["nodule"]
SHORT = FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4)


class Published(NamedTuple):
    store: ModelStore
    card: ModelCard
    manifest: Manifest
    cache: Path


@pytest.fixture(scope="module", autouse=True)
def small_tiny(small_spec: ModelSpec) -> Iterator[None]:
    """The catalog's tiny sees the small studies."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("model_store", "version_folder", "evidence_check"):
            patch.setattr(f"vpt_plugin.training.{module}.get_model", lambda name: small_spec)
        yield


@pytest.fixture(scope="module")
def published(
    ball_cache: Path, small_spec: ModelSpec, make_study: object, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """12 studies to train on, 10 to validate on, which is just enough."""
    assert callable(make_study)
    folder = tmp_path_factory.mktemp("evidence")
    splits = ["train"] * 12 + ["validation"] * 10
    manifest = Manifest(tuple(make_study(folder, number, split) for number, split in enumerate(splits)))
    store = ModelStore(folder / "models")
    result = finetune(
        ManifestSource(manifest), NODULE, small_spec, SHORT, store=store, cache=ball_cache, device="cpu"
    )
    return Published(store, result.card, manifest, ball_cache)


def without_evidence(published: Published, into: Path) -> ModelStore:
    """The same version as one from before would lie there."""
    store = ModelStore(into)
    store.import_(published.store.place("nodule", "tiny", 1))
    place = store.place("nodule", "tiny", 1)
    (place / reference_file(store.card("nodule", "tiny", 1).typicality_sha256)).unlink()
    card = json.loads((place / "card.json").read_text())
    for name in ("conformal", "typicality_sha256"):
        del card[name]
    (place / "card.json").write_text(json.dumps(card))
    record = published.store.place("nodule", "tiny", 1) / "validation.json"
    (place / "validation.json").write_bytes(record.read_bytes())
    return store


def test_a_publication_keeps_the_validation_studies_probabilities_by_state_and_no_names(
    published: Published,
) -> None:
    card, record = published.card, published.card.conformal
    assert record is not None
    scores = record.scores["lung_nodule"]
    assert (len(scores.present), len(scores.absent), record.folds) == (5, 5, False)
    assert [each.error_rate for each in record.measured["lung_nodule"]] == [0.05, 0.1, 0.2]
    place = published.store.place("nodule", "tiny", 1)
    validated = json.loads((place / "validation.json").read_text())["studies"]
    said = {name: each["probabilities"]["lung_nodule"] for each in validated for name in [each["study"]]}
    assert sorted([*scores.present, *scores.absent]) == sorted(said.values())
    assert not any(name in json.dumps(card.to_json()) for name in said)
    assert "Present, absent, or unsure: Lung nodule" in (place / "report.html").read_text()


def test_an_answer_tells_the_distance_from_the_training_studies(published: Published) -> None:
    store, card = published.store, published.card
    reference = store.reference(card)
    assert isinstance(reference, FeatureReference)
    assert (reference.trained, reference.studies, reference.percentile) == (12, 10, 10 / 11)
    predictor = Predictor(
        store.classifier(card), NODULE, card,
        device="cpu", precision="float32", backend="torch", unsuitable="warn", reference=reference,
    )  # fmt: skip
    known = read_study(published.manifest.studies[15].path)
    answer = predictor.predict(known)
    assert answer.suitability is not None
    assert answer.suitability.distance is not None
    # One of the ten by which the threshold was set.
    assert answer.suitability.distance.value <= reference.threshold + 1e-9
    white = replace(known, hu=np.full_like(known.hu, 500))
    warned = predictor.predict(white)
    assert warned.suitability is not None
    assert warned.suitability.distance is not None
    assert warned.suitability.distance.value > reference.threshold
    assert any("looks to the network unlike" in warning for warning in warned.warnings)


def test_read_coarse_to_fine_the_distance_is_not_known(published: Published) -> None:
    store, card = published.store, published.card
    predictor = Predictor(
        store.classifier(card), NODULE, card, stride="coarse-to-fine", error_rate=0.2,
        device="cpu", precision="float32", backend="torch", unsuitable="warn",
        reference=store.reference(card),
    )  # fmt: skip
    answer = predictor.predict(read_study(published.manifest.studies[0].path))
    assert answer.suitability is not None
    assert answer.suitability.distance is None
    (check,) = [each for each in answer.suitability.checks if each.name == "features"]
    assert check.verdict == "unknown"
    assert check.sentence.endswith("it was read coarse to fine, which takes other clips")
    assert [each.conformal.error_rate for each in answer.findings if each.conformal] == [0.2]


def test_a_package_takes_it_along_and_a_damaged_one_is_refused(published: Published, tmp_path: Path) -> None:
    store, card = published.store, published.card
    for package in (tmp_path / "there.zip", tmp_path / "there"):
        store.export("nodule", "tiny", 1, package)
        there = ModelStore(tmp_path / f"models-of-{package.name}")
        taken = there.import_(package)
        # Its decisions say that they rest on the studies of where it was trained.
        assert card.conformal is not None
        assert taken.conformal == replace(card.conformal, imported=True)
        assert there.card("nodule", "tiny", taken.version).conformal == taken.conformal
        kept, own = there.reference(taken), store.reference(card)
        assert isinstance(kept, FeatureReference)
        assert isinstance(own, FeatureReference)
        assert kept.to_bytes() == own.to_bytes()
    file = tmp_path / "there" / reference_file(card.typicality_sha256)
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    another = ModelStore(tmp_path / "another")
    with pytest.raises(ChecksumError, match=file.name):
        another.import_(tmp_path / "there")
    # To begin a training from it, it is not needed.
    place = there.place("nodule", "tiny", taken.version)
    (place / file.name).unlink()
    assert another.adopt(there, taken).typicality_sha256 == ""


def test_a_version_from_before_says_that_it_cannot_tell_and_is_measured_to_the_same(
    published: Published, tmp_path: Path
) -> None:
    store = without_evidence(published, tmp_path / "models")
    before = store.card("nodule", "tiny", 1)
    assert (before.conformal, store.reference(before)) == (None, None)
    found = check_evidence(store, NODULE, "tiny", 1, cache=published.cache, device="cpu")
    assert found.why_not == ""
    assert found.found_in_words == "Found 12 of 12 training studies and 10 of 10 validation studies."
    assert found.card.conformal == published.card.conformal
    assert found.card.typicality_sha256 == published.card.typicality_sha256
    assert store.card("nodule", "tiny", 1) == found.card
    assert isinstance(store.reference(found.card), FeatureReference)


def another_reference(seed: int) -> FeatureReference:
    features = np.random.default_rng(seed).normal(size=(30, 32))
    reference = fit_reference(features[:15], features[15:])
    assert reference is not None
    return reference


def test_killed_while_it_is_written_a_version_answers_as_before(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = without_evidence(published, tmp_path)
    first, second, third = map(another_reference, range(3))
    before = store.keep_evidence(store.card("nodule", "tiny", 1), None, first)

    def killed(folder: VersionFolder, card: ModelCard) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VersionFolder, "rewrite", killed)
        with pytest.raises(KeyboardInterrupt):
            store.keep_evidence(before, None, second)
    assert store.card("nodule", "tiny", 1) == before
    kept = store.reference(before)
    assert isinstance(kept, FeatureReference)
    assert kept.sha256 == first.sha256
    after = store.keep_evidence(before, None, third)
    files = list(store.place("nodule", "tiny", 1).glob("typicality*"))
    assert [path.name for path in files] == [reference_file(third.sha256)]
    # A server that still has the old card answers, too.
    assert isinstance(store.reference(before), LostReference)
    assert isinstance(store.reference(after), FeatureReference)


@pytest.mark.parametrize("wrong", ["missing", "damaged"])
def test_a_lost_reference_is_said_and_keeps_back_no_answer(
    published: Published, tmp_path: Path, wrong: str
) -> None:
    store = without_evidence(published, tmp_path)
    card = store.keep_evidence(store.card("nodule", "tiny", 1), None, another_reference(0))
    file = store.place("nodule", "tiny", 1) / reference_file(card.typicality_sha256)
    if wrong == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-8])
    said = f"the version's file {file.stem} is {wrong}"
    predictor = Predictor(
        store.classifier(card), NODULE, card, reference=store.reference(card),
        device="cpu", precision="float32", backend="torch", unsuitable="warn",
    )  # fmt: skip
    answer = predictor.predict(read_study(published.manifest.studies[0].path))
    assert answer.suitability is not None
    (check,) = [each for each in answer.suitability.checks if each.name == "features"]
    assert (check.verdict, check.sentence in answer.notes) == ("unknown", True)
    assert check.sentence.endswith(f"is not known: {said}")
    shown = CliRunner().invoke(app, ["versions", "show", "nodule_tiny", "1", "--models-dir", str(tmp_path)])
    assert shown.exit_code == 0, shown.stderr
    assert f"n/a, {said}; measure it: vpt versions check-evidence nodule_tiny 1" in " ".join(
        shown.stdout.split()
    )


def test_it_is_measured_on_the_command_line_and_says_where_studies_are_gone(
    published: Published, tmp_path: Path
) -> None:
    without_evidence(published, tmp_path / "models")
    options = [
        "--models-dir",
        str(tmp_path / "models"),
        "--cache",
        str(tmp_path / "empty"),
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(app, ["versions", "check-evidence", "nodule_tiny", "1", *options])
    assert result.exit_code == 0, result.stderr
    assert "over 200 random splits of its validation studies" in result.stdout
    assert "there were 0 training and 0 validation patients, and it takes 10 of each" in " ".join(
        result.stdout.split()
    )
    assert "Found 0 of 12 training studies and 0 of 10 validation studies." in result.stdout
    assert ModelStore(tmp_path / "models").card("nodule", "tiny", 1).conformal == published.card.conformal


def test_what_rests_on_more_studies_is_replaced_only_where_that_is_asked_for(
    published: Published, tmp_path: Path
) -> None:
    store = without_evidence(published, tmp_path)
    of_more = another_reference(0)
    store.keep_evidence(store.card("nodule", "tiny", 1), None, of_more)
    check = partial(check_evidence, store, NODULE, "tiny", 1, cache=published.cache, device="cpu")
    kept = check()
    assert kept.why_not == (
        "What was measured now rests on 12 studies, and the threshold on 10; what was measured before, on 15 "
        "and 15. So that stays; --anyway replaces it."
    )
    assert kept.card.typicality_sha256 == of_more.sha256
    # Where none of the studies are here, what was measured stays even then.
    nowhere = check_evidence(store, NODULE, "tiny", 1, cache=tmp_path / "empty", device="cpu", anyway=True)
    assert nowhere.why_not.startswith(
        "Whether a study is like those that it was trained on cannot be measured"
    )
    assert isinstance(nowhere.reference, FeatureReference)
    assert nowhere.reference.sha256 == of_more.sha256
    replaced = check(anyway=True)
    assert (replaced.why_not, replaced.card.typicality_sha256) == ("", published.card.typicality_sha256)


def test_what_was_measured_of_other_weights_does_not_hold(
    published: Published, small_spec: ModelSpec, tmp_path: Path
) -> None:
    other = ModelStore(tmp_path).publish(new_classifier(small_spec, NODULE.findings, seed=7), published.card)
    assert (other.conformal, other.typicality_sha256) == (None, "")


def test_with_folds_it_takes_twice_as_many_studies(published: Published, tmp_path: Path) -> None:
    store = without_evidence(published, tmp_path)
    path = store.place("nodule", "tiny", 1) / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "counts": {**card["counts"], "folds": 5}}))
    found = check_evidence(store, NODULE, "tiny", 1, cache=published.cache, device="cpu")
    assert found.reference is None
    assert found.why_not.endswith("there were 12 patients, and it takes 20.")
    assert found.card.conformal is not None
    assert found.card.conformal.folds


def test_of_a_patient_one_study_counts_and_no_patient_lies_on_both_sides(
    published: Published, small_spec: ModelSpec
) -> None:
    """A second study of every patient, the same voxels even, changes nothing of what is kept."""
    window = NODULE.hu_window
    with PreparedStudies(published.cache, window, pixels=small_spec.resize_px) as prepared:
        nothing = np.zeros(1)
        studies = [
            LabelledStudy(str(number), each, nothing, nothing[np.newaxis] > 0, nothing > 0, f"p{number}")
            for number, each in zip(range(20), prepared, strict=False)
        ]
        last = hash_order([each.study for each in studies])[-1]
        later = (f"again {number}" for number in count())
        again = [
            replace(each, study=next(name for name in later if hash_order([last, name])[0] == last))
            for each in studies
        ]
        card, cpu = published.card, torch.device("cpu")
        classifier = published.store.classifier(card)
        once, twice = (
            measure_reference(classifier, NODULE, card, FeatureSides(each, (), folds=True), device=cpu)
            for each in (studies, [*again, *studies])
        )
    assert once is not None
    assert twice is not None
    assert (once.studies, once.crosswise) == (20, True)
    assert twice.to_bytes() == once.to_bytes()
    assert not FeatureSides([*again[:19], *studies[:19]], (), folds=True).suffice


@pytest.mark.parametrize(
    "failure", [FileNotFoundError("gone"), ValueError("short"), np.linalg.LinAlgError("SVD"), MemoryError()]
)
def test_a_training_is_not_lost_over_a_distance(
    failure: Exception, small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    shape = clip_shape(NODULE, small_spec)
    placement = Placement(cpu, choose_dtype(cpu, "auto"))
    rounds = Rounds(NODULE, small_spec, SHORT.settled(()), shape, placement, Observer())
    data = SimpleNamespace(folds=(), trained_on=(), rounds=[SimpleNamespace(validation=())])
    notes: list[str] = []

    def measured(raised: BaseException) -> object:
        def fail(*_: object, **__: object) -> None:
            raise raised

        monkeypatch.setattr("vpt_plugin.training.evidence.measure_reference", fail)
        classifier = new_classifier(small_spec, NODULE.findings)
        return reference_of(rounds, data, classifier, told=lambda *_: None, note=notes.append)  # type: ignore[arg-type]

    assert measured(failure) is None
    assert type(failure).__name__ in notes[0]
    assert notes[0].endswith("measure it later: vpt versions check-evidence nodule_tiny VERSION")
    for stops in (KeyboardInterrupt(), CancelledError("stopped")):
        with pytest.raises(type(stops)):
            measured(stops)


def test_a_version_from_elsewhere_is_measured_where_it_was_trained(
    published: Published, tmp_path: Path
) -> None:
    store = without_evidence(published, tmp_path)
    (store.place("nodule", "tiny", 1) / "validation.json").unlink()
    with pytest.raises(TrainingError, match="Measure it where it was trained, and export it again"):
        check_evidence(store, NODULE, "tiny", 1, cache=published.cache, device="cpu")
