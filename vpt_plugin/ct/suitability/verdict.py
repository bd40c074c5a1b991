"""What is said of whether a study is one that an answer means something for, and its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

FITS, DOUBTFUL, UNFIT, UNKNOWN = "fits", "doubtful", "unfit", "unknown"
# The graver, the higher. What could not be checked speaks neither for nor against a study.
_GRAVITY = {UNKNOWN: 0, FITS: 0, DOUBTFUL: 1, UNFIT: 2}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the check, the same for ever: ``lungs``.
        verdict: ``fits``, ``doubtful``, ``unfit``, or ``unknown`` where nothing could be found out.
        sentence: what was found, for a reader; whole, so that it can stand alone among warnings.
        value: the figure behind it; None where there is none.
        unit: of ``value``; "" of a bare number.
        noted: whether a reader is told its sentence though nothing speaks against the study.
    """

    name: str
    verdict: str
    sentence: str
    value: float | None = None
    unit: str = ""
    noted: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in _GRAVITY:
            raise ValueError(f"unknown verdict {self.verdict!r}; choose from {', '.join(_GRAVITY)}")

    @property
    def warns(self) -> bool:
        """Whether its sentence is a warning."""
        return _GRAVITY[self.verdict] > 0

    def to_json(self) -> dict[str, Any]:
        """The check as the JSON of a result."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "value": self.value,
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Distance:
    """How far a study's features lie from those of the studies that the network knows.

    Attributes:
        value: the study's.
        threshold: above it, a study counts as none of those.
        percentile: of the validation studies' distances at which the threshold stands, in [0, 1].
        studies: how many those were.
    """

    value: float
    threshold: float
    percentile: float
    studies: int

    def to_json(self) -> dict[str, Any]:
        """The distance as the JSON of a result."""
        return {
            "value": self.value,
            "threshold": self.threshold,
            "percentile": self.percentile,
            "studies": self.studies,
        }


@dataclass(frozen=True)
class Suitability:
    """Whether a study is one that an answer means something for.

    Attributes:
        checks: in the order in which they were made.
        distance: of its features; None where none was measured.
    """

    checks: tuple[Check, ...] = ()
    distance: Distance | None = None

    @property
    def verdict(self) -> str:
        """The gravest of the checks': ``fits``, ``doubtful`` or ``unfit``."""
        return max((check.verdict for check in self.graver), key=_GRAVITY.__getitem__, default=FITS)

    @property
    def graver(self) -> tuple[Check, ...]:
        """The checks that warn, gravest first, else in their order."""
        warning = [check for check in self.checks if check.warns]
        return tuple(sorted(warning, key=lambda check: -_GRAVITY[check.verdict]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences of the checks that warn, gravest first."""
        return tuple(check.sentence for check in self.graver)

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences that a reader is told though they speak against nothing."""
        return tuple(check.sentence for check in self.checks if check.noted and not check.warns)

    def with_checks(self, checks: Iterable[Check], distance: Distance | None = None) -> Suitability:
        """The same with what was found out later, when the network had looked at the study."""
        return replace(self, checks=(*self.checks, *checks), distance=distance or self.distance)

    def to_json(self) -> dict[str, Any]:
        """All of it as the JSON of a result."""
        return {
            "verdict": self.verdict,
            "checks": [check.to_json() for check in self.checks],
            "distance": None if self.distance is None else self.distance.to_json(),
        }
