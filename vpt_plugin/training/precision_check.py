"""How far reduced precision moves a version's answers, measured on the studies it was validated on.

The studies are answered by the very engines that will serve the version: in float32 by torch, and in bfloat16
by every backend that this computer has. ``vpt_plugin.models.precision`` decides what comes of it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from vpt_plugin.ct.aggregation import study_probability
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.splits import hash_order
from vpt_plugin.errors import CancelledError, VptError, WeightsError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.engines.choose import expected_backend
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import has_native_bfloat16
from vpt_plugin.models.precision import FULL, REDUCED, computed_with, way_of_computing
from vpt_plugin.models.precision_record import ComputedWith, PrecisionCheck
from vpt_plugin.models.spec import ModelSpec
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.metrics import auroc

Floats = NDArray[np.float64]
# At most so long at the end of a training; one on the CPU took hours.
SECONDS_AT_PUBLICATION = 600.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnsweredInWays:
    """What a classifier says of the clips of some studies, in float32 and in other ways of computing.

    Attributes:
        states: (studies, findings), 1 present, 0 absent, nan not known.
        studies_in_all: how many there would have been to answer.
        aggregation: the task's.
        full: per study the logits (clips, findings) in float32.
        reduced: the same by way of computing; nan where an answer is no number.
        computed_with: the backend and processor of each way.
        own: whether they are validation studies of the version.
    """

    states: Floats
    studies_in_all: int
    aggregation: str
    full: Sequence[Floats]
    reduced: Mapping[str, Sequence[Floats]]
    computed_with: Mapping[str, ComputedWith]
    own: bool = True

    def checks(self, findings: Sequence[str], temperature: float) -> dict[str, PrecisionCheck]:
        """How far each way moves the answers at this temperature, by its name."""
        expected = self._probabilities(self.full, temperature)
        return {
            way: replace(
                self._check(findings, temperature, expected, self._probabilities(said, temperature)),
                computed_with=self.computed_with[way],
            )
            for way, said in self.reduced.items()
        }

    def _probabilities(self, said: Sequence[Floats], temperature: float) -> Floats:
        """(studies, findings), calibrated, of whole studies."""
        return np.stack([study_probability(expit(each / temperature), self.aggregation) for each in said])

    def _check(
        self, findings: Sequence[str], temperature: float, expected: Floats, found: Floats
    ) -> PrecisionCheck:
        return PrecisionCheck(
            studies=len(expected),
            studies_in_all=self.studies_in_all,
            largest_shift=float(np.abs(found - expected).max()),
            auroc_shift={
                name: self._auroc_shift(index, expected, found) for index, name in enumerate(findings)
            },
            temperature=temperature,
            date=now(),
            own=self.own,
        )

    def _auroc_shift(self, finding: int, expected: Floats, found: Floats) -> float:
        rows = ~np.isnan(self.states[:, finding])
        if not np.isfinite(found[rows, finding]).all():
            return math.nan
        states = self.states[rows, finding]
        return abs(auroc(states, found[rows, finding]) - auroc(states, expected[rows, finding]))


def answer_in_ways(
    classifier: Classifier,
    task: ReadingTask,
    card: ModelCard,
    studies: Sequence[LabelledStudy],
    *,
    device: torch.device,
    most_seconds: float = math.inf,
    told: Callable[[int, int], None] = lambda done, studies: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> AnsweredInWays | None:
    """What a classifier says of prepared studies in float32, and in bfloat16 by every backend there is.

    Where not all of them can be answered in time, those are that come first when each state takes its turn.

    Args:
        classifier: is left as it is.
        task: that it reads for.
        card: of the classifier.
        studies: prepared for its task and network.
        device: to compute on.
        most_seconds: no further study is begun after that.
        told: of the studies done and the studies in all.
        cancelled: asked before every batch of clips.

    Returns:
        None where the device has no bfloat16, or nothing can be answered: then there is nothing to check.

    Raises:
        CancelledError: ``cancelled`` said so.
    """
    backends = _backends(classifier.spec, device)
    if not studies or not backends:
        return None
    until = time.monotonic() + most_seconds
    with TemporaryDirectory(prefix="vptct-") as folder:
        # What is compiled is kept for a version only, which this is not before it is published.
        make = _Predictors(classifier, task, card, device, None if card.weights_sha256 else Path(folder))
        plain = make.predictor("torch", FULL)
        others = {
            way_of_computing(backend, device): made
            for backend in backends
            if (made := make.predictor(backend, REDUCED)) is not None
        }
        if plain is None or not others:
            return None
        return _answered(plain, others, studies, until, told, cancelled)


def _answered(
    plain: Predictor,
    others: Mapping[str, Predictor],
    studies: Sequence[LabelledStudy],
    until: float,
    told: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> AnsweredInWays:
    """The answers to the studies in turn, until the clock says so; at least to one."""
    full: list[Floats] = []
    reduced: dict[str, list[Floats]] = {way: [] for way in others}
    asked = in_turns(studies)
    for study in asked:
        full.append(_logits(plain, study, cancelled))
        for way, predictor in others.items():
            reduced[way].append(_logits(predictor, study, cancelled))
        told(len(full), len(asked))
        if time.monotonic() >= until:
            break
    states = np.stack([study.states for study in asked[: len(full)]])
    with_what = {way: computed_with(each.engine.name, each.device) for way, each in others.items()}
    return AnsweredInWays(states, len(asked), plain.task.aggregation, full, reduced, with_what)


def in_turns(studies: Sequence[LabelledStudy]) -> list[LabelledStudy]:
    """All studies, those of each state in turn; within a state by their hash, so the same every time."""
    order = {name: place for place, name in enumerate(hash_order([study.study for study in studies]))}
    by_states: dict[tuple[str, ...], list[LabelledStudy]] = {}
    for study in sorted(studies, key=lambda study: order[study.study]):
        by_states.setdefault(tuple(map(str, study.states)), []).append(study)
    rounds: Iterable[tuple[LabelledStudy | None, ...]] = zip_longest(*by_states.values())
    return [study for each in rounds for study in each if study is not None]


@dataclass(frozen=True)
class _Predictors:
    """Makes predictors of one classifier, whose probabilities are those before calibration."""

    classifier: Classifier
    task: ReadingTask
    card: ModelCard
    device: torch.device
    cache: Path | None

    def predictor(self, backend: str, precision: str) -> Predictor | None:
        """None where this backend cannot answer in this precision here, which is told in the log."""
        what = f"{self.card.task}_{self.card.model} is not checked with {backend} in {precision}"
        try:
            made = Predictor(
                self.classifier, self.task, replace(self.card, temperature=1.0),
                device=str(self.device), precision=precision, backend=backend, cache=self.cache,
            )  # fmt: skip
        except VptError as error:
            _logger.warning("%s: %s", what, error)
            return None
        if (made.engine.name, made.engine.precision) != (backend, precision):
            _logger.warning("%s: %s", what, "; ".join(made.engine.notes) or "it answers in another way")
            return None
        return made


def _backends(spec: ModelSpec, device: torch.device) -> list[str]:
    """Those that may answer in bfloat16 on this device; torch always, because it may have validated in it."""
    if not has_native_bfloat16(device):
        return []
    return list(dict.fromkeys(("torch", expected_backend(spec, device.type))))


def _logits(predictor: Predictor, study: LabelledStudy, cancelled: Callable[[], bool]) -> Floats:
    """(clips, findings) of all clips of a study; one row of nan where an answer is no number."""
    try:
        said = predictor.score(study.prepared.slices, study=study.study, cancelled=cancelled)
    except CancelledError:
        raise
    except WeightsError as error:
        _logger.warning("%s: %s", study.study, error)
        return np.full((1, len(predictor.task.findings)), math.nan)
    # Beyond a logit of 36 a probability is 0 or 1 to the last digit, and its logit infinite: it stays so.
    return np.asarray(logit(said.probabilities))
