"""What a training publishes belongs to what will be served: its answers are checked in reduced precision.

Training in bfloat16 rounds at other places than serving in bfloat16, which folds batch norms. So what a
training in bfloat16 came to is measured anew of the answers that will be served: in bfloat16 where the check
passed, else, or where nothing was checked, in float32. Temperature, thresholds and figures are of those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from vpt_plugin.errors import CancelledError, VptError
from vpt_plugin.models.precision import FULL, REDUCED, way_of_computing
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.training.answers import clip_logits
from vpt_plugin.training.outcome import HeldOut, Outcome
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.precision_check import SECONDS_AT_PUBLICATION, AnsweredInWays, answer_in_ways
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.trained import Trained
from vpt_plugin.training.training_data import TrainingData

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecisionGate:
    """Checks what a training came to.

    Attributes:
        rounds: of the training.
        measure: what is measured of held-out studies.
        told: of the studies done and the studies in all.
        note: takes what a person should know.
    """

    rounds: Rounds
    measure: Callable[[HeldOut], Outcome]
    told: Callable[[int, int], None]
    note: Callable[[str], None]

    def settle(
        self, data: TrainingData, trained: Trained, outcome: Outcome
    ) -> tuple[Outcome, Mapping[str, PrecisionCheck]]:
        """What is published: the outcome in the precision that will be served, and the checks.

        With folds the published network is checked on the same studies, which it learned from: asked is only
        whether it answers them alike. What its folds said cannot be measured anew.

        Raises:
            CancelledError: the training was cancelled.
        """
        answered = self._answered(trained, outcome)
        findings, placement = self.rounds.task.findings, self.rounds.placement
        way = way_of_computing("torch", placement.device)

        def checks_at(measured: Outcome) -> Mapping[str, PrecisionCheck]:
            return answered.checks(findings, measured.calibration.temperature) if answered else {}

        if placement.dtype == torch.float32 or data.folds:
            checks = checks_at(outcome)
            if placement.dtype == torch.float32 or (way in checks and checks[way].passed):
                return outcome, checks
            return replace(outcome, warnings=(*outcome.warnings, _of_folds(checks.get(way)))), checks
        served = self._as_served(data, trained, placement.dtype)
        checks = checks_at(served)
        if way in checks and checks[way].passed:
            return served, checks
        self.note(
            f"{_moved(checks.get(way))}. So it is validated again in {FULL}, in which it will be served."
        )
        served = self._as_served(data, trained, torch.float32)
        return served, checks_at(served)

    def _answered(self, trained: Trained, outcome: Outcome) -> AnsweredInWays | None:
        rounds = self.rounds
        try:
            return answer_in_ways(
                trained.classifier, rounds.task, rounds.blank_card(), outcome.held_out.studies,
                device=rounds.placement.device, most_seconds=SECONDS_AT_PUBLICATION,
                told=self.told, cancelled=rounds.observer.cancelled,
            )  # fmt: skip
        except CancelledError:
            raise
        # Hours of training are not lost because a backend cannot answer; the version is then unchecked.
        except (VptError, RuntimeError) as error:
            _logger.warning("the precision could not be checked", exc_info=error)
            self.note(f"whether bfloat16 gives the same answers could not be checked: {error}")
            return None

    def _as_served(self, data: TrainingData, trained: Trained, dtype: torch.dtype) -> Outcome:
        """What is measured of the answers that torch will serve in this precision, to the last digit."""
        rounds, studies = self.rounds, data.rounds[0].validation
        logits, numbers = clip_logits(
            trained.classifier, studies, rounds.shape,
            offset=rounds.task.offset, placement=Placement(rounds.placement.device, dtype),
            cancelled=rounds.observer.cancelled,
        )  # fmt: skip
        return self.measure(HeldOut.of([(studies, logits, numbers)], rounds.shape))


def _moved(check: PrecisionCheck | None) -> str:
    return f"In {REDUCED}, {check.words()}" if check else f"Its answers in {REDUCED} were not checked"


def _of_folds(check: PrecisionCheck | None) -> str:
    return (
        f"{_moved(check)}. So it is served in {FULL}, but its folds were validated in {REDUCED}: figures and "
        f"thresholds may be off by as much. Train it with precision {FULL}."
    )
