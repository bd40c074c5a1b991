"""Whether other versions of a model say the same of a study.

A deep ensemble (Lakshminarayanan et al., NeurIPS 2017) trains several networks and takes their spread for
what one of them cannot know of itself. A site that trains again and again as labels come in has such networks
already: the kept versions. They are no independent draws, for each saw most of the labels that the one
before it saw. So what they disagree about is doubtful, but that they agree proves little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import perf_counter

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference.fitness import WARN
from vpt_plugin.inference.prediction import Prediction, VersionAnswer
from vpt_plugin.inference.predictor import Predictor


def ask_versions(
    prediction: Prediction,
    others: Iterable[Predictor],
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
        TooFewSlicesError, CancelledError, WeightsError, DeviceMemoryError: as of ``Predictor.predict``.
    """
    began = perf_counter()
    answers = []
    for other in others:
        # Whether the study suits was decided when the served version answered.
        said = other.predict(study, progress=progress, cancelled=cancelled, unsuitable=WARN)
        probabilities = {finding.name: finding.probability for finding in said.findings}
        answers.append(VersionAnswer(said.card.model, said.card.version, probabilities))
    spent = perf_counter() - began
    seconds = {
        stage: value + spent if stage in ("network", "total") else value
        for stage, value in prediction.seconds.items()
    }
    asked = replace(prediction, versions=tuple(answers), seconds=seconds)
    return replace(asked, notes=(*prediction.notes, *filter(None, [versions_in_words(asked)]), *notes))


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
