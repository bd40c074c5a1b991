"""NextStudy: what the server proposes to label next, and why (``vptct.next/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .fields import Fields
from .worklist import (
    ChoosingModel,
    RetrainAdvice,
    Scoring,
    WorklistCounts,
    read_choosing_model,
    read_counts,
    read_label_counts,
    read_retrain,
    read_scoring,
)

SCHEMA = "vptct.next/1"


@dataclass(frozen=True)
class Lease:
    """A study in the hands of this reader.

    Attributes:
        study: its id.
        task: it is to be labelled for.
        since, until: UTC; at ``until`` it is over, unless it is extended.
        minutes: how long it lasts from an extension on.
        holder: to be said when it is extended or given back.
    """

    study: str
    task: str
    since: str
    until: str
    minutes: float
    holder: str


@dataclass(frozen=True)
class Nearest:
    """The labelled study most like a proposed one; ``distance`` 0 for alike, about 1 for unlike."""

    study: str
    distance: float


@dataclass(frozen=True)
class Cluster:
    """The group of alike studies that a proposed one stands for."""

    number: int
    studies: int
    labelled: int


@dataclass(frozen=True)
class Proposal:
    """A study to label, and why.

    Attributes:
        study: its id.
        strategy: that chose it; ``double-read`` for a second reading.
        score: the higher the more useful, within one strategy; None where there is none.
        why: the sentence for the reader.
        probabilities: by finding; None where nothing is known or nothing is to be told.
        nearest_labelled: None where nothing is known.
        cluster: None where the strategy makes none.
        reading: ``first`` or ``second``.
        label_version: what ``if_version`` is to be when its label is saved.
        study_date: as YYYYMMDD; None where it is not known.
        lease: None where it was only ranked.
    """

    study: str
    strategy: str
    score: float | None
    why: str
    probabilities: Mapping[str, float] | None
    nearest_labelled: Nearest | None
    cluster: Cluster | None
    reading: str
    label_version: int
    study_date: str | None
    lease: Lease | None


@dataclass(frozen=True)
class NextStudy:
    """What the server answers to who asks for a study.

    Attributes:
        task, strategy: that were asked for.
        model: whose scores chose; None where nothing is scored.
        proposals: best first; () where nothing is left.
        worklist: how many studies are in which state, for this reader.
        labels: by finding and state, how many studies.
        scoring: how far that is.
        retrain: whether a training is due; None where this server does not say.
        warnings: what the reader should know.
    """

    task: str
    strategy: str
    model: ChoosingModel | None
    proposals: tuple[Proposal, ...]
    worklist: WorklistCounts
    labels: Mapping[str, Mapping[str, int]]
    scoring: Scoring
    retrain: RetrainAdvice | None
    warnings: tuple[str, ...]


def read_next(data: object) -> NextStudy:
    """The answer of ``POST /activelearning/{strategy}``.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields.of_schema(Fields(data, "the next study").data.get("vptct"), SCHEMA)
    return NextStudy(
        task=fields.text("task"),
        strategy=fields.text("strategy"),
        model=fields.part_or_none("model", read_choosing_model),
        proposals=fields.parts("studies", _proposal),
        worklist=fields.part("worklist", read_counts),
        labels=read_label_counts(fields),
        scoring=fields.part("scoring", read_scoring),
        retrain=fields.part_or_none("retrain", read_retrain),
        warnings=fields.texts("warnings"),
    )


def _proposal(fields: Fields) -> Proposal:
    return Proposal(
        study=fields.text("study"),
        strategy=fields.text("strategy"),
        score=fields.maybe(fields.number, "score"),
        why=fields.text("why"),
        probabilities=fields.maybe(fields.numbers, "probabilities"),
        nearest_labelled=fields.part_or_none("nearest_labelled", _nearest),
        cluster=fields.part_or_none("cluster", _cluster),
        reading=fields.text("reading"),
        label_version=fields.whole("label_version"),
        study_date=fields.maybe(fields.text, "study_date"),
        lease=fields.part_or_none("lease", _lease),
    )


def _nearest(fields: Fields) -> Nearest:
    return Nearest(fields.text("study"), fields.number("distance"))


def _cluster(fields: Fields) -> Cluster:
    return Cluster(fields.whole("number"), fields.whole("studies"), fields.whole("labelled"))


def _lease(fields: Fields) -> Lease:
    return Lease(
        study=fields.text("study"),
        task=fields.text("task"),
        since=fields.text("since"),
        until=fields.text("until"),
        minutes=fields.number("minutes"),
        holder=fields.text("holder"),
    )
