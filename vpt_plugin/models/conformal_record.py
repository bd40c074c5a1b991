"""What a card keeps for conformal decisions: what validation studies were given, and how well that held.

Numbers only: no study is named, and none can be told from its probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What an error rate means, for people; at one place, because it must not promise more in one than in another.
PROMISE = (
    "A site chooses an error rate: of studies that are like the validation studies, if these had no part in "
    "making the network, at most that share of those with the finding is then called absent, and of those "
    "without it present. What cannot be decided so is unsure."
)
NEARLY = (
    "The rate holds only nearly, and more may be wrong: other networks than this one, those of the folds, "
    "answered the validation studies."
)
BROUGHT_HERE = (
    "This version was imported: the validation studies are those of where it was trained, and more may be "
    "wrong where studies differ from those."
)


@dataclass(frozen=True)
class ConformalScores:
    """The study probabilities of one finding by its state, of networks that never saw these studies.

    Attributes:
        present: ascending, of the studies that have the finding; one per patient.
        absent: ascending, of those that do not; one per patient.
    """

    present: tuple[float, ...]
    absent: tuple[float, ...]

    @classmethod
    def of(cls, present: Sequence[float], absent: Sequence[float]) -> ConformalScores:
        """The scores, put in order."""
        return cls(tuple(sorted(map(float, present))), tuple(sorted(map(float, absent))))


@dataclass(frozen=True)
class StateCoverage:
    """How often the decision left the true state in, over random splits of the studies of that state.

    Attributes:
        coverage: mean share over the splits.
        expected: what that mean tends to where no two studies got the same probability; ties only raise it.
        ci95: in which the mean of so many splits lies 19 times of 20.
        one_split: in which the share of a single split lies 19 times of 20.
        calibrating, tested: studies on either side of a split.
    """

    coverage: float
    expected: float
    ci95: tuple[float, float]
    one_split: tuple[float, float]
    calibrating: int
    tested: int

    @property
    def holds(self) -> bool:
        """Whether the mean lies in its interval, or above it because of ties."""
        return self.coverage >= self.ci95[0]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "ci95": list(self.ci95), "one_split": list(self.one_split)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StateCoverage:
        """From its JSON."""
        low, high = data["ci95"]
        least, most = data["one_split"]
        return cls(
            float(data["coverage"]), float(data["expected"]), (float(low), float(high)),
            (float(least), float(most)), int(data["calibrating"]), int(data["tested"]),
        )  # fmt: skip


@dataclass(frozen=True)
class MeasuredCoverage:
    """What conformal decisions about one finding came to over random splits of the validation studies.

    Attributes:
        error_rate: at which they were made.
        splits: how many.
        present, absent: by the true state; None where there are fewer than two studies of it.
        unsure: mean share of studies about which nothing was decided, both states weighing the same.
    """

    error_rate: float
    splits: int
    present: StateCoverage | None
    absent: StateCoverage | None
    unsure: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON; what could not be measured is null."""
        return {
            **vars(self),
            "present": self.present.to_json() if self.present else None,
            "absent": self.absent.to_json() if self.absent else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MeasuredCoverage:
        """From its JSON."""
        present, absent = data["present"], data["absent"]
        return cls(
            float(data["error_rate"]),
            int(data["splits"]),
            StateCoverage.from_json(present) if present else None,
            StateCoverage.from_json(absent) if absent else None,
            None if data["unsure"] is None else float(data["unsure"]),
        )


@dataclass(frozen=True)
class ConformalRecord:
    """What a card keeps for conformal decisions.

    Attributes:
        scores: per finding.
        folds: whether each study was answered by the round that left it out, and not by the network that is
            published. The published one learned from other studies, so that its probabilities of new ones
            are spread in another way, and no guarantee is left (docs/evidence.md has how much is lost).
        measured: per finding, one entry per error rate. It follows from the scores, and is kept so that a
            card says it to whoever reads it, without torch and without computing.
        imported: whether the version came from elsewhere, and with it the validation studies.
    """

    scores: Mapping[str, ConformalScores]
    folds: bool
    measured: Mapping[str, tuple[MeasuredCoverage, ...]]
    imported: bool = False

    @property
    def reservation(self) -> str:
        """What is known to keep an error rate from holding, in sentences; "" for nothing."""
        return " ".join([*([NEARLY] if self.folds else []), *([BROUGHT_HERE] if self.imported else [])])

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "folds": self.folds,
            "imported": self.imported,
            "findings": {
                name: {"present": list(each.present), "absent": list(each.absent)}
                for name, each in self.scores.items()
            },
            "measured": {name: [each.to_json() for each in found] for name, found in self.measured.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConformalRecord:
        """From its JSON.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        return cls(
            {name: ConformalScores.of(**each) for name, each in data["findings"].items()},
            bool(data["folds"]),
            {name: tuple(map(MeasuredCoverage.from_json, each)) for name, each in data["measured"].items()},
            bool(data.get("imported", False)),
        )
