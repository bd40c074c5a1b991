"""From what a strategy chose to what a reader is told, and what is written down of it."""

from __future__ import annotations

from vpt_plugin.acquisition.pool import Choice, Pool
from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.active.chosen_scores import StudyScores
from vpt_plugin.active.offers import DOUBLE_READ, SECOND, AlikeStudies, NearestLabelled, Proposal, Wish
from vpt_plugin.active.second_reading import WHY
from vpt_plugin.active.view import View
from vpt_plugin.errors import NotScoredError
from vpt_plugin.store.leases import Lease, Order


def refuse_unscored(wish: Wish, scores: StudyScores, pool: Pool) -> None:
    """Refuse a strategy that needs what no scoring has computed yet.

    Raises:
        NotScoredError: says what to ask for instead.
    """
    needs = STRATEGIES[wish.strategy].needs
    if needs == "nothing":
        return
    if not scores.scored[pool.free].any():
        raise NotScoredError(
            f"strategy {wish.strategy} needs studies that the network has looked at, and there are none yet.",
            "Choose auto or random until it has.",
        )
    if needs == "probabilities" and scores.probabilities is None:
        raise NotScoredError(
            f"strategy {wish.strategy} needs a network that was trained for {wish.task}, and there is none.",
            "Choose auto, typical or random, label what they propose, and train.",
        )


def proposal_of(choice: Choice, scores: StudyScores) -> Proposal:
    """What a reader is told of a choice."""
    study = scores.studies[choice.row]
    nearest = cluster = None
    if choice.nearest_labelled is not None and choice.nearest_distance is not None:
        nearest = NearestLabelled(scores.studies[choice.nearest_labelled], choice.nearest_distance)
    if choice.cluster is not None:
        cluster = AlikeStudies(choice.cluster, choice.cluster_size or 0, choice.cluster_taken or 0)
    return Proposal(
        study,
        choice.strategy,
        choice.score,
        choice.why,
        probabilities=scores.probabilities_of(study),
        nearest_labelled=nearest,
        cluster=cluster,
        study_date=scores.dates.get(study, ""),
    )


def second_reading(study: str, view: View) -> Proposal:
    """A study that is to be read as if for the first time: nothing is told of what anybody said of it."""
    return Proposal(
        study,
        DOUBLE_READ,
        float("nan"),
        WHY,
        reading=SECOND,
        label_version=view.labels[study].version,
        study_date=view.scores.dates.get(study, ""),
    )


def order_of(proposal: Proposal, wish: Wish, scores: StudyScores) -> Order:
    """What is written down of a proposal when it is leased: what the model said counts as said before."""
    said = proposal.probabilities
    by = scores.by if said else None
    return Order(
        proposal.study,
        wish.task,
        proposal.strategy,
        proposal.reading,
        said or {},
        by.model if by else "",
        by.version if by else 0,
        proposal.why,
        wish.wish_id,
    )


def given_before(lease: Lease, label_version: int, study_date: str) -> Proposal:
    """What a reader was told of a study that they have, as far as it was written down.

    Args:
        lease: theirs.
        label_version: the newest one of the study.
        study_date: as YYYYMMDD; "" where it is not known.
    """
    return Proposal(
        lease.study,
        lease.strategy,
        float("nan"),
        lease.why,
        probabilities=lease.probabilities or None,
        reading=lease.reading,
        label_version=label_version,
        lease=lease,
        study_date=study_date,
    )
