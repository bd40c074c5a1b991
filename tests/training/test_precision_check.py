"""How far bfloat16 moves a version's answers: what is measured, what a training makes of it, what stays."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import CancelledError, ConfigurationError, TrainingError, WeightsError
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import has_native_bfloat16
from vpt_plugin.models.precision import computed_with, settle_precision
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.tasks import TASKS
from vpt_plugin.training import precision_check, precision_gate, version_check
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import FinetuneResult, clip_shape, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.precision_check import AnsweredInWays, answer_in_ways, in_turns
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.validation_record import ValidationRecord, record_of
from vpt_plugin.training.version_check import check_version

NODULE, CPU = TASKS["nodule"], torch.device("cpu")
TORCH = "torch bfloat16 on cpu"
CARD = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8)
SHORT = FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4, seed=1)
CHECK = PrecisionCheck(8, 8, 0.001, {"lung_nodule": 0.0}, date="2026-11-21T20:00:00Z")


@pytest.fixture(autouse=True)
def bfloat16_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU without the instructions computes the same, more slowly; the networks here are small."""
    for module in (precision_check, version_check):
        monkeypatch.setattr(module, "has_native_bfloat16", lambda device: True)


@pytest.fixture(scope="module")
def studies(ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec) -> list[LabelledStudy]:
    """The 8 validation studies, every second with a ball."""
    data = select_studies(
        ManifestSource(ball_manifest), NODULE, clip_shape(NODULE, small_spec),
        PreparedStudies(ball_cache, NODULE.hu_window, pixels=small_spec.resize_px), FinetuneConfig(),
        progress=lambda *_: None, cancelled=lambda: False,
    )  # fmt: skip
    return list(data.rounds[0].validation)


@pytest.fixture
def classifier(small_spec: ModelSpec) -> Classifier:
    return new_classifier(small_spec, NODULE.findings, seed=5)


def by_hand(full: list[Any], reduced: list[Any], states: list[Any], in_all: int = 9) -> AnsweredInWays:
    """Answers of one finding; per study the logits of its clips."""
    column = [np.array(each, dtype=np.float64)[:, None] for each in full]
    other = [np.array(each, dtype=np.float64)[:, None] for each in reduced]
    known = np.array(states, dtype=np.float64)[:, None]
    with_what = {TORCH: computed_with("torch", CPU)}
    return AnsweredInWays(known, in_all, "max", column, {TORCH: other}, with_what)


def test_the_shift_is_that_of_the_study_and_not_of_its_clips() -> None:
    # The highest clip speaks for the study: a logit of 0 is 0.5, one of ln(0.6 / 0.4) is 0.6.
    answered = by_hand([[0.0, -5.0], [0.0]], [[math.log(0.6 / 0.4), -1.0], [0.0]], [1, 0])
    check = answered.checks(["lung_nodule"], 1.0)[TORCH]
    assert check.largest_shift == pytest.approx(0.1)
    assert (check.studies, check.studies_in_all, check.passed) == (2, 9, False)
    # A temperature of 4 makes it ln(1.5) / 4: 0.5253.
    assert answered.checks(["lung_nodule"], 4.0)[TORCH].largest_shift == pytest.approx(0.0253, abs=1e-4)


def test_the_order_of_studies_counts_beside_their_probabilities() -> None:
    # All four lie within 0.006 of 0.5. Of four pairs, one changes its order: the AUROC goes from 1 to 0.75.
    full, reduced = [[0.02], [0.01], [0.0], [-0.01]], [[0.02], [-0.005], [0.0], [-0.01]]
    check = by_hand(full, reduced, [1, 1, 0, 0]).checks(["lung_nodule"], 1.0)[TORCH]
    assert check.auroc_shift["lung_nodule"] == pytest.approx(0.25)
    assert check.largest_shift < 0.01
    assert not check.passed


def test_studies_of_one_state_have_no_auroc_and_are_judged_by_their_probabilities() -> None:
    check = by_hand([[1.0], [2.0]], [[1.0], [2.01]], [1, 1], in_all=2).checks(["lung_nodule"], 1.0)[TORCH]
    assert math.isnan(check.auroc_shift["lung_nodule"])
    assert check.passed
    assert "no AUROC says anything of lung nodule: all of them have one state" in check.words()


def test_an_answer_that_is_no_number_fails_and_says_so() -> None:
    check = by_hand([[1.0], [2.0]], [[math.nan], [2.0]], [1, 0]).checks(["lung_nodule"], 1.0)[TORCH]
    assert not check.passed
    assert check.words() == "on 2 of 9 validation studies some answers are no numbers"


def test_what_is_measured_is_the_difference_of_the_served_answers(
    studies: list[LabelledStudy], classifier: Classifier
) -> None:
    card = replace(CARD, temperature=0.5)
    answered = answer_in_ways(classifier, NODULE, card, studies, device=CPU)
    assert answered is not None
    check = answered.checks(NODULE.findings, card.temperature)[TORCH]

    def served(precision: str) -> list[float]:
        predictor = Predictor(classifier, NODULE, card, device="cpu", precision=precision)
        said = (predictor.score(each.prepared.slices, study=each.study) for each in studies)
        return [float(each.probabilities.max()) for each in said]

    moved = np.abs(np.array(served("float32")) - np.array(served("bfloat16"))).max()
    assert moved > 0
    assert check.largest_shift == pytest.approx(moved, abs=1e-9)
    assert (check.studies, check.studies_in_all) == (8, 8)


@pytest.mark.skipif(not has_native_bfloat16(CPU), reason="needs a processor with bfloat16")
def test_each_backend_that_might_answer_is_measured_by_itself(
    studies: list[LabelledStudy], classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("VPTCT_BACKEND", "auto")
    answered = answer_in_ways(classifier, NODULE, CARD, studies[:2], device=CPU)
    assert answered is not None
    assert list(answered.reduced) == [TORCH, "openvino bfloat16 on cpu"]
    checks = answered.checks(NODULE.findings, 1.0)
    assert all(0 < check.largest_shift < 0.01 for check in checks.values())
    assert len({check.largest_shift for check in checks.values()}) == 2


def test_where_time_is_short_states_take_turns(studies: list[LabelledStudy], classifier: Classifier) -> None:
    assert [study.states[0] for study in in_turns(studies)][:4] in ([1, 0, 1, 0], [0, 1, 0, 1])
    assert sorted(study.study for study in in_turns(studies)) == sorted(study.study for study in studies)
    answered = answer_in_ways(classifier, NODULE, CARD, studies, device=CPU, most_seconds=0)
    assert answered is not None
    assert (len(answered.full), answered.studies_in_all) == (1, 8)
    assert not answered.checks(NODULE.findings, 1.0)[TORCH].passed


class NoNumberInBfloat16(torch.nn.Module):
    """Answers under autocast with what is no number, as one network was seen to do."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.backbone(clips)
        return features * math.nan if torch.is_autocast_enabled("cpu") else features


def test_a_network_that_gives_no_number_in_bfloat16_fails_and_crashes_nothing(
    studies: list[LabelledStudy], classifier: Classifier
) -> None:
    classifier.backbone = NoNumberInBfloat16(classifier.backbone)
    answered = answer_in_ways(classifier, NODULE, CARD, studies, device=CPU)
    assert answered is not None
    checks = answered.checks(NODULE.findings, 1.0)
    assert not checks[TORCH].passed
    card = replace(CARD, precision_checks=checks)
    predictor = Predictor(classifier, NODULE, card, device="cpu", backend="torch")
    assert predictor.engine.precision == "float32"
    assert np.isfinite(predictor.score(studies[0].prepared.slices, study="a").probabilities).all()
    with pytest.raises(WeightsError, match="no number"):
        Predictor(classifier, NODULE, card, device="cpu", precision="bfloat16").score(
            studies[0].prepared.slices, study="a"
        )


def test_a_check_can_be_cancelled(studies: list[LabelledStudy], classifier: Classifier) -> None:
    with pytest.raises(CancelledError):
        answer_in_ways(classifier, NODULE, CARD, studies, device=CPU, cancelled=lambda: True)


def test_a_device_without_bfloat16_has_nothing_to_check(
    studies: list[LabelledStudy], classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "has_native_bfloat16", lambda device: False)
    assert answer_in_ways(classifier, NODULE, CARD, studies, device=CPU) is None


@pytest.fixture
def train(
    ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec, tmp_path: Path
) -> Callable[..., tuple[FinetuneResult, ModelStore, list[Progress]]]:
    def train(**config: Any) -> tuple[FinetuneResult, ModelStore, list[Progress]]:
        told: list[Progress] = []
        store = ModelStore(tmp_path / "models")
        result = finetune(
            ManifestSource(ball_manifest), NODULE, small_spec, replace(SHORT, **config), store=store,
            report=False, cache=ball_cache, device="cpu", progress=told.append,
        )  # fmt: skip
        return result, store, told

    return train


def test_a_training_writes_onto_the_card_what_was_measured(train: Any) -> None:
    result, store, _ = train()
    check = result.card.precision_checks[TORCH]
    assert (check.studies, check.studies_in_all, check.temperature) == (8, 8, result.card.temperature)
    assert store.card("nodule", "tiny").precision_checks[TORCH] == check


def test_what_bfloat16_moves_too_far_is_validated_again_as_it_will_be_served(
    train: Any, studies: list[LabelledStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Classifier] = []

    def moved(classifier: Classifier, *args: Any, **facts: Any) -> AnsweredInWays:
        published.append(classifier)
        return by_hand([[0.0], [0.0]], [[3.0], [0.0]], [1, 0])

    monkeypatch.setattr(precision_gate, "answer_in_ways", moved)
    result, store, told = train(precision="bfloat16")
    card = result.card
    assert not card.precision_checks[TORCH].passed
    assert any("So it is validated again in float32, in which it will be served" in p.note for p in told)
    record = ValidationRecord.read(store.place("nodule", "tiny", card.version))
    assert record is not None
    predictor = Predictor(published[0], NODULE, card, device="cpu", precision="float32")
    by_name = {study.study: study for study in studies}
    for each in record.validated:
        slices = by_name[each.seen.study].prepared.slices
        said = predictor.score(slices, study=each.seen.study).probabilities.max()
        assert each.probabilities["lung_nodule"] == pytest.approx(float(said), abs=1e-6)


def test_a_backend_that_breaks_costs_no_training(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **facts: Any) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(precision_gate, "answer_in_ways", broken)
    result, _, told = train(precision="bfloat16")
    assert result.card.precision_checks == {}
    # What was not checked is served in float32, and so are its figures.
    assert any("were not checked. So it is validated again in float32" in each.note for each in told)
    assert any("could not be checked: no such operation" in each.note for each in told)


@pytest.fixture
def published(tmp_path: Path, ball_manifest: Manifest) -> tuple[ModelStore, ModelCard, Path, PreparedStudies]:
    """A version of the tiny network, the record of its 4 validation studies, and where these are prepared."""
    spec, cache = get_model("tiny"), tmp_path / "cache"
    prepared = PreparedStudies(cache, NODULE.hu_window, pixels=spec.resize_px)
    taken = [row for row in ball_manifest.studies if row.split == "validation"][:4]
    labelled = [
        LabelledStudy(
            row.study, prepared.get(row.path), np.array([float(number % 2 == 0)]),
            np.zeros((20, 1), dtype=np.bool_), np.array([False]), row.patient or row.study,
        )
        for number, row in enumerate(taken)
    ]  # fmt: skip
    record = record_of(NODULE.findings, labelled, np.full((4, 1), 0.5), ())
    store = ModelStore(tmp_path / "models")
    classifier = new_classifier(spec, NODULE.findings, seed=3)
    card = store.publish(classifier, replace(CARD, clip_slices=16), beside=record.write)
    return store, card, cache, prepared


def test_a_published_version_is_measured_on_those_of_its_studies_that_are_still_prepared(
    published: Any,
) -> None:
    store, card, cache, _ = published
    assert settle_precision(card, CPU).to_tell
    checked = check_version(store, NODULE, "tiny", cache=cache, device="cpu")
    check = checked.checks[TORCH]
    assert (check.studies, checked.own) == (4, True)
    assert store.card("nodule", "tiny").precision_checks == {TORCH: check}
    assert 0 < check.largest_shift < 0.01
    store.load(NODULE, "tiny")  # it answers as before: nothing else of it has changed
    assert replace(store.card("nodule", "tiny"), precision_checks={}) == card


def test_on_the_command_line_it_is_measured_and_shown(published: Any, tmp_path: Path) -> None:
    store, _, cache, _ = published

    def vpt(*words: str) -> Result:
        return CliRunner().invoke(app, ["versions", *words, "--models-dir", str(store.root)])

    assert "not checked, so it answers in float32" in vpt("show", "nodule_tiny").stdout
    where = ("--cache", str(cache), "--device", "cpu")
    found = json.loads(vpt("check-precision", "nodule_tiny", "1", *where, "--json").stdout)
    assert (found["version"], found["own"], found["checks"][TORCH]["studies"]) == (1, True, 4)
    assert found["checks"][TORCH] == store.card("nodule", "tiny").to_json()["precision_checks"][TORCH]
    assert TORCH in vpt("show", "nodule_tiny").stdout
    failed = vpt("check-precision", "nodule_tiny", "--cache", str(tmp_path / "empty"), "--device", "cpu")
    assert failed.exit_code == 1
    assert "Name where its studies are" in failed.stderr


def test_of_a_source_only_the_version_s_own_studies_are_measured(
    published: Any, ball_manifest: Manifest, tmp_path: Path
) -> None:
    store, *_ = published
    checked = check_version(
        store, NODULE, "tiny", cache=tmp_path / "another", device="cpu", source=ManifestSource(ball_manifest)
    )
    assert (checked.checks[TORCH].studies, checked.own) == (4, True)


def test_of_validation_studies_that_are_no_longer_there_nothing_is_known(
    published: Any, ball_manifest: Manifest, tmp_path: Path
) -> None:
    store, *_ = published
    three = [row for row in ball_manifest.studies if row.split == "validation"][:3]
    source = ManifestSource(Manifest(tuple(three)))
    checked = check_version(store, NODULE, "tiny", cache=tmp_path / "x", device="cpu", source=source)
    check = checked.checks[TORCH]
    assert (check.studies, check.studies_in_all, check.passed) == (3, 4, False)
    assert settle_precision(checked.card, CPU).precision == "float32"


def test_a_version_from_elsewhere_is_checked_on_the_studies_that_a_person_names(
    published: Any, ball_manifest: Manifest, tmp_path: Path
) -> None:
    store, *_ = published
    theirs = ModelStore(tmp_path / "theirs")
    theirs.import_(store.export("nodule", "tiny", 1, tmp_path / "model.zip"))
    with pytest.raises(TrainingError, match="it was not trained here"):
        check_version(theirs, NODULE, "tiny", 1, cache=tmp_path / "x", device="cpu")
    source = ManifestSource(ball_manifest)
    checked = check_version(theirs, NODULE, "tiny", 1, cache=tmp_path / "x", device="cpu", source=source)
    check = theirs.card("nodule", "tiny", 1).precision_checks[TORCH]
    assert (check, check.own, check.studies) == (checked.checks[TORCH], False, check.studies_in_all)
    assert check.passed


def test_where_no_study_is_at_hand_the_way_out_is_told(published: Any, tmp_path: Path) -> None:
    store, *_ = published
    with pytest.raises(TrainingError, match="check-precision nodule_tiny 1 --studies SOURCE"):
        check_version(store, NODULE, "tiny", cache=tmp_path / "empty", device="cpu")


def test_on_a_device_without_bfloat16_nothing_is_measured(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, cache, _ = published
    monkeypatch.setattr(version_check, "has_native_bfloat16", lambda device: False)
    with pytest.raises(ConfigurationError, match="answer in float32 here"):
        check_version(store, NODULE, "tiny", cache=cache, device="cpu")


def test_checks_travel_with_a_version_and_survive_its_promotion(published: Any, tmp_path: Path) -> None:
    store, *_ = published
    store.keep_checks("nodule", "tiny", 1, {TORCH: CHECK})
    theirs = ModelStore(tmp_path / "theirs")
    there = theirs.import_(store.export("nodule", "tiny", 1, tmp_path / "model.zip"))
    assert there.precision_checks == {TORCH: CHECK}
    assert theirs.promote("nodule", "tiny", 1, why="good").precision_checks == {TORCH: CHECK}
    assert ModelStore(tmp_path / "adopted").adopt(store, store.card("nodule", "tiny")).precision_checks


def test_other_weights_under_the_same_card_have_not_been_measured(published: Any) -> None:
    store, *_ = published
    card = store.keep_checks("nodule", "tiny", 1, {TORCH: CHECK})
    other = new_classifier(get_model("tiny"), NODULE.findings, seed=4)
    assert store.publish(other, card).precision_checks == {}
    same = store.publish(new_classifier(get_model("tiny"), NODULE.findings, seed=3), card)
    assert same.precision_checks == {TORCH: CHECK}


def test_a_check_replaces_the_one_of_its_way_and_leaves_the_others(published: Any) -> None:
    store, *_ = published
    store.keep_checks("nodule", "tiny", 1, {TORCH: CHECK, "openvino bfloat16 on cpu": CHECK})
    worse = replace(CHECK, largest_shift=0.5)
    card = store.keep_checks("nodule", "tiny", 1, {TORCH: worse})
    assert card.precision_checks == {TORCH: worse, "openvino bfloat16 on cpu": CHECK}
