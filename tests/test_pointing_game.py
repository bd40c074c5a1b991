"""On phantoms the hottest voxel of a trained network's map lies on the nodule; a random network's does not.

The network is a small ``tiny``, trained by ``tests/pointing_network.py``. The long form, for other networks,
emboli and more phantoms, is ``benchmarks/pointing_game.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from pointing_network import SPEC, TASK, phantom, trained, untrained
from scipy.ndimage import distance_transform_edt

from vpt_plugin.data.phantom import Phantom
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier

# None of them was trained on.
HELD_OUT = range(1000, 1008)
TOLERANCE_MM = 10.0


@pytest.fixture(scope="module")
def held_out() -> list[Phantom]:
    return [phantom(seed) for seed in HELD_OUT]


def on_the_nodule(made: Phantom) -> np.ndarray:
    """The voxels within the tolerance of its nodule."""
    away = distance_transform_edt(~made.lesion_mask("nodule"), sampling=made.volume.spacing_mm)
    return np.asarray(away <= TOLERANCE_MM)


def hits(classifier: Classifier, studies: list[Phantom]) -> int:
    """In how many of them the hottest voxel lies on the nodule."""
    card = ModelCard(
        task=TASK.name, model="tiny", findings=TASK.findings, pretraining="none",
        clip_slices=SPEC.clip_slices, thresholds={TASK.findings[0]: 0.5},
    )  # fmt: skip
    predictor = Predictor(classifier, TASK, card, device="cpu", backend="torch", precision="float32")
    found = 0
    for study in studies:
        (heat,) = predictor.explain(study.volume)
        found += bool(on_the_nodule(study).flat[int(heat.values.argmax())])
    return found


def test_the_hottest_voxel_lies_on_the_nodule_and_by_chance_it_does_not(held_out: list[Phantom]) -> None:
    by_chance = np.mean([on_the_nodule(study).mean() for study in held_out])

    assert by_chance < 0.01
    assert hits(trained(), held_out) >= 5


def test_a_network_with_random_weights_points_elsewhere(held_out: list[Phantom]) -> None:
    assert hits(untrained(seed=1), held_out) <= 1
