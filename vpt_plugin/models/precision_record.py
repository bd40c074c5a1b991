"""PrecisionCheck: what was measured of a version in reduced precision, as its card keeps it.

Apart from the rule that reads it, because cards are read where torch is not loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from vpt_plugin.words import in_a_sentence

# By how much the answer of a study, and the order of all of them, may move.
MOST_SHIFT, MOST_AUROC_SHIFT = 0.01, 0.005
# Where not all studies were answered, so many of them decide if each finding has both states among them.
ENOUGH_STUDIES = 30


@dataclass(frozen=True)
class ComputedWith:
    """What decides where a way of computing rounds: what was measured with one says nothing of another.

    Attributes:
        backend: with its version: ``torch 2.10``; "" where nobody noted it.
        processor: of a GPU its name, of the CPU its instructions: ``AVX512 avx512_bf16``.
    """

    backend: str = ""
    processor: str = ""

    def words(self) -> str:
        """As ``torch 2.10 on AVX512 avx512_bf16``."""
        if not self.backend:
            return "a backend and a processor that were not noted"
        return f"{self.backend} on {self.processor}"


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
        computed_with: the backend and the processor.
        own: whether these are validation studies of the version; else others, which a person named for it.
    """

    studies: int
    studies_in_all: int
    largest_shift: float
    auroc_shift: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    temperature: float = 1.0
    date: str = ""
    computed_with: ComputedWith = ComputedWith()
    own: bool = True

    @property
    def enough(self) -> bool:
        """Whether so many studies were answered that they decide."""
        both_states = bool(self.auroc_shift) and not any(map(math.isnan, self.auroc_shift.values()))
        everything = 0 < self.studies >= self.studies_in_all
        return everything or (self.studies >= ENOUGH_STUDIES and both_states)

    @property
    def passed(self) -> bool:
        """Whether this way of computing may answer in the place of float32."""
        # Of nan neither is true: a shift that is none fails, an AUROC that is none says nothing.
        moved = any(shift > MOST_AUROC_SHIFT for shift in self.auroc_shift.values())
        return self.enough and self.largest_shift <= MOST_SHIFT and not moved

    def words(self) -> str:
        """What was found, as ``on 60 validation studies the probability moves by at most 0.0040 (...)``."""
        of_all = f"of {self.studies_in_all} " * (self.studies < self.studies_in_all)
        what = "validation studies" if self.own else "labelled studies, none of them known to be its own,"
        on = f"on {self.studies} {of_all}{what}"
        if math.isnan(self.largest_shift):
            return f"{on} some answers are no numbers"
        few = f"; that is too few: all of them, or {ENOUGH_STUDIES} with both states of every finding, decide"
        return (
            f"{on} the probability moves by at most {self.largest_shift:.4f} "
            f"(allowed: {MOST_SHIFT}), {self._auroc_words()}{'' if self.enough else few}"
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
            "computed_with": asdict(self.computed_with),
            "own": self.own,
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
            # Checks from before this was noted: they count as made with something else.
            computed_with=ComputedWith(**data.get("computed_with", {})),
            own=bool(data.get("own", True)),
        )


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
