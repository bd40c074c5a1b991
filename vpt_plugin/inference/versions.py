"""Whether other versions of a model say the same of a study.

A deep ensemble (Lakshminarayanan et al., NeurIPS 2017) trains several networks and takes their spread for
what one of them cannot know of itself. A site that trains again and again as labels come in has such networks
already: the kept versions. They are no independent draws, for each saw most of the labels that the one
before it saw. So what they disagree about is doubtful, but that they agree proves little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import (
    BackendDisagreesError,
    DeviceMemoryError,
    NotTrainedError,
    VptError,
    WeightsError,
)
from vpt_plugin.inference.fitness import WARN
from vpt_plugin.inference.prediction import Prediction, VersionAnswer
from vpt_plugin.inference.predictor import Predictor

# What is wrong with one version, or there is no room for it; the served version's answer stands without it.
_LEFT_OUT = (WeightsError, NotTrainedError, DeviceMemoryError, BackendDisagreesError, OSError)


@dataclass(frozen=True)
class OtherVersion:
    """Another version that can be asked.

    Attributes:
        version: its number.
        load: makes its predictor when it is its turn; may raise what is wrong with it.
    """

    version: int
    load: Callable[[], Predictor]


def ask_versions(
    prediction: Prediction,
    others: Iterable[OtherVersion],
    study: Volume | ReducedStudy,
    *,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction:
    """The answer with what other versions say of the same study (``versions``, ``version_disagreement``).

    It is told in words, too, among the notes. Probabilities, decision and warnings stay those of the version
    that is served.

    Args:
        prediction: what the served version said of the study.
        others: predictors of other versions, for the same task. They are asked one after the other, so a
            generator may load each when the one before has answered, and two are never in memory together.
        study: as of ``Predictor.predict``.
        notes: what a reader should know of versions that were not asked, one sentence each.
        progress, cancelled: as of ``Predictor.predict``, for each of them anew.

    Raises:
        ConfigurationError: the study was reduced for networks of another size.
        TooFewSlicesError, CancelledError: as of ``Predictor.predict``.
    """
    began = perf_counter()
    answers: list[VersionAnswer] = []
    silent: list[str] = []
    for other in others:
        try:
            # Whether the study suits was decided when the served version answered.
            said = other.load().predict(study, progress=progress, cancelled=cancelled, unsuitable=WARN)
        except _LEFT_OUT as error:
            why = error.message if isinstance(error, VptError) else str(error)
            silent.append(f"version {other.version} was left out: {why.rstrip('.')}")
            continue
        probabilities = {finding.name: finding.probability for finding in said.findings}
        answers.append(VersionAnswer(said.card.model, said.card.version, probabilities))
    spent = perf_counter() - began
    seconds = {
        stage: value + spent if stage in ("network", "total") else value
        for stage, value in prediction.seconds.items()
    }
    asked = replace(prediction, versions=tuple(answers), seconds=seconds)
    told = filter(None, [versions_in_words(asked)])
    return replace(asked, notes=(*prediction.notes, *told, *silent, *notes))


def versions_in_words(prediction: Prediction) -> str:
    """``version 2 says lung_nodule 0.71; ...``, one sentence; empty where no other version was asked."""
    if prediction.version_disagreement is None:
        return ""
    said = "; ".join(
        f"version {other.version} says "
        + ", ".join(f"{name} {probability:.2f}" for name, probability in other.probabilities.items())
        for other in prediction.versions
    )
    return f"{said}; the standard deviation with them is {prediction.version_disagreement:.2f}"
