"""What a training publishes belongs to what will be served: its answers are checked in reduced precision.

A network that is validated in bfloat16, but whose answers in float32 differ too much, is served in float32.
Its temperature, thresholds and figures are then measured anew in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from vpt_plugin.errors import CancelledError, VptError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.precision import FULL, way_of_computing
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
        if answered is None:
            return outcome, {}
        findings, placement = self.rounds.task.findings, self.rounds.placement
        checks = answered.checks(findings, outcome.calibration.temperature)
        validated_in = checks.get(way_of_computing("torch", placement.device))
        if placement.dtype == torch.float32 or validated_in is None or validated_in.passed:
            return outcome, checks
        moved = f"In {str(placement.dtype).removeprefix('torch.')}, {validated_in.words()}"
        if data.folds:
            warning = (
                f"{moved}. So it is served in {FULL}, but its folds were validated in bfloat16: figures and "
                f"thresholds may be off by as much. Train it with precision {FULL}."
            )
            return replace(outcome, warnings=(*outcome.warnings, warning)), checks
        self.note(f"{moved}. So it is validated again in {FULL}, in which it will be served.")
        outcome = self._in_full(data, trained)
        return outcome, answered.checks(findings, outcome.calibration.temperature)

    def _answered(self, trained: Trained, outcome: Outcome) -> AnsweredInWays | None:
        rounds = self.rounds
        card = ModelCard(
            rounds.task.name, rounds.spec.name, rounds.task.findings,
            rounds.config.pretraining, rounds.shape.length,
        )  # fmt: skip
        try:
            return answer_in_ways(
                trained.classifier, rounds.task, card, outcome.held_out.studies,
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

    def _in_full(self, data: TrainingData, trained: Trained) -> Outcome:
        rounds, studies = self.rounds, data.rounds[0].validation
        logits, numbers = clip_logits(
            trained.classifier, studies, rounds.shape,
            offset=rounds.task.offset, placement=Placement(rounds.placement.device, torch.float32),
            cancelled=rounds.observer.cancelled,
        )  # fmt: skip
        return self.measure(HeldOut.of([(studies, logits, numbers)], rounds.shape))
