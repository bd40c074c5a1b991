"""PrecisionCheck: what was measured of a version in reduced precision, as its card keeps it.

Apart from the rule that reads it, because cards are read where torch is not loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vpt_plugin.words import in_a_sentence

# By how much the answer of a study, and the order of all of them, may move.
MOST_SHIFT, MOST_AUROC_SHIFT = 0.01, 0.005


@dataclass(frozen=True)
class PrecisionCheck:
    """How far one way of computing moves the answers of one version from those in float32.

    Attributes:
        studies: that were answered in both.
        studies_in_all: that there were to answer.
        largest_shift: of the calibrated probability of any study and finding; nan where one of them was no
            number.
        auroc_shift: per finding, how far the AUROC of these studies moves, without its sign; nan where it is
            undefined, because all of them have one state.
        temperature: of the card when it was measured: probabilities of another one move by another amount.
        date: when, as ``2026-11-20T20:31:05Z``.
    """

    studies: int
    studies_in_all: int
    largest_shift: float
    auroc_shift: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    temperature: float = 1.0
    date: str = ""

    @property
    def passed(self) -> bool:
        """Whether this way of computing may answer in the place of float32."""
        # Of nan neither is true: a shift that is none fails, an AUROC that is none says nothing.
        moved = any(shift > MOST_AUROC_SHIFT for shift in self.auroc_shift.values())
        return self.studies > 0 and self.largest_shift <= MOST_SHIFT and not moved

    def words(self) -> str:
        """What was found, as ``on 60 validation studies the probability moves by at most 0.0040 (...)``."""
        on = f"on {self.studies} {f'of {self.studies_in_all} ' * (self.studies < self.studies_in_all)}"
        if math.isnan(self.largest_shift):
            return f"{on}validation studies some answers are no numbers"
        return (
            f"{on}validation studies the probability moves by at most {self.largest_shift:.4f} "
            f"(allowed: {MOST_SHIFT}), {self._auroc_words()}"
        )

    def _auroc_words(self) -> str:
        known = {name: shift for name, shift in self.auroc_shift.items() if not math.isnan(shift)}
        told = [f"the AUROC of {in_a_sentence(name)} by {shift:.4f}" for name, shift in known.items()]
        told = [", ".join(told) + f" (allowed: {MOST_AUROC_SHIFT})"] if told else []
        if undefined := [in_a_sentence(name) for name in self.auroc_shift if name not in known]:
            told.append(f"no AUROC says anything of {', '.join(undefined)}: all of them have one state")
        return ", ".join(told)

    def to_json(self) -> dict[str, Any]:
        """As JSON; what is no number is null."""
        return {
            "studies": self.studies,
            "studies_in_all": self.studies_in_all,
            "largest_shift": _or_null(self.largest_shift),
            "auroc_shift": {name: _or_null(shift) for name, shift in self.auroc_shift.items()},
            "temperature": self.temperature,
            "date": self.date,
            "passed": self.passed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PrecisionCheck:
        """The check from its JSON; whether it passed is decided anew.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            studies=int(data["studies"]),
            studies_in_all=int(data["studies_in_all"]),
            largest_shift=_or_nan(data["largest_shift"]),
            auroc_shift={name: _or_nan(shift) for name, shift in data["auroc_shift"].items()},
            temperature=float(data["temperature"]),
            date=str(data["date"]),
        )


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
