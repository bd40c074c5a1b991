"""The copy that torch answers with: in what batches it is warmed up, and what it does without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from vpt_plugin.inference.batch_size import BatchSize
from vpt_plugin.inference.engines import make_engine
from vpt_plugin.inference.engines.torch_ready import made_ready
from vpt_plugin.models import folding
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.onednn import FusedConvolution, PackedLinear
from vpt_plugin.tasks import TASKS

TASK = TASKS["nodule"]


def test_single_slices_are_warmed_up_in_the_batches_that_they_are_asked_in() -> None:
    spec = replace(MODELS["resnet18_2d"], resize_px=64, crop_px=64)
    card = ModelCard(TASK.name, spec.name, TASK.findings, "none", spec.clip_slices)
    classifier = new_classifier(spec, TASK.findings, seed=3).eval()
    engine: Any = make_engine(classifier, TASK, card, device="cpu", precision="float32", backend="torch")
    shapes, features = [], engine._classifier.features

    def seen(clips: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(clips.shape))
        said: torch.Tensor = features(clips)
        return said

    engine._classifier.features = seen
    engine.warm_up()
    study = torch.zeros(20, 64, 64, dtype=torch.uint8)
    engine.answer(study, range(BatchSize(engine.device, single_slices=True).clips))
    assert shapes == [(16, 1, 1, 64, 64)] * 2


def refuses(*_given: Any, **_settings: Any) -> Any:
    raise RuntimeError("could not create a primitive")


def doubles(linear: Any, vectors: torch.Tensor) -> torch.Tensor:
    return 2 * vectors @ linear.weight.T


@pytest.mark.parametrize(
    ("happens", "said"), [(refuses, "fail here (could not"), (doubles, "change features")]
)
@pytest.mark.parametrize("name", ["swin_t", "mvit_b"])
def test_where_onednn_s_layers_raise_or_differ_the_plain_ones_answer_and_it_is_said(
    name: str,
    happens: Any,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(folding, "can_pack", lambda: True)
    monkeypatch.setattr(PackedLinear, "forward", happens)
    classifier = new_classifier(MODELS[name], TASK.findings, seed=3)
    ready = made_ready(classifier, torch.device("cpu"), torch.bfloat16)
    assert not [each for each in ready.modules() if isinstance(each, (PackedLinear, FusedConvolution))]
    assert f"{name}: the operators of oneDNN {said}" in caplog.text
