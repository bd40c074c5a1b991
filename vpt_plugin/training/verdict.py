"""Verdict: whether a newly trained classifier is served, and why; never worse than before without a word.

Both versions have to answer the same validation studies, and neither may have learned from any of them. What
the served version learned from is in its ``ValidationRecord``: where it honestly answered a study before,
that answer is taken; where it was trained on the study or on another one of the same patient, the study is
left out of the comparison; all others it answers now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.errors import CancelledError, VptError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answers import answers
from vpt_plugin.training.comparison import Comparison, compare
from vpt_plugin.training.loop import Placement
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.outcome import Outcome
from vpt_plugin.training.reading import reading_difference, reading_facts
from vpt_plugin.training.validation_record import Memory, SeenStudy, ValidationRecord
from vpt_plugin.words import in_a_sentence

Floats = NDArray[np.float64]
# With fewer of a state one study that was answered by luck decides.
LEAST_PER_STATE = 3
FIRST = "Nothing was served yet, so this version is to be served."


@dataclass(frozen=True)
class Verdict:
    """Whether a trained classifier is to be served.

    Attributes:
        serve: from now on; else it is kept as a candidate.
        why: a sentence or two for a person, with both figures where there are two.
        instead_of: the version that was served when this was decided; None for none.
        comparison: with that version; None where there was none or they could not be compared.
    """

    serve: bool
    why: str
    instead_of: int | None = None
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """For the model card; empty where nothing was served before."""
        if self.comparison is not None:
            told = {"with_version": self.instead_of, "better": self.serve, "sentence": self.why}
            return {**self.comparison.to_json(), **told}
        if self.instead_of is not None or not self.serve:
            return {"with_version": self.instead_of, "better": False, "sentence": self.why}
        return {}


@dataclass(frozen=True)
class Judge:
    """Decides about a trained classifier.

    Attributes:
        store: where the served version lies.
        task, spec: of both versions.
        shape: of the clips.
        placement: where the served version answers.
        rule: of ``vpt_plugin.training.comparison.RULES``.
        told: of the clips done and the clips in all, where the served version has to answer.
        cancelled: asked meanwhile.
    """

    store: ModelStore
    task: ReadingTask
    spec: ModelSpec
    shape: ClipShape
    placement: Placement
    rule: str
    told: Callable[[int, int], None] = lambda done, clips: None
    cancelled: Callable[[], bool] = lambda: False

    def decide(self, outcome: Outcome, *, synthetic: bool) -> Verdict:
        """Whether what came out is served.

        Args:
            outcome: of the training.
            synthetic: whether it was trained on phantoms.

        Raises:
            ConfigurationError: no such rule.
            CancelledError: the caller said so.
        """
        try:
            version = self.store.current_version(self.task.name, self.spec.name)
            if version is None:
                return _first(outcome)
            card = self.store.card(self.task.name, self.spec.name, version)
            if problem := self._problem(card, synthetic):
                return _kept(version, problem)
            return self._compared(outcome, card)
        except CancelledError:
            raise
        except VptError as error:
            # The served version is damaged. To replace it without a comparison is for a person to decide.
            return _kept(None, str(error))

    def _problem(self, card: ModelCard, synthetic: bool) -> str:
        """Why the served version cannot be compared with one trained now; "" where it can."""
        served = f"version {card.version}, which is served,"
        if synthetic and not card.synthetic:
            return f"{served} was trained on patients, the new one on phantoms"
        if card.findings != self.task.findings:
            return f"{served} answers for {', '.join(card.findings)}"
        difference = reading_difference(card.reading, reading_facts(self.task, self.spec))
        # A card written by hand says nothing of how studies were read for it.
        return f"{served} reads studies in another way: {difference}" if card.reading and difference else ""

    def _compared(self, outcome: Outcome, card: ModelCard) -> Verdict:
        record = ValidationRecord.read(self.store.place(self.task.name, self.spec.name, card.version))
        served = self._answers(outcome.held_out.studies, card, Memory(record) if record else None)
        used = ~np.isnan(served).any(axis=1)
        states = outcome.held_out.states[used]
        if problem := self._too_little(states, int((~used).sum())):
            return _kept(card.version, problem)
        comparison = compare(
            states,
            served[used],
            outcome.probabilities[used],
            [patient for patient, each in zip(outcome.held_out.patients, used, strict=True) if each],
            rule=self.rule,
        )
        why = comparison.sentence() + _remarks(card, record, int((~used).sum()))
        if outcome.collapsed and comparison.better:
            return Verdict(
                False,
                f"{why} But the training collapsed: it gives all studies one answer. So version "
                f"{card.version} stays, and the new one is kept as a candidate.",
                card.version,
                comparison,
            )
        return Verdict(comparison.better, why, card.version, comparison)

    def _answers(self, studies: tuple[LabelledStudy, ...], card: ModelCard, memory: Memory | None) -> Floats:
        """The served version's honest probabilities, (studies, findings); nan where it has none."""
        found = np.full((len(studies), len(self.task.findings)), np.nan)
        fresh = []
        for number, study in enumerate(map(SeenStudy.of, studies)):
            honest = memory.honest(study) if memory else None
            if honest is not None:
                found[number] = [honest[finding] for finding in self.task.findings]
            elif memory is None or not memory.trained_on(study):
                fresh.append(number)
        if fresh:
            found[fresh] = self._answered_now([studies[number] for number in fresh], card)
        return found

    def _answered_now(self, studies: list[LabelledStudy], card: ModelCard) -> Floats:
        return answers(
            self.store.classifier(card), studies, self.shape,
            task=self.task, temperature=card.temperature, placement=self.placement,
            told=self.told, cancelled=self.cancelled,
        )  # fmt: skip

    def _too_little(self, states: Floats, left_out: int) -> str:
        """Why what is left cannot decide; "" where it can."""
        if left_out and not len(states):
            return (
                "no validation study is left that the served version has not learned from: it was trained on "
                f"all {left_out}. Label studies of new patients, or lock a test set (vpt split lock) before "
                "the next training and evaluate both on it"
            )
        for index, finding in enumerate(self.task.findings):
            present, absent = ((states[:, index] == value).sum() for value in (1, 0))
            if min(present, absent) < LEAST_PER_STATE:
                was = "was" if left_out == 1 else "were"
                because = f" ({left_out} {was} seen by the served version)" if left_out else ""
                return (
                    "there are too few validation studies that neither was trained on, "
                    f"{present} with {in_a_sentence(finding)} and {absent} without{because}. It takes "
                    f"{LEAST_PER_STATE} of each, so label more studies"
                )
        return ""


def _first(outcome: Outcome) -> Verdict:
    if outcome.collapsed:
        return Verdict(
            False,
            "The training collapsed, so this version is kept as a candidate, and nothing is served. "
            f"{' '.join(outcome.warnings)}",
        )
    return Verdict(True, FIRST)


def _kept(version: int | None, because: str) -> Verdict:
    stays = f"version {version} stays" if version is not None else "what is served stays"
    return Verdict(
        False,
        f"The new version cannot be compared with the served one: {because.rstrip('.')}. So {stays}, and the "
        "new one is kept as a candidate, which a person may promote.",
        version,
    )


def _remarks(card: ModelCard, record: ValidationRecord | None, left_out: int) -> str:
    """What has to be known of this comparison."""
    remarks = ""
    if record is None or not record.complete:
        remarks += (
            f" What version {card.version} was trained on is not known here; if it learned from some of "
            "these studies, that speaks for it."
        )
    if left_out:
        studies = "1 study is" if left_out == 1 else f"{left_out} studies are"
        remarks += f" {studies} left out, because the served version learned from them."
    return remarks
