"""How readers agree with each other, and what a fair sample of all studies says of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .estimate import Estimate, read_estimate
from .fields import Fields

SCHEMA = "vptct.agreement/1"


@dataclass(frozen=True)
class FindingAgreement:
    """How two readers agree on one finding.

    Attributes:
        finding: its name.
        readers: the two; None for the first reader of each study against the second one.
        kappa: Cohen's.
        observed: share of the studies with the same state; None where there are none.
        states: of the rows and columns of ``table``.
        table: studies, by the first reader's state and the second one's.
    """

    finding: str
    readers: tuple[str, ...] | None
    kappa: Estimate
    observed: float | None
    states: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Agreement:
    """How the readers of a task agree.

    Attributes:
        studies: that at least two have read.
        ordered: of them second readings on purpose.
        findings: by name.
        pairs: by pair of readers and finding.
    """

    studies: int
    ordered: int
    findings: Mapping[str, FindingAgreement]
    pairs: tuple[FindingAgreement, ...]


@dataclass(frozen=True)
class FindingProspect:
    """What a fair sample says of a finding.

    Attributes:
        present: studies that have it.
        prevalence: the share of them.
        auroc: of answers that were given before the label.
        unanswered: studies that had a label before any version had answered; ``auroc`` is without them.
        versions: that gave those answers.
        what_follows: the same in a sentence.
    """

    present: int
    prevalence: Estimate
    auroc: Estimate
    unanswered: int
    versions: tuple[str, ...]
    what_follows: str


@dataclass(frozen=True)
class Prospective:
    """What a fair sample of all studies says; ``sample`` studies, ``missing`` ones without a label.

    ``random_picks``: studies that were ever offered by chance.
    """

    sample: int
    missing: int
    random_picks: int
    findings: Mapping[str, FindingProspect]


def read_agreement(fields: Fields) -> Agreement:
    """How readers agree."""
    fields = Fields.of_schema(fields.data, SCHEMA)
    return Agreement(
        studies=fields.whole("studies"),
        ordered=fields.whole("ordered"),
        findings=fields.named("findings", _finding),
        pairs=fields.parts("pairs", _finding),
    )


def read_prospective(fields: Fields) -> Prospective:
    """What a fair sample says."""
    return Prospective(
        sample=fields.whole("sample"),
        missing=fields.whole("missing"),
        random_picks=fields.whole("random_picks"),
        findings=fields.named("findings", _prospect),
    )


def _finding(fields: Fields) -> FindingAgreement:
    return FindingAgreement(
        finding=fields.text("finding"),
        readers=fields.maybe(fields.texts, "readers"),
        kappa=fields.part("kappa", read_estimate),
        observed=fields.maybe(fields.number, "observed"),
        states=fields.texts("states"),
        table=fields.table("table"),
    )


def _prospect(fields: Fields) -> FindingProspect:
    return FindingProspect(
        present=fields.whole("present"),
        prevalence=fields.part("prevalence", read_estimate),
        auroc=fields.part("auroc", read_estimate),
        unanswered=fields.whole("unanswered"),
        versions=fields.texts("versions"),
        what_follows=fields.text("what_follows"),
    )
