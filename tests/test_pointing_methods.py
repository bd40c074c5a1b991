"""The methods that the pointing game compares: Grad-CAM as MONAI has it, and products of maps."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from torch import nn

from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.heat.watch import family_of
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NODULE = TASKS["nodule"]


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``benchmarks/pointing_methods.py``."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("pointing_methods")


def lively() -> Classifier:
    """`tiny` whose norms let everything through, so that every cell says something."""
    classifier = new_classifier(MODELS["tiny"], NODULE.findings, seed=7)
    with torch.no_grad():
        for module in classifier.modules():
            if isinstance(module, (nn.BatchNorm3d, nn.GroupNorm)):
                module.weight.fill_(0.5)
    return classifier.eval().requires_grad_(False)


def test_grad_cam_is_that_of_monai(methods: Any) -> None:
    classifier, clip = lively(), torch.rand(1, 1, 16, 64, 64, generator=torch.Generator().manual_seed(1))
    with family_of(classifier).watch(classifier, 1) as watched:
        (gradients,) = watched.gradients(classifier(clip)[:, 0].sum())
        (values,) = watched.values()
    ours = methods.GRAD_CAM.rule(values, gradients)
    taught = new_classifier(MODELS["tiny"], NODULE.findings)
    taught.load_state_dict(classifier.state_dict())
    theirs = GradCAM(taught.eval(), "backbone.network.blocks.2").compute_map(clip, class_idx=0)
    assert torch.allclose(ours.relu(), theirs[:, 0].detach(), atol=1e-7)
    assert theirs.any()


def test_a_product_is_hottest_where_its_maps_are_hot_together(methods: Any) -> None:
    hu = np.random.default_rng(0).normal(-400, 300, (16, 40, 40)).astype(np.int16)
    volume = Volume(hu, (2.0, 8.0, 8.0), (5.0, -6.0, 7.0), np.eye(3)[:, ::-1].copy(), "made up")
    card = ModelCard("nodule", "tiny", NODULE.findings, "none", 16)
    predictor = Predictor(lively(), NODULE, card, device="cpu", backend="torch", precision="float32")
    both = next(each for each in methods.COMPARED if [one.stage for one in each] == [1, 2])
    one, other = (predictor.explain(volume, method=method)[0].values.astype(int) for method in both)
    way = methods.Way(predictor, both)
    assert way.hottest(volume) == np.unravel_index((one * other).argmax(), hu.shape)
    assert str(way) == "HiResCAM 1 x HiResCAM 2"
    # Of one map it is the place that is told.
    (heat,) = predictor.explain(volume)
    assert heat.values[methods.Way(predictor).hottest(volume)] == heat.values.max() > 0
