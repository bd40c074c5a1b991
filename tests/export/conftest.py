"""Networks to export: real ones with random weights, for clips so small that writing them is all it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from vpt_plugin.export.facts import Exported
from vpt_plugin.export.network import clips_to_try
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS, ClipRule

NODULE = replace(TASKS["nodule"], clips=ClipRule(length_slices=8))
Made = Callable[[str], tuple[Classifier, Exported]]


@pytest.fixture(scope="session")
def exported_of() -> Made:
    """A network whose logits are about 1, and what is known about it; made once, so leave it as it is."""

    @cache
    def made(model: str) -> tuple[Classifier, Exported]:
        spec = replace(MODELS[model], resize_px=72, crop_px=64)
        classifier = new_classifier(spec, NODULE.findings, seed=3).eval().requires_grad_(False)
        card = ModelCard(
            "nodule", model, NODULE.findings, "none", 8, version=2, trained_on=12,
            temperature=1.7, thresholds={"lung_nodule": 0.47},
            validation_auroc={"lung_nodule": Estimate(0.9, (0.8, 1.0), 8)},
        )  # fmt: skip
        exported = Exported(NODULE, spec, card)
        largest = classifier(clips_to_try(exported, 3)).abs().max()
        for entry in classifier.head.parameters():
            entry.div_(largest)
        return classifier, exported

    return made
