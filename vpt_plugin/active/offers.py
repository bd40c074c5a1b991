"""What a reader asks for, and what the worklist answers: Wish, Offer, Proposal and their JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vpt_plugin.store.leases import Lease

SCHEMA = "vptct.next/1"
FIRST, SECOND = "first", "second"
# What a proposal is said to be chosen by when it is a second reading: no strategy looks at labelled studies.
DOUBLE_READ = "double-read"


@dataclass(frozen=True)
class Wish:
    """What a reader asks for.

    Attributes:
        task: the studies are to be labelled for it.
        strategy: one of ``vpt_plugin.acquisition.strategies.STRATEGIES``.
        model: the network whose scores choose; "" takes that of ``ActiveSettings``.
        n: how many studies.
        finding: choose for this finding of the task only; "" for all of them.
        date_from: the first StudyDate, as YYYYMMDD; "" for no bound.
        date_to: the last StudyDate, as YYYYMMDD; "" for no bound.
        unseen: only studies that were never offered to this reader.
        reader: who asks; "" where nobody knows.
        wish_id: whoever sends the same once more gets the same studies again; "" for none.
    """

    task: str
    strategy: str = "auto"
    model: str = ""
    n: int = 1
    finding: str = ""
    date_from: str = ""
    date_to: str = ""
    unseen: bool = False
    reader: str = ""
    wish_id: str = ""


@dataclass(frozen=True)
class ActiveSettings:
    """How a site wants its studies proposed.

    Attributes:
        lease_minutes: for so long nobody else is offered what one reader was given.
        double_read: share of the offers that are second readings of a study with one reader's label.
        random_share: share of the picks of ``auto`` that are drawn at random, for an unbiased estimate.
        min_each: labels of each state that every finding needs before ``auto`` asks the model.
        seed: of all that is drawn.
        model: the network whose scores choose; "" takes the one of the task that was served last.
    """

    lease_minutes: float = 30.0
    double_read: float = 0.0
    random_share: float = 0.1
    min_each: int = 5
    seed: int = 0
    model: str = ""


@dataclass(frozen=True)
class NearestLabelled:
    """The labelled study most like a proposed one; 0 for alike, about 1 for unlike as two are on average."""

    study: str
    distance: float


@dataclass(frozen=True)
class AlikeStudies:
    """The group of alike studies that a proposed one stands for."""

    number: int
    studies: int
    labelled: int


@dataclass(frozen=True)
class Proposal:
    """A study to label next, and why.

    Attributes:
        study: its id.
        strategy: that chose it: for ``auto`` the one it took; ``double-read`` for a second reading.
        score: the higher the more useful, within one strategy; nan for a second reading, which has none.
        why: a sentence for the reader.
        probabilities: by finding, calibrated; None where no trained version scored it.
        nearest_labelled: None where no study is labelled, or this one is not scored.
        cluster: None where the strategy makes none.
        reading: ``first`` or ``second``.
        label_version: the number that ``if_version`` is to have when its label is saved, so that a second
            reader need not look at the first one's label.
        lease: None where it was only ranked.
        study_date: as YYYYMMDD; "" where it is not known.
    """

    study: str
    strategy: str
    score: float
    why: str
    probabilities: Mapping[str, float] | None = None
    nearest_labelled: NearestLabelled | None = None
    cluster: AlikeStudies | None = None
    reading: str = FIRST
    label_version: int = 0
    lease: Lease | None = None
    study_date: str = ""

    def to_json(self) -> dict[str, Any]:
        """The proposal as JSON; what is undefined or not known is null."""
        return {
            "study": self.study,
            "strategy": self.strategy,
            "score": self.score if math.isfinite(self.score) else None,
            "why": self.why,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "nearest_labelled": self.nearest_labelled and asdict(self.nearest_labelled),
            "cluster": self.cluster and asdict(self.cluster),
            "reading": self.reading,
            "label_version": self.label_version,
            "study_date": self.study_date or None,
            "lease": self.lease and self.lease.to_json(),
        }


@dataclass(frozen=True)
class WorklistCounts:
    """How many studies are in which state; each study that is there is in one of the first six.

    Attributes:
        free: may be proposed to this reader, for this wish. This is how long the worklist is.
        held: without a label, in the hands of a reader at the moment.
        skipped: without a label, and skipped: by this reader, or so that nobody is offered them.
        labelled: with a label of the task, whatever it says.
        unreadable: without a label, and the scoring could not read them.
        left_out: by this wish alone: outside its dates, without a known date, or seen by this reader before.
        second_readings: of ``labelled``: in the hands of a reader who reads them a second time.
        unscored: of ``free``: not scored yet.
    """

    free: int
    held: int
    skipped: int
    labelled: int
    unreadable: int
    left_out: int
    second_readings: int
    unscored: int


@dataclass(frozen=True)
class ChosenBy:
    """The model whose scores the choice was made with.

    Attributes:
        name: the network.
        version: 0 where no head was trained yet, and features of the pretrained network choose.
        pretraining: ``none`` with version 0: features of an untrained network.
    """

    name: str
    version: int
    pretraining: str


@dataclass(frozen=True)
class ScoringState:
    """How far the scores of the served version are; where none is, those that the choice was made with.

    Attributes:
        scored: studies that are there and are scored.
        studies: studies that are there.
        complete: the scoring came to its end.
    """

    scored: int
    studies: int
    complete: bool


@dataclass(frozen=True)
class WorklistState:
    """What is known of a task's worklist, whoever asks.

    Attributes:
        task: its name.
        model: None where nothing is scored.
        counts: of the studies, for who asked; where nobody did, for a reader without a name.
        labels: by finding and state, how many of the studies that are there.
        scoring: of the version that is served, which ``model`` is once it has scored all studies.
    """

    task: str
    model: ChosenBy | None
    counts: WorklistCounts
    labels: Mapping[str, Mapping[str, int]]
    scoring: ScoringState

    def to_json(self) -> dict[str, Any]:
        """The state as JSON, without a schema: it is part of other answers."""
        return {
            "task": self.task,
            "model": self.model and asdict(self.model),
            "worklist": asdict(self.counts),
            "labels": {finding: dict(states) for finding, states in self.labels.items()},
            "scoring": asdict(self.scoring),
        }


@dataclass(frozen=True)
class Offer:
    """What the worklist answers to a wish.

    Attributes:
        wish: that was answered.
        proposals: best first; fewer than wished where there are no more, none where nothing is left.
        state: of the worklist; its counts are those of this reader and this wish.
        warnings: what the reader should know of how they were chosen.
    """

    wish: Wish
    proposals: tuple[Proposal, ...]
    state: WorklistState
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON (``vptct.next/1``)."""
        return {
            "schema": SCHEMA,
            "strategy": self.wish.strategy,
            **self.state.to_json(),
            "studies": [each.to_json() for each in self.proposals],
            "warnings": list(self.warnings),
        }
