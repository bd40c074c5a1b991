"""Worklists: of each task what is scored, labelled and left, and who has what (``vptct.active/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .agreement import Agreement, Prospective, read_agreement, read_prospective
from .fields import Fields

SCHEMA = "vptct.active/1"
SKIP_REASONS = ("poor_quality", "wrong_examination", "unreadable", "unsure", "other")


@dataclass(frozen=True)
class WorklistCounts:
    """How many studies are in which state; each study is in one of the first six.

    Attributes:
        free: may be proposed: how long the worklist is.
        held: without a label, in the hands of a reader.
        skipped: by this reader, or for everybody.
        labelled: for this task.
        unreadable: could not be scored.
        left_out: by this wish alone: its dates, or seen by this reader before.
        second_readings: of ``labelled``, in the hands of a reader who reads them a second time.
        unscored: of ``free``, not scored yet.
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
class ChoosingModel:
    """Whose scores choose; version 0 where nothing is trained yet."""

    name: str
    version: int
    pretraining: str


@dataclass(frozen=True)
class ScoringRun:
    """The scoring that runs: of which version, how many studies are done, and how long it still takes."""

    name: str
    version: int
    done: int
    total: int | None
    seconds_left: float | None


@dataclass(frozen=True)
class Scoring:
    """How far the scores of a task are.

    Attributes:
        scored, studies: how many of how many.
        complete: the scoring came to its end.
        offered: whether this server scores.
        state: of the scoring, such as ``queued`` or ``scoring``.
        problem: why it does not go on; None where it does.
        running: None where nothing runs for this task.
    """

    scored: int
    studies: int
    complete: bool
    offered: bool
    state: str
    problem: str | None
    running: ScoringRun | None


@dataclass(frozen=True)
class RetrainAdvice:
    """Whether a training is due, and the sentence that says why; ``problem``: why it could not be ordered.

    ``ordered``: one runs or waits, so none is due.
    """

    due: bool
    ordered: bool
    why: str
    new_labels: int
    every: int
    version: int | None
    problem: str | None


@dataclass(frozen=True)
class StrategyInfo:
    """A strategy, for a menu; ``needs`` is ``nothing``, ``embeddings`` or ``probabilities``."""

    name: str
    title: str
    description: str
    needs: str


@dataclass(frozen=True)
class TaskWorklist:
    """What is known of a task's worklist.

    Attributes:
        task: its name.
        model: whose scores choose; None where nothing is scored.
        worklist: the counts.
        labels: by finding and state, how many studies.
        scoring: how far that is.
        retrain: None where this server does not say.
        agreement, prospective: only in the full state, else None.
    """

    task: str
    model: ChoosingModel | None
    worklist: WorklistCounts
    labels: Mapping[str, Mapping[str, int]]
    scoring: Scoring
    retrain: RetrainAdvice | None
    agreement: Agreement | None
    prospective: Prospective | None


@dataclass(frozen=True)
class HeldStudy:
    """A lease in the state, and in the answer to its extension.

    Attributes:
        study: its id.
        task: it is to be labelled for.
        reader: who has it.
        reading: ``first`` or ``second``.
        since, until: UTC; at ``until`` it is over, unless it is extended.
        minutes: how long it lasts from an extension on; None where an older server does not tell.
        holder: to be said when it is extended or given back; "" where it is somebody else's, or not told.
    """

    study: str
    task: str
    reader: str
    reading: str
    since: str
    until: str
    minutes: float | None = None
    holder: str = ""


@dataclass(frozen=True)
class Skip:
    """A study that was skipped, and why."""

    study: str
    task: str
    reader: str
    reason: str
    comment: str
    when: str


@dataclass(frozen=True)
class Worklists:
    """What is known of the worklists.

    Attributes:
        problem: why they cannot be told; None where they can.
        lease_minutes: how long a study is kept for a reader.
        double_read: the share of offers that are second readings.
        strategies: in the order of a menu.
        tasks: those that are served.
        leases, skips: one's own, for a reviewer all; () in ``GET /info/``.
    """

    problem: str | None
    lease_minutes: float
    double_read: float
    strategies: tuple[StrategyInfo, ...]
    tasks: tuple[TaskWorklist, ...]
    leases: tuple[HeldStudy, ...]
    skips: tuple[Skip, ...]


def read_worklists(data: object) -> Worklists:
    """The answer of ``GET /activelearning/``, and the shorter block of ``GET /info/``.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields.of_schema(data, SCHEMA)
    return Worklists(
        problem=fields.maybe(fields.text, "problem"),
        lease_minutes=fields.number("lease_minutes"),
        double_read=fields.number("double_read"),
        strategies=fields.parts("strategies", _strategy),
        tasks=fields.parts("tasks", _task),
        leases=fields.parts("leases", read_held) if "leases" in fields.data else (),
        skips=fields.parts("skips", _skip) if "skips" in fields.data else (),
    )


def read_held(fields: Fields) -> HeldStudy:
    """A lease in the state, and in the answer to its extension."""
    return HeldStudy(
        study=fields.text("study"),
        task=fields.text("task"),
        reader=fields.text("reader"),
        reading=fields.text("reading"),
        since=fields.text("since"),
        until=fields.text("until"),
        minutes=fields.optional(fields.number, "minutes"),
        holder=fields.optional(fields.text, "holder") or "",
    )


def read_counts(fields: Fields) -> WorklistCounts:
    """The counts of a worklist."""
    names = (
        "free", "held", "skipped", "labelled", "unreadable", "left_out", "second_readings", "unscored",
    )  # fmt: skip
    return WorklistCounts(*(fields.whole(name) for name in names))


def read_choosing_model(fields: Fields) -> ChoosingModel:
    """Whose scores choose."""
    return ChoosingModel(fields.text("name"), fields.whole("version"), fields.text("pretraining"))


def read_label_counts(fields: Fields) -> Mapping[str, Mapping[str, int]]:
    """How many studies have each state, by finding."""
    inner = fields.inner("labels")
    return {finding: inner.counts(finding) for finding in inner.data}


def read_scoring(fields: Fields) -> Scoring:
    """How far a scoring is."""
    return Scoring(
        scored=fields.whole("scored"),
        studies=fields.whole("studies"),
        complete=fields.flag("complete"),
        offered=fields.flag("offered"),
        state=fields.text("state"),
        problem=fields.maybe(fields.text, "problem"),
        running=fields.part_or_none("running", _running),
    )


def read_retrain(fields: Fields) -> RetrainAdvice:
    """Whether a training is due."""
    return RetrainAdvice(
        due=fields.flag("due"),
        ordered=fields.flag("ordered"),
        why=fields.text("why"),
        new_labels=fields.whole("new_labels"),
        every=fields.whole("every"),
        version=fields.maybe(fields.whole, "version"),
        problem=fields.maybe(fields.text, "problem"),
    )


def _running(fields: Fields) -> ScoringRun:
    return ScoringRun(
        name=fields.text("name"),
        version=fields.whole("version"),
        done=fields.whole("done"),
        total=fields.maybe(fields.whole, "total"),
        seconds_left=fields.maybe(fields.number, "seconds_left"),
    )


def _strategy(fields: Fields) -> StrategyInfo:
    return StrategyInfo(*(fields.text(name) for name in ("name", "title", "description", "needs")))


def _task(fields: Fields) -> TaskWorklist:
    whole = "agreement" in fields.data
    return TaskWorklist(
        task=fields.text("task"),
        model=fields.part_or_none("model", read_choosing_model),
        worklist=fields.part("worklist", read_counts),
        labels=read_label_counts(fields),
        scoring=fields.part("scoring", read_scoring),
        retrain=fields.part_or_none("retrain", read_retrain),
        agreement=fields.part("agreement", read_agreement) if whole else None,
        prospective=fields.part("prospective", read_prospective) if whole else None,
    )


def _skip(fields: Fields) -> Skip:
    return Skip(*(fields.text(name) for name in ("study", "task", "reader", "reason", "comment", "when")))
