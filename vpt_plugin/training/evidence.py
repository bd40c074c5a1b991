"""What a network is measured for so that its answers can say whether a study is like those it knows.

These are the features of the studies that it was trained on and validated on; see
``vpt_plugin.inference.typicality``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.splits import hash_order
from vpt_plugin.errors import CancelledError, VptError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.typicality import (
    LEAST_STUDIES,
    FeatureReference,
    fit_reference,
    fit_reference_crosswise,
    study_features,
)
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.precision import FULL
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.training_data import TrainingData

# Of more studies the directions in which they differ hardly change.
_MOST_STUDIES = 400
# At most so long at the end of a training, as for the precision.
SECONDS_AT_PUBLICATION = 600.0
# Hours of training are not lost over a distance, whatever comes of reading the prepared studies again, of the
# network, the memory or the linear algebra (numpy's LinAlgError is a ValueError).
_MAY_FAIL = (VptError, RuntimeError, OSError, EOFError, ValueError, MemoryError)
_logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Cancelled = Callable[[], bool]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class FeatureSides:
    """The studies whose features are looked at: of each patient one.

    Attributes:
        trained: the network learned from these.
        held_out: it did not learn from these; empty with folds.
        folds: whether it learned from all studies there are.
    """

    trained: Sequence[LabelledStudy]
    held_out: Sequence[LabelledStudy]
    folds: bool = False

    @property
    def least(self) -> int:
        """So many patients of either it takes for a distance to mean anything."""
        return 2 * LEAST_STUDIES if self.folds else LEAST_STUDIES

    @property
    def suffice(self) -> bool:
        """Whether there are as many."""
        sides = [self.trained] if self.folds else [self.trained, self.held_out]
        return min(map(_patients, sides)) >= self.least

    def why_not(self) -> str:
        """One sentence for a person where they do not suffice."""
        told = f"{_patients(self.trained)} training and {_patients(self.held_out)} validation patients"
        least = f"{self.least} of each"
        if self.folds:
            told, least = f"{_patients(self.trained)} patients", str(self.least)
        return (
            "Whether a study is like those that it was trained on cannot be measured: there were "
            f"{told}, and it takes {least}."
        )


def measure_reference(
    classifier: Classifier,
    task: ReadingTask,
    card: ModelCard,
    sides: FeatureSides,
    *,
    device: torch.device,
    most_seconds: float = SECONDS_AT_PUBLICATION,
    told: Told = lambda done, studies: None,
    cancelled: Cancelled = lambda: False,
) -> FeatureReference | None:
    """What the features of a network's studies are like; None where there are too few of them.

    They are computed by the engine that serves, in float32 by torch, of all clips of the task's stride.

    Args:
        classifier: is left as it is.
        task: that it reads for.
        card: of the classifier.
        sides: the studies, prepared for its task and network.
        device: to compute on.
        most_seconds: no further study is begun after that, unless there are too few yet.
        told: of the studies done and the studies in all.
        cancelled: asked before every batch of clips.

    Raises:
        CancelledError: ``cancelled`` said so.
        WeightsError, DeviceMemoryError: as of ``Predictor.score``.
    """
    if not sides.suffice:
        return None
    predictor = Predictor(classifier, task, card, device=str(device), precision=FULL, backend="torch")
    held_out, trained = _chosen(sides.held_out), _chosen(sides.trained)
    now, in_all = time.monotonic(), len(held_out) + len(trained)

    def features(studies: Sequence[LabelledStudy], done: int, until: float) -> list[Floats]:
        return _features(
            predictor, studies, sides.least, until, lambda more: told(done + more, in_all), cancelled
        )

    validated = features(held_out, 0, now + most_seconds / 2)
    learned = np.stack(features(trained, len(held_out), now + most_seconds))
    if sides.folds:
        return fit_reference_crosswise(learned)
    return fit_reference(learned, np.stack(validated))


def reference_of(
    rounds: Rounds, data: TrainingData, classifier: Classifier, *, told: Told, note: Callable[[str], None]
) -> FeatureReference | None:
    """What the features of a training's studies are like; None of too few, and, with a note, where it fails.

    Args:
        rounds: of the training.
        data: what it was trained on.
        classifier: what came of it.
        told: of the studies done and the studies in all.
        note: takes what a person should know.

    Raises:
        CancelledError: the training was cancelled.
    """
    folds = bool(data.folds)
    sides = FeatureSides(data.trained_on, () if folds else data.rounds[0].validation, folds=folds)
    try:
        return measure_reference(
            classifier, rounds.task, rounds.blank_card(), sides,
            device=rounds.placement.device, told=told, cancelled=rounds.observer.cancelled,
        )  # fmt: skip
    except CancelledError:
        raise
    except _MAY_FAIL as error:
        _logger.warning("the features of the training studies could not be measured", exc_info=error)
        name = f"{rounds.task.name}_{rounds.spec.name}"
        note(
            "what the studies of this version are like could not be measured "
            f"({type(error).__name__}: {error}). It is published without; measure it later: vpt versions "
            f"check-evidence {name} VERSION"
        )
        return None


def _chosen(studies: Sequence[LabelledStudy]) -> list[LabelledStudy]:
    """So many of them, one per patient, by their hash: the same every time, and in no telling order.

    Two studies of one patient are alike. Where one made the Gaussian and the other is measured from it, the
    threshold is that of known patients, and every new one is called unlike them.
    """
    by_name = {study.study: study for study in studies}
    of_patient: dict[str, LabelledStudy] = {}
    for name in hash_order(list(by_name)):
        of_patient.setdefault(by_name[name].patient, by_name[name])
    return list(of_patient.values())[:_MOST_STUDIES]


def _patients(studies: Sequence[LabelledStudy]) -> int:
    return len({study.patient for study in studies})


def _features(
    predictor: Predictor,
    studies: Sequence[LabelledStudy],
    least: int,
    until: float,
    told: Callable[[int], None],
    cancelled: Cancelled,
) -> list[Floats]:
    """Of the studies in turn, until the clock says so; at least of the ``least``."""
    found: list[Floats] = []
    for study in studies:
        if len(found) >= least and time.monotonic() >= until:
            break
        said = predictor.score(study.prepared.slices, study=study.study, cancelled=cancelled)
        found.append(study_features(said.features))
        told(len(found))
    return found
