"""What a validation on whole studies finds, and how one is compared with another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ignite.metrics import Metric
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor

from vpt_plugin.ct.aggregation import study_probabilities
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.metrics import auroc, log_loss


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Attributes:
        epoch: after which it was made, from 1.
        train_loss: mean over the steps of that epoch.
        auroc: of whole studies, mean over the findings.
        log_loss: of whole studies, mean over the findings.
        probabilities: (studies, findings), before any calibration.
        logits: (clips, findings), of all the clips that cover the studies.
        clip_studies: (clips,), the number of the study each clip is of.
    """

    epoch: int
    train_loss: float
    auroc: float
    log_loss: float
    probabilities: NDArray[np.float64]
    logits: NDArray[np.float64]
    clip_studies: NDArray[np.int64]

    def better_than(self, other: Validation | None) -> bool:
        """A higher AUROC; between equal ones, which few studies often give, the lower loss."""
        return other is None or (self.auroc, -self.log_loss) > (other.auroc, -other.log_loss)

    def to_json(self) -> dict[str, float]:
        """The figures, for the model card."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            "auroc": self.auroc,
            "log_loss": self.log_loss,
        }


class StudyAuroc(Metric):  # type: ignore[misc]
    """Collects the logits of all clips; gives the AUROC of whole studies, mean over the findings.

    Args:
        states: (studies, findings), 1 present, 0 absent, nan not known.
        aggregation: the task's, from clip probabilities to the study's.
        team: the processes that share out the clips; None where this one is alone.
    """

    def __init__(self, states: NDArray[np.float64], aggregation: str, team: Team | None = None) -> None:
        self._team = team or Team()
        self._states = states
        self._aggregation = aggregation
        self.probabilities = np.full(states.shape, np.nan)
        self.logits = np.empty((0, states.shape[1]))
        self.clip_studies = np.empty(0, dtype=np.int64)
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Forget all clips."""
        self._logits: list[NDArray[np.float64]] = []
        self._studies: list[NDArray[np.int64]] = []
        super().reset()

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Take the logits (clips, findings) of some clips and the numbers (clips,) of their studies."""
        logits, studies = output
        self._logits.append(logits.double().cpu().numpy())
        self._studies.append(studies.cpu().numpy())

    def compute(self) -> float:
        """The AUROC, nan where a logit is no number.

        Kept are ``logits`` (clips, findings), ``clip_studies`` (clips,) and ``probabilities`` (studies,
        findings).
        """
        self.logits = self._team.together(np.concatenate(self._logits))
        self.clip_studies = self._team.together(np.concatenate(self._studies))
        self.probabilities = study_probabilities(expit(self.logits), self.clip_studies, self._aggregation)
        return self._mean(auroc)

    def found(self, *, epoch: int, train_loss: float) -> Validation:
        """What the validation after this epoch found; after ``compute``."""
        return Validation(
            epoch=epoch,
            train_loss=train_loss,
            auroc=self._mean(auroc),
            log_loss=self._mean(log_loss),
            probabilities=self.probabilities,
            logits=self.logits,
            clip_studies=self.clip_studies,
        )

    def _mean(self, figure: Callable[[ArrayLike, ArrayLike], float]) -> float:
        if not np.isfinite(self.probabilities).all():
            return float("nan")
        known = ~np.isnan(self._states)
        figures: list[Any] = [
            figure(self._states[rows, finding], self.probabilities[rows, finding])
            for finding, rows in enumerate(known.T)
        ]
        return float(np.mean(figures))
