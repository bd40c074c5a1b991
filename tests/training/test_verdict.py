"""Whether a new version is served: by honest answers of both versions on the same studies, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from vpt_plugin.data.clip_dataset import CoveringClips, LabelledStudy, scale_clips
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import HeldOut, Outcome, measure
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource
from vpt_plugin.training.validation_record import ValidationRecord, record_of, scan_hash
from vpt_plugin.training.verdict import Judge

NODULE = TASKS["nodule"]
CPU = Placement(torch.device("cpu"), torch.float32)
Publish = Callable[..., ModelCard]
MakeJudge = Callable[..., Judge]


@pytest.fixture(scope="module")
def studies(ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec) -> list[LabelledStudy]:
    """20 studies, every second with a ball."""
    prepared = PreparedStudies(ball_cache, NODULE.hu_window, pixels=small_spec.resize_px)
    data = select_studies(
        ManifestSource(ball_manifest), NODULE, clip_shape(NODULE, small_spec), prepared, FinetuneConfig(),
        progress=lambda *_: None, cancelled=lambda: False,
    )  # fmt: skip
    return list(data.everything)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


@pytest.fixture
def publish(store: ModelStore, small_spec: ModelSpec) -> Publish:
    """Serves an untrained network; a test says what its card and its record hold."""

    def publish(record: ValidationRecord | None, **facts: Any) -> ModelCard:
        given = {"reading": reading_facts(NODULE, small_spec), "synthetic": True, "temperature": 2.0, **facts}
        card = ModelCard("nodule", "tiny", NODULE.findings, "none", 8, **given)
        classifier = new_classifier(small_spec, NODULE.findings, seed=5)
        return store.publish(classifier, card, beside=record.write if record else None)

    return publish


@pytest.fixture
def judge(store: ModelStore, small_spec: ModelSpec) -> MakeJudge:
    def make(**facts: Any) -> Judge:
        shape = clip_shape(NODULE, small_spec)
        return replace(Judge(store, NODULE, small_spec, shape, CPU, "better"), **facts)

    return make


def outcome_of(studies: Sequence[LabelledStudy], said: Sequence[float], spec: ModelSpec) -> Outcome:
    """As if a network had said so of every clip of each study."""
    logits = np.repeat(logit(np.array(said)), 3)[:, None]
    held_out = HeldOut.of(
        [(studies, logits, np.repeat(np.arange(len(studies)), 3))], clip_shape(NODULE, spec)
    )
    return measure(held_out, NODULE, threshold_rule="youden")


def right(studies: Sequence[LabelledStudy]) -> list[float]:
    """What the best network would say."""
    return [0.8 + 0.01 * n if study.states[0] else 0.2 + 0.01 * n for n, study in enumerate(studies)]


def wrong(studies: Sequence[LabelledStudy]) -> list[float]:
    return [1 - each for each in right(studies)]


def recorded(
    validated: Sequence[LabelledStudy], said: Sequence[float], trained_on: Sequence[LabelledStudy]
) -> ValidationRecord:
    return record_of(NODULE.findings, validated, np.array(said)[:, None], trained_on)


def test_the_first_version_is_served_unless_it_collapsed(
    studies: list[LabelledStudy], judge: MakeJudge, small_spec: ModelSpec
) -> None:
    first = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert (first.serve, first.instead_of, first.comparison) == (True, None, None)
    assert first.why == "Nothing was served yet, so this version is to be served."
    assert first.to_json() == {}
    collapsed = judge().decide(outcome_of(studies, [0.5] * len(studies), small_spec), synthetic=True)
    assert not collapsed.serve
    assert collapsed.why.startswith("The training collapsed, so this version is kept as a candidate")


def test_recorded_answers_are_taken_and_the_network_is_not_asked_again(
    studies: list[LabelledStudy],
    publish: Publish,
    judge: MakeJudge,
    small_spec: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With folds it was trained on all of them, but each was answered by a round that left it out.
    publish(recorded(studies, wrong(studies), trained_on=studies))
    monkeypatch.setattr(ModelStore, "classifier", lambda *_: pytest.fail("the network was asked"))
    better = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert better.comparison is not None
    assert (better.serve, better.instead_of) == (True, 1)
    assert (better.comparison.served.value, better.comparison.candidate.value) == (0.0, 1.0)
    assert better.comparison.gain.n == 20
    assert better.to_json()["with_version"] == 1
    assert better.to_json()["sentence"] == better.why


def test_a_worse_version_is_not_served_and_both_figures_are_told(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded(studies, right(studies), trained_on=[]))
    worse = judge().decide(outcome_of(studies, wrong(studies), small_spec), synthetic=True)
    assert not worse.serve
    assert "the new version has AUROC 0.000" in worse.why
    assert "the served one 1.000" in worse.why
    assert worse.why.endswith("It is not better, so the served version stays.")


def test_studies_and_patients_that_the_served_version_learned_from_are_left_out(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    # It learned from the first two, and from another study of the third one's patient.
    other = replace(studies[15], study="another", patient=studies[2].patient)
    learned = [*studies[:2], other]
    publish(recorded(studies[6:14], wrong(studies[6:14]), trained_on=learned))
    judged = studies[:14]
    verdict = judge().decide(outcome_of(judged, right(judged), small_spec), synthetic=True)
    assert verdict.comparison is not None
    # Of 14: without the three; eight are recorded, and three it answers now.
    assert verdict.comparison.gain.n == 11
    assert verdict.why.endswith("3 studies are left out, because the served version learned from them.")


def test_studies_that_are_new_to_the_served_version_are_answered_by_it_now(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded(studies[:4], wrong(studies[:4]), trained_on=[]))
    told: list[tuple[int, int]] = []
    decide = judge(told=lambda done, clips: told.append((done, clips))).decide
    verdict = decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    # By hand: the same clips through the same network, at its temperature.
    classifier = new_classifier(small_spec, NODULE.findings, seed=5).eval()
    said = list(wrong(studies[:4]))
    for study in studies[4:]:
        clips = torch.stack([c["image"] for c in CoveringClips([study], clip_shape(NODULE, small_spec))])
        with torch.no_grad():
            logits = classifier(scale_clips(clips, NODULE.offset)).numpy()
        said.append(float(expit(logits / 2.0).max()))
    present = [p for p, study in zip(said, studies, strict=True) if study.states[0] == 1]
    absent = [p for p, study in zip(said, studies, strict=True) if study.states[0] == 0]
    by_hand = np.mean([(p > a) + 0.5 * (p == a) for p in present for a in absent])
    assert verdict.comparison is not None
    assert verdict.comparison.served.value == pytest.approx(by_hand, abs=1e-12)
    assert told[-1] == (48, 48)


def test_a_version_of_which_nothing_is_recorded_is_asked_and_that_is_said(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(None)
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert verdict.comparison is not None
    assert verdict.comparison.gain.n == 20
    assert "What version 1 was trained on is not known here" in verdict.why


def test_where_the_record_is_not_complete_that_is_said_too(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded(studies, wrong(studies), trained_on=[]))
    assert (
        "not known here"
        not in judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True).why
    )
    publish(replace(recorded(studies, wrong(studies), trained_on=[]), complete=False))
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert "What version 2 was trained on is not known here" in verdict.why


def test_too_few_studies_that_neither_learned_from_decide_nothing(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    # Left are four: two with a ball.
    publish(recorded([], np.empty(0), trained_on=studies[4:]))
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert (verdict.serve, verdict.comparison) == (False, None)
    assert (
        "that neither was trained on, 2 with lung nodule and 2 without (16 were seen by the served version). "
        "It takes 3 of each, so label more studies. So version 1 stays" in verdict.why
    )
    assert "So version 1 stays, and the new one is kept as a candidate" in verdict.why
    assert verdict.to_json() == {"with_version": 1, "better": False, "sentence": verdict.why}


def test_a_served_version_that_learned_from_all_studies_is_told_with_the_way_out(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded([], np.empty(0), trained_on=studies))
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert (verdict.serve, verdict.comparison) == (False, None)
    assert (
        "no validation study is left that the served version has not learned from: it was trained on all "
        f"{len(studies)}. Label studies of new patients, or lock a test set (vpt split lock)" in verdict.why
    )
    assert "as a candidate, which a person may promote" in verdict.why


def test_versions_that_read_studies_in_another_way_are_not_compared(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    facts = reading_facts(NODULE, small_spec) | {"hu_window": {"centre": 40, "width": 400}}
    publish(recorded(studies, wrong(studies), trained_on=[]), reading=facts)
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert not verdict.serve
    assert "reads studies in another way: HU window 40/400, the task has -600/1500" in verdict.why


def test_a_model_of_phantoms_never_takes_the_place_of_one_of_patients(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded(studies, wrong(studies), trained_on=[]), synthetic=False)
    outcome = outcome_of(studies, right(studies), small_spec)
    verdict = judge().decide(outcome, synthetic=True)
    assert not verdict.serve
    assert "was trained on patients, the new one on phantoms" in verdict.why
    assert judge().decide(outcome, synthetic=False).serve


def test_a_collapsed_training_is_not_served_even_where_the_served_one_is_worse(
    studies: list[LabelledStudy], publish: Publish, judge: MakeJudge, small_spec: ModelSpec
) -> None:
    publish(recorded(studies, wrong(studies), trained_on=[]))
    verdict = judge().decide(outcome_of(studies, [0.5] * 20, small_spec), synthetic=True)
    assert not verdict.serve
    assert "But the training collapsed" in verdict.why
    assert verdict.comparison is not None
    assert (verdict.comparison.better, verdict.to_json()["better"]) == (True, False)


@pytest.mark.parametrize("damaged", ["served.json", "v0001/card.json", "v0001/validation.json"])
def test_what_is_served_stays_where_it_is_damaged(
    studies: list[LabelledStudy],
    publish: Publish,
    judge: MakeJudge,
    small_spec: ModelSpec,
    store: ModelStore,
    damaged: str,
) -> None:
    publish(recorded(studies, wrong(studies), trained_on=[]))
    (store.root / "nodule_tiny" / damaged).write_text("{")
    verdict = judge().decide(outcome_of(studies, right(studies), small_spec), synthetic=True)
    assert not verdict.serve
    assert damaged.split("/")[-1] in verdict.why
    assert "what is served stays" in verdict.why


def test_a_record_reads_as_it_was_written_and_leaves_unknown_states_open(
    studies: list[LabelledStudy], tmp_path: Path
) -> None:
    unknown = replace(studies[0], states=np.array([np.nan]))
    record = recorded([unknown, *studies[1:3]], [0.1, 0.25, 0.3], trained_on=studies[3:])
    record.write(tmp_path)
    again = ValidationRecord.read(tmp_path)
    assert again is not None
    assert np.isnan(again.validated[0].states["lung_nodule"])
    assert again.to_json() == record.to_json()
    assert [each["states"] for each in record.to_json()["studies"]] == [
        {"lung_nodule": None}, {"lung_nodule": "absent"}, {"lung_nodule": "present"},
    ]  # fmt: skip
    assert ValidationRecord.read(tmp_path / "nowhere") is None
    assert studies[0].patient not in (tmp_path / "validation.json").read_text()


def test_a_scan_is_known_again_on_a_computer_that_rounds_otherwise(studies: list[LabelledStudy]) -> None:
    first, second = studies[0].prepared, studies[1].prepared
    facts = replace(first.facts, mean_hu=np.nextafter(first.facts.mean_hu, 0), sd_hu=first.facts.sd_hu + 1e-9)
    elsewhere = replace(first, slice_z_mm=first.slice_z_mm - 1e-6, facts=facts, file=Path("elsewhere"))
    assert scan_hash(elsewhere) == scan_hash(first) != scan_hash(second)
