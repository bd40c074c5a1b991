"""The worklist in words: how long it is, what was labelled, which strategies can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract.next_study import Lease, Proposal
from ..contract.worklist import StrategyInfo, TaskWorklist
from ..i18n import tr as _
from .held import Held
from .words import duration, finding_in_words

_EMBEDDINGS, _PROBABILITIES = "embeddings", "probabilities"


@dataclass(frozen=True)
class StrategyOffer:
    """A strategy for the menu; ``why_not`` is "" where it can be asked for now."""

    name: str
    title: str
    description: str
    why_not: str


def strategy_offer(info: StrategyInfo, worklist: TaskWorklist | None) -> StrategyOffer:
    """A strategy, and whether what it needs is there."""
    return StrategyOffer(info.name, info.title, info.description, _why_not(info.needs, worklist))


def worklist_in_words(worklist: TaskWorklist) -> str:
    """Such as "334 to label, 3 held, 60 labelled; the network has looked at 280 of 400"."""
    counts, scoring = worklist.worklist, worklist.scoring
    parts = [
        _("{n} to label").format(n=counts.free),
        _("{n} held").format(n=counts.held),
        _("{n} labelled").format(n=counts.labelled),
    ]
    if counts.skipped:
        parts.append(_("{n} skipped").format(n=counts.skipped))
    if counts.unreadable:
        parts.append(_("{n} unreadable").format(n=counts.unreadable))
    if not scoring.offered and not scoring.scored:
        return ", ".join(parts)
    scored = _("the network has looked at {n} of {m}").format(n=scoring.scored, m=scoring.studies)
    if scoring.running is not None and scoring.running.seconds_left is not None:
        scored = _("{scored} (about {time} left)").format(
            scored=scored, time=duration(scoring.running.seconds_left)
        )
    if scoring.problem is not None:
        scored = _("{scored}, and no more: {why}").format(scored=scored, why=scoring.problem)
    return "; ".join((", ".join(parts), scored))


def label_counts_in_words(worklist: TaskWorklist) -> str:
    """A line per finding: how many studies have it, have it not, or nobody can tell."""
    return "\n".join(
        _("{finding}: {present} present, {absent} absent, {indeterminate} indeterminate").format(
            finding=finding_in_words(finding),
            present=counts.get("present", 0),
            absent=counts.get("absent", 0),
            indeterminate=counts.get("indeterminate", 0),
        )
        for finding, counts in worklist.labels.items()
    )


def proposal_of(held: Held, label_version: int) -> Proposal:
    """A proposal whose reason is not known any more, such as that of an earlier session."""
    return Proposal(
        study=held.study,
        strategy="",
        score=None,
        why=_("You hold this study from before."),
        probabilities=None,
        nearest_labelled=None,
        cluster=None,
        reading=held.reading,
        label_version=label_version,
        study_date=None,
        lease=Lease(held.study, held.task, "", held.until, 0.0, held.holder),
    )


def _why_not(needs: str, worklist: TaskWorklist | None) -> str:
    if worklist is None or needs not in (_EMBEDDINGS, _PROBABILITIES):
        return ""
    if needs == _PROBABILITIES and (worklist.model is None or worklist.model.version == 0):
        return _("needs a trained network")
    if worklist.scoring.scored == 0:
        return _("needs studies that the network has looked at")
    return ""
