"""Progress: where a training is, for a progress bar, a log or a client (the contract's ``Progress``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        state: ``preparing`` studies, ``searching`` for a learning rate, ``training``, ``validating``,
            ``comparing`` with the served version, ``publishing`` or ``done``.
        step, steps: optimizer steps done and in all; while preparing, studies.
        epoch, epochs: the running epoch, from 1, and how many at most.
        loss: mean over the steps of the running epoch; None before the first.
        validation_auroc: of the last validation; None before the first, nan where undefined.
        best_auroc: the best so far.
        seconds_left: at the present speed; None while it is not known.
        note: what the user should know, for example a study that was left out; else "".
        fold, folds: the running fold, from 1, and how many there are; 0 where one validation side was kept
            apart, and in the final training on all studies.
    """

    state: str
    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    validation_auroc: float | None = None
    best_auroc: float | None = None
    seconds_left: float | None = None
    note: str = ""
    fold: int = 0
    folds: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON; an undefined AUROC is null, because JSON knows no nan."""
        return {name: None if value != value else value for name, value in asdict(self).items()}
