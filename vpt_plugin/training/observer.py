"""Observer: who is told how a training goes, and who may end it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vpt_plugin.training.progress import Progress


@dataclass(frozen=True)
class Observer:
    """Who is told how it goes, and who may end it.

    Attributes:
        report: told of every step and every validation.
        cancelled: asked after every step and every batch of a validation.
    """

    report: Callable[[Progress], None] = field(default=lambda progress: None)
    cancelled: Callable[[], bool] = field(default=lambda: False)
