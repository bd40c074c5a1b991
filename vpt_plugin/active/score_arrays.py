"""Scores as arrays, what computed them, and how far that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.score_shard import StudyScore
from vpt_plugin.models.card import ModelCard


@dataclass(frozen=True)
class ScoredBy:
    """What computed the scores.

    Attributes:
        task, model: their names.
        version: of the classifier; 0 where no head was trained.
        weights_sha256: of its weights; without a trained head, of everything that the features depend on.
        findings: what the columns of probabilities mean.
        pretraining: ``kinetics`` or what else the backbone learned from; ``none`` for a network that was
            never trained, or started from random weights.
        way: how a network computes them: ``torch-float32``; "" where none does, or it was not noted. Scores
            of two ways are never mixed: their last digits differ, and with them the order of studies.
    """

    task: str
    model: str
    version: int
    weights_sha256: str
    findings: tuple[str, ...]
    pretraining: str = "none"
    way: str = ""

    @classmethod
    def of_card(cls, card: ModelCard, way: str = "") -> ScoredBy:
        """The published version of a card."""
        return cls(
            card.task, card.model, card.version, card.weights_sha256, card.findings, card.pretraining, way
        )

    def alike(self, other: ScoredBy) -> bool:
        """Whether the other is the same classifier, in whatever way it computes."""
        return replace(self, way=other.way) == other

    @property
    def name(self) -> str:
        """``<task>_<model>``."""
        return f"{self.task}_{self.model}"

    @property
    def key(self) -> str:
        """The name of the folder: ``nodule_tiny-v0003-1a2b3c4d-torch-float32``."""
        way = f"-{self.way}" if self.way else ""
        return f"{self.name}-v{self.version:04d}-{self.weights_sha256[:8]}{way}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoredBy:
        """From what ``about.json`` holds."""
        return cls(
            str(data["task"]), str(data["model"]), int(data["version"]), str(data["weights_sha256"]),
            tuple(map(str, data["findings"])), str(data["pretraining"]),
            str(data.get("way", "")),
        )  # fmt: skip


@dataclass(frozen=True)
class ScoreState:
    """How far the last scoring came; cheap to read.

    Attributes:
        complete: it came to its end: every study that it was to score is scored or unreadable.
        total: studies that it was to score.
        warnings: what a person should know of these scores, one sentence each.
        once_complete: this scoring, or one before it, came to its end, so that most studies are scored.
        compared_at: seconds since 1970 when a scoring that came to its end began to compare the files of all
            studies with what they were when they were scored; 0 for never.
    """

    complete: bool = False
    total: int = 0
    warnings: tuple[str, ...] = ()
    once_complete: bool = False
    compared_at: float = 0.0


@dataclass(frozen=True)
class Scores:
    """All that is scored, one row per study, by study id.

    Attributes:
        by: what computed it.
        studies: ids of the rows, sorted.
        embeddings: float32 (studies, features), the mean over the clips of the backbone's features.
        key_embeddings: float32 (studies, features), of the clip that speaks most for a finding; without a
            trained head the same as ``embeddings``.
        probabilities: (studies, findings), calibrated; None without a trained head.
        disagreement: (studies, findings), standard deviation of the clips' probabilities; None as above.
        clips: (studies,), how many each has.
        study_dates: as in DICOM, ``20201231``; "" where unknown.
        synthetic: (studies,), whether it is a phantom.
        unreadable: why a study cannot be scored, by id; none of ``studies``.
        state: how far the last scoring came.
        damaged: names of shards that cannot be read; their studies are missing here.
    """

    by: ScoredBy
    studies: tuple[str, ...]
    embeddings: NDArray[np.float32]
    key_embeddings: NDArray[np.float32]
    probabilities: NDArray[np.float64] | None
    disagreement: NDArray[np.float64] | None
    clips: NDArray[np.int64]
    study_dates: tuple[str, ...]
    synthetic: NDArray[np.bool_]
    unreadable: Mapping[str, str]
    state: ScoreState
    damaged: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """The last scoring came to its end, and nothing of it is damaged."""
        return self.state.complete and not self.damaged


def score_table(
    by: ScoredBy,
    rows: Sequence[StudyScore],
    unreadable: Mapping[str, str],
    state: ScoreState,
    damaged: tuple[str, ...],
) -> Scores:
    """The rows of one classifier, sorted by study, as arrays; an empty pool has no features."""
    answers = [each for each in rows if each.probabilities is not None]
    embeddings = _stacked([each.embedding for each in rows])
    return Scores(
        by=by,
        studies=tuple(each.study for each in rows),
        embeddings=embeddings,
        key_embeddings=_stacked([each.key_embedding for each in rows]) if answers else embeddings,
        probabilities=np.array([each.probabilities for each in rows], dtype=float) if answers else None,
        disagreement=np.array([each.disagreement for each in rows], dtype=float) if answers else None,
        clips=np.array([each.clips for each in rows], dtype=np.int64),
        study_dates=tuple(each.study_date for each in rows),
        synthetic=np.array([each.synthetic for each in rows], dtype=bool),
        unreadable=MappingProxyType(dict(unreadable)),
        state=state,
        damaged=damaged,
    )


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.stack(rows).astype(np.float32) if rows else np.empty((0, 0), dtype=np.float32)
