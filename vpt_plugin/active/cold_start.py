"""The cold start: what tells studies apart before any head was trained."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.pool_reader import StudyContent
from vpt_plugin.active.scorer import Scorer
from vpt_plugin.active.scores import ScoredBy
from vpt_plugin.inference.predictor import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.reading import reading_facts

# To be raised when the features of a cold start change; older ones are then computed again.
_FEATURES_VERSION = 1
_SEED = 0
# Along a study, down and across its slices: coarse enough that a patient's position matters little.
_CELLS = 4
_INTENSITY_BINS = 16


def cold_start_scorer(
    task: ReadingTask, model: str, *, weights: WeightsFolder | None = None, device: str = "auto"
) -> Scorer:
    """The scorer of a task without any trained head.

    Where published weights of the network are on this computer, its features are used. Else those of a small
    network with random weights, which respond to edges and textures but know nothing: what tells studies
    apart then are above all the image statistics beside them, and the warnings say so.

    Args:
        task: says how studies are read.
        model: the network that is meant to be trained.
        weights: where published weights lie; None takes the folder of this computer.
        device: as in ``choose_device``.

    Raises:
        UnknownModelError: no such network.
        ConfigurationError, DeviceMemoryError: as ``Predictor``.
        ChecksumError, WeightsLayoutError: the published weights are damaged.
    """
    wanted = get_model(model)
    folder = weights or WeightsFolder()
    pretraining = _pretraining_here(wanted, folder)
    spec = wanted if pretraining != "none" else get_model("tiny")
    classifier = new_classifier(spec, task.findings, pretraining=pretraining, weights=folder, seed=_SEED)
    card = ModelCard(
        task=task.name,
        model=spec.name,
        findings=task.findings,
        pretraining=pretraining,
        clip_slices=task.clips.length(spec.clip_slices),
    )
    by = ScoredBy(
        task.name, model, 0, _fingerprint(task, spec, pretraining, folder), task.findings, pretraining
    )
    predictor = Predictor(classifier, task, card, device=device)
    return Scorer(by, predictor, (_sentence(wanted, pretraining),), image_statistics)


def image_statistics(content: StudyContent) -> NDArray[np.float32]:
    """A study in a few numbers that need no network.

    The figures of ``StudyFacts`` (spacing, extent, attenuation, share of lung, bone and contrast), how often
    each brightness is in the HU window, and the study shrunk to 4 x 4 x 4 cells.
    """
    histogram, _ = np.histogram(content.slices, bins=_INTENSITY_BINS, range=(0, 256))
    return np.concatenate(
        [
            list(content.facts.as_dict().values()),
            histogram / content.slices.size,
            _shrunk(content.slices).ravel(),
        ]
    ).astype(np.float32)


def _shrunk(slices: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean brightness in 4 x 4 x 4 cells, from 0 to 1."""
    parts = np.array_split(np.arange(len(slices)), _CELLS)
    means = [slices[part].mean(axis=0) if len(part) else np.zeros(slices.shape[1:]) for part in parts]
    return (
        np.stack([cv2.resize(each, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA) for each in means]) / 255
    )


def _pretraining_here(spec: ModelSpec, weights: WeightsFolder) -> str:
    """The first pretraining of the network whose published weights are on this computer; ``none`` else."""
    here = (name for name, sources in spec.weights.items() if any(map(weights.has, sources)))
    return next(here, "none")


def _sentence(wanted: ModelSpec, pretraining: str) -> str:
    if pretraining != "none":
        return (
            f"no head is trained yet: studies are told apart by what {wanted.title} learned from "
            f"{pretraining} videos, and by image statistics"
        )
    way = f"; `vpt weights fetch {wanted.name}` brings better features here" if wanted.weights else ""
    return (
        "no head is trained yet and no published weights are on this computer: studies are told apart by "
        f"image statistics and a network that was never trained{way}"
    )


def _fingerprint(task: ReadingTask, spec: ModelSpec, pretraining: str, weights: WeightsFolder) -> str:
    """SHA-256 over all that the features depend on: another one when any of it changes."""
    files = [weights.verify(each) for each in spec.weights.get(pretraining, ()) if weights.has(each)]
    parts = [_FEATURES_VERSION, _SEED, spec.name, pretraining, files[:1], reading_facts(task, spec)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
