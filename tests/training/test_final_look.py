"""The network that folds publish is asked whether it tells its own studies apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.final_look import few_of_each_state, look_at_final
from vpt_plugin.training.finetune import clip_shape, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import HeldOut, Outcome, measure
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.selection import select_studies
from vpt_plugin.training.sources import ManifestSource

NODULE = TASKS["nodule"]
CPU = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def studies(ball_manifest: Manifest, ball_cache: Path, small_spec: ModelSpec) -> list[LabelledStudy]:
    """20 studies, every second with a ball."""
    data = select_studies(
        ManifestSource(ball_manifest), NODULE, clip_shape(NODULE, small_spec),
        PreparedStudies(ball_cache, NODULE.hu_window, pixels=small_spec.resize_px), FinetuneConfig(),
        progress=lambda *_: None, cancelled=lambda: False,
    )  # fmt: skip
    return list(data.everything)


def constant(classifier: Classifier) -> Classifier:
    """The same network; whatever it is shown, its logits are 0."""
    with torch.no_grad():
        for parameter in list(classifier.parameters())[-2:]:
            parameter.zero_()
    return classifier


def good_folds(studies: list[LabelledStudy], spec: ModelSpec) -> Outcome:
    logits = np.array([[study.states[0] * 4 - 2 + 0.1 * n] for n, study in enumerate(studies)])
    parts = [(studies, np.repeat(logits, 3, axis=0), np.repeat(np.arange(len(studies)), 3))]
    return measure(HeldOut.of(parts, clip_shape(NODULE, spec)), NODULE, threshold_rule="youden")


def test_a_network_that_gives_its_own_studies_one_answer_has_collapsed(
    studies: list[LabelledStudy], small_spec: ModelSpec
) -> None:
    outcome, shape = good_folds(studies, small_spec), clip_shape(NODULE, small_spec)
    assert not outcome.collapsed
    fresh = new_classifier(small_spec, NODULE.findings, seed=5)
    assert look_at_final(outcome, fresh, studies, shape, task=NODULE, placement=CPU) is outcome
    looked = look_at_final(outcome, constant(fresh), studies, shape, task=NODULE, placement=CPU)
    assert looked.collapsed
    assert looked.warnings[0].startswith(
        "The training has collapsed: the network trained on all studies after the folds gives lung nodule "
        "nearly the same probability in 20 studies that it learned from (0.5000 to 0.5000)."
    )
    assert looked.metrics == outcome.metrics


def test_at_most_ten_studies_of_a_state_are_asked_about_always_the_same(
    studies: list[LabelledStudy],
) -> None:
    many = [replace(study, study=f"{copy}-{study.study}") for copy in range(3) for study in studies]
    few = few_of_each_state(many)
    assert [sum(study.states[0] == state for study in few) for state in (1, 0)] == [10, 10]
    assert {study.study for study in few_of_each_state(many[::-1])} == {study.study for study in few}


def test_with_folds_a_final_training_that_collapsed_is_kept_as_a_candidate(
    ball_manifest: Manifest,
    ball_cache: Path,
    small_spec: ModelSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    final = Rounds.final

    def collapsing(*args: object, **facts: object) -> tuple[Classifier, tuple[float, ...]]:
        classifier, losses = final(*args, **facts)  # type: ignore[arg-type]
        return constant(classifier), losses

    monkeypatch.setattr(Rounds, "final", collapsing)
    result = finetune(
        ManifestSource(Manifest(tuple(replace(study, split="") for study in ball_manifest.studies))),
        NODULE, small_spec, FinetuneConfig(epochs=1, steps_per_epoch=2, batch=4, folds=2),
        store=ModelStore(tmp_path), cache=ball_cache, device="cpu", report=False,
    )  # fmt: skip
    assert not result.served
    assert "after the folds" in result.warnings[0]
    assert result.decision.startswith("The training collapsed, so this version is kept as a candidate")
