"""The cold start: what tells studies apart before any head was trained.

Where published weights of the network are on this computer, that is its features. Else it is a few statistics
of the images. Features of a network with random weights were tried instead: of known kinds of examination of
phantoms a first batch of eight by them covers as many as chance does, and beside the statistics they drown
them. The statistics say how an examination was made, and nothing of who was examined: of kinds of anatomy a
batch by them covers as many as chance does (``benchmarks/cold_start.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.pool_reader import PoolStudy, StudyContent
from vpt_plugin.active.scorer import Scorer, way_of
from vpt_plugin.active.scores import ScoredBy, StudyScore
from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.inference.predictor import Predictor, require_slices
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.reading import reading_facts

# To be raised when the features of a cold start change; older ones are then computed again.
_FEATURES_VERSION = 2
# Noise is the same all over a study: so many slices, evenly spaced, tell it.
_SLICES_OF_NOISE = 32
# Of a slice without any noise, such as one that was drawn: its logarithm has to be a number.
_LEAST_NOISE = 0.1


def cold_start_scorer(
    task: ReadingTask,
    model: str,
    *,
    weights: WeightsFolder | None = None,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
) -> Scorer:
    """The scorer of a task without any trained head.

    Args:
        task: says how studies are read.
        model: the network that is meant to be trained.
        weights: where published weights lie; None takes the folder of this computer.
        device: as in ``choose_device``.
        backend: as of ``Predictor``.
        precision: as in ``settle_precision``, but ``auto`` is float32.

    Raises:
        UnknownModelError: no such network.
        ConfigurationError, DeviceMemoryError: as ``Predictor``.
        ChecksumError, WeightsLayoutError: the published weights are damaged.
    """
    spec, folder = get_model(model), weights or WeightsFolder()
    here = (name for name, sources in spec.weights.items() if any(map(folder.has, sources)))
    pretraining = next(here, "none")
    by = ScoredBy(
        task.name, model, 0, _fingerprint(task, spec, pretraining, folder), task.findings, pretraining
    )
    if pretraining == "none":
        return StatisticsScorer(by, task, spec)
    # Of LRCN the slices' network alone is published: what a recurrence that nobody trained makes of its
    # features would drown them.
    known = get_model(spec.weights[pretraining][0].model)
    classifier = new_classifier(known, task.findings, pretraining=pretraining, weights=folder)
    length = known.clip_numbers(task.clips).length
    card = ModelCard(task.name, known.name, task.findings, pretraining, clip_slices=length)
    # Published weights have no checks of their own, and nobody can make any: nobody trained their head.
    precision = "float32" if precision == "auto" else precision
    predictor = Predictor(
        classifier, task, card, device=device, backend=backend, precision=precision, many_studies=True
    )
    return BackboneScorer(replace(by, way=way_of(predictor)), predictor)


@dataclass(frozen=True)
class BackboneScorer:
    """The features of published weights; the head beside them, which nobody trained, is never asked.

    Attributes:
        by: the weights.
        predictor: computes the features.
    """

    by: ScoredBy
    predictor: Predictor

    @property
    def pixels(self) -> int:
        """Side of the slices that the network takes before the crop."""
        return self.predictor.spec.resize_px

    @property
    def warnings(self) -> tuple[str, ...]:
        """That no head is trained."""
        title = self.predictor.spec.title
        return (
            "no head is trained yet: studies are told apart by features that "
            f"{title} has from its pretraining ({self.by.pretraining})",
        )

    def score(self, study: PoolStudy, cancelled: Callable[[], bool]) -> StudyScore:
        """The score of a study, see ``Scorer``."""
        answers = self.predictor.score(study.content.slices, study=study.study, cancelled=cancelled)
        return _of_features(study, answers.features.mean(axis=0), len(answers.features))


@dataclass(frozen=True)
class StatisticsScorer:
    """``image_statistics`` alone; needs no network.

    Attributes:
        by: the statistics.
        task, spec: say how studies are read, and which are too short to be labelled for the network.
    """

    by: ScoredBy
    task: ReadingTask
    spec: ModelSpec

    @property
    def pixels(self) -> int:
        """Side of the slices that the network takes before the crop, for whose training copies are kept."""
        return self.spec.resize_px

    @property
    def warnings(self) -> tuple[str, ...]:
        """That no head is trained, and how to have better features."""
        sources = next(iter(self.spec.weights.values()), ())
        way = f"; `vpt weights fetch {sources[0].name}` brings better ones" if sources else ""
        return (
            "no head is trained yet and no published weights are on this computer: studies are told apart by "
            f"slice spacing, noise, and the shares of lung and of bone and contrast only{way}",
        )

    def score(self, study: PoolStudy, cancelled: Callable[[], bool]) -> StudyScore:
        """The score of a study, see ``Scorer``."""
        slices = len(study.content.slices)
        require_slices(study.study, slices, self.task, self.spec)
        numbers = self.spec.clip_numbers(self.task.clips)
        clips = len(clip_starts(slices, length=numbers.length, stride=numbers.stride))
        return _of_features(study, image_statistics(study.content), clips)


def image_statistics(content: StudyContent) -> NDArray[np.float32]:
    """How an examination was made, in four numbers: slice spacing, noise, contrast medium, lung.

    Logarithms of the slice spacing and of the noise, and the shares of voxels that are bright (bone, vessels
    with contrast medium) and lung. They were chosen on phantoms whose kinds differ in just these facts: how
    well they tell those kinds apart is no evidence for others; the 12 figures of ``StudyFacts`` did it less
    well: each number more that tells patients apart hides what tells examinations apart.
    """
    facts = content.facts
    return np.array(
        [
            np.log(facts.slice_spacing_mm),
            np.log(max(noise(content.slices), _LEAST_NOISE)),
            facts.bright_share,
            facts.lung_share,
        ],
        dtype=np.float32,
    )


def noise(slices: NDArray[np.uint8]) -> float:
    """Noise of the images, in steps of the HU window: the median of how far a pixel is from its neighbours.

    Of the absolute Laplacian, over pixels within the window; the median passes over the edges of organs. 0
    where no pixel is within it.

    Args:
        slices: (slices, rows, columns).
    """
    sample = slices[:: max(1, len(slices) // _SLICES_OF_NOISE)].astype(np.float32)
    middle = sample[:, 1:-1, 1:-1]
    around = sample[:, :-2, 1:-1] + sample[:, 2:, 1:-1] + sample[:, 1:-1, :-2] + sample[:, 1:-1, 2:]
    within = (middle > 0) & (middle < 255)
    return float(np.median(np.abs(4 * middle - around)[within])) if within.any() else 0.0


def _of_features(study: PoolStudy, features: NDArray[np.float32], clips: int) -> StudyScore:
    return StudyScore(
        study=study.study,
        identity=study.identity,
        embedding=features,
        key_embedding=features,
        clips=clips,
        study_date=study.study_date,
        synthetic=study.content.synthetic,
    )


def _fingerprint(task: ReadingTask, spec: ModelSpec, pretraining: str, weights: WeightsFolder) -> str:
    """SHA-256 over all that the features depend on: another one when any of it changes."""
    file = next((each for each in spec.weights.get(pretraining, ()) if weights.has(each)), None)
    digest = weights.verify(file) if file else ""
    parts = [_FEATURES_VERSION, spec.name, pretraining, digest, reading_facts(task, spec)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
