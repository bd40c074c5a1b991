"""Versions: of a network for a task, which is served, and what was before (``vptct.versions/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .comparison import Comparison, read_comparison
from .estimate import Estimate, read_estimates
from .fields import Fields

SCHEMA = "vptct.versions/1"


@dataclass(frozen=True)
class Version:
    """One version. What its model card does not tell is None; ``problem`` says why.

    Attributes:
        version: its number.
        served: whether it answers.
        report: whether there is a page to look at.
        created: UTC.
        pretraining: where its weights began.
        trained_on: studies.
        synthetic: whether those were phantoms.
        calibrated: whether its probabilities were fitted.
        thresholds: by finding; None for one that has none.
        validation_auroc: by finding.
        comparison: with the version that was served when it was trained.
        problem: why its card cannot be read; None where it can.
    """

    version: int
    served: bool
    report: bool
    created: str | None
    pretraining: str | None
    trained_on: int | None
    synthetic: bool | None
    calibrated: bool | None
    thresholds: Mapping[str, float | None] | None
    validation_auroc: Mapping[str, Estimate] | None
    comparison: Comparison | None
    problem: str | None


@dataclass(frozen=True)
class Change:
    """When another version began to answer.

    Attributes:
        version: since then.
        how: ``published``, ``promoted`` or ``rolled back``.
        why: what was said about it.
        by: who.
        when: UTC.
    """

    version: int
    how: str
    why: str
    by: str
    when: str


@dataclass(frozen=True)
class Versions:
    """All versions of a network for a task.

    Attributes:
        name: ``<task>_<network>``.
        served: the one that answers; None for none.
        before: what ``rollback`` would serve; None for none.
        problem: why that cannot be told; None where it can.
        versions: by number.
        changes: oldest first.
    """

    name: str
    served: int | None
    before: int | None
    problem: str | None
    versions: tuple[Version, ...]
    changes: tuple[Change, ...]


def read_versions(data: object) -> Versions:
    """The answer of ``GET /versions/{model}``.

    Raises:
        ContractError: it is not as agreed.
    """
    fields = Fields.of_schema(data, SCHEMA)
    return Versions(
        name=fields.text("name"),
        served=fields.maybe(fields.whole, "served"),
        before=fields.maybe(fields.whole, "before"),
        problem=fields.maybe(fields.text, "problem"),
        versions=fields.parts("versions", _version),
        changes=fields.parts("changes", _change),
    )


def read_served(data: object) -> int:
    """The number of the version that answers since a promotion or a rollback."""
    return Fields(data, "the served version").whole("served")


def _version(fields: Fields) -> Version:
    return Version(
        version=fields.whole("version"),
        served=fields.flag("served"),
        report=fields.flag("report"),
        created=fields.maybe(fields.text, "created"),
        pretraining=fields.maybe(fields.text, "pretraining"),
        trained_on=fields.maybe(fields.whole, "trained_on"),
        synthetic=fields.maybe(fields.flag, "synthetic"),
        calibrated=fields.maybe(fields.flag, "calibrated"),
        thresholds=fields.maybe(fields.numbers_or_null, "thresholds"),
        validation_auroc=read_estimates(fields, "validation_auroc"),
        comparison=fields.part_or_none("comparison", read_comparison),
        problem=fields.maybe(fields.text, "problem"),
    )


def _change(fields: Fields) -> Change:
    return Change(
        version=fields.whole("version"),
        how=fields.text("how"),
        why=fields.text("why"),
        by=fields.text("by"),
        when=fields.text("when"),
    )
