"""Which study next: the strategies by name, and ``choose``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from vpt_plugin.acquisition.auto import auto as _auto
from vpt_plugin.acquisition.badge import badge
from vpt_plugin.acquisition.chance import by_chance, random_order
from vpt_plugin.acquisition.pool import Choice, Pool
from vpt_plugin.acquisition.question import AutoSettings, Question
from vpt_plugin.acquisition.space import Geometry, nearest
from vpt_plugin.acquisition.typical import typical
from vpt_plugin.acquisition.uncertain import diverse_uncertain, uncertain
from vpt_plugin.errors import ConfigurationError

__all__ = ["MAX_PICKS", "STRATEGIES", "AutoSettings", "Geometry", "StrategySpec", "choose", "random_order"]

# At once. Long before that many are labelled another network would choose others.
MAX_PICKS = 1000


@dataclass(frozen=True)
class StrategySpec:
    """A strategy.

    Attributes:
        name: as it is asked for.
        title: for a client's menu.
        description: one line for a client's menu.
        needs: what must have been computed of the studies.
        choose: the choices for a question, best first.
    """

    name: str
    title: str
    description: str
    needs: Literal["nothing", "embeddings", "probabilities"]
    choose: Callable[[Question], list[Choice]]


_SPECS = (
    StrategySpec(
        "auto", "Automatic",
        "Typical studies until both states have enough labels, then diverse uncertain ones; some by chance",
        "nothing", _auto,
    ),
    StrategySpec(
        "random", "By chance", "An order that depends on nothing but a seed; for unbiased estimates",
        "nothing", by_chance,
    ),
    StrategySpec(
        "typical", "Typical",
        "The most typical study of each group of alike ones without a label; needs no trained network",
        "embeddings", typical,
    ),
    StrategySpec(
        "uncertain", "Uncertain", "Studies that the network is least sure of",
        "probabilities", uncertain,
    ),
    StrategySpec(
        "diverse-uncertain", "Uncertain and diverse",
        "Of the studies that the network is least sure of, those least alike",
        "probabilities", diverse_uncertain,
    ),
    StrategySpec(
        "badge", "BADGE", "Studies whose labels would change the network most, each in another direction",
        "probabilities", badge,
    ),
)  # fmt: skip
STRATEGIES: Mapping[str, StrategySpec] = MappingProxyType({spec.name: spec for spec in _SPECS})


def choose(
    name: str,
    pool: Pool,
    n: int,
    rng: np.random.Generator,
    *,
    seed: int = 0,
    finding: str = "",
    auto: AutoSettings | None = None,
    geometry: Geometry | None = None,
) -> list[Choice]:
    """Up to ``n`` of the pool's free studies, the most useful first.

    Args:
        name: a key of ``STRATEGIES``.
        pool: may hold studies that are not scored: without embeddings (no columns, or nan in their rows)
            only ``random`` and ``auto`` choose them; without probabilities, not those that need them.
        n: how many, 1 to ``MAX_PICKS``.
        rng: all that is drawn comes from it.
        seed: of the order of ``random``, also within ``auto``.
        finding: only this one counts; empty for all of the task's.
        auto: settings of ``auto``; None for the defaults.
        geometry: of the pool's two arrays of embeddings, kept from an earlier pick; None works it out anew.

    Raises:
        ConfigurationError: no such strategy or finding, a wrong ``n``, or the strategy needs what has not
            been computed for any free study.
    """
    if name not in STRATEGIES:
        raise ConfigurationError(f"There is no strategy {name!r}.", f"Choose from {', '.join(STRATEGIES)}.")
    if not 1 <= n <= MAX_PICKS:
        raise ConfigurationError(f"{n} studies were asked for; it must be 1 to {MAX_PICKS}.")
    geometry = geometry or Geometry(pool.embeddings, pool.key_embeddings)
    question = Question(pool, n, rng, seed, _columns(pool, finding), auto or AutoSettings(), geometry)
    if not pool.free.any():
        return []
    _check_needs(STRATEGIES[name], question)
    # k-means on a few thousand studies gains nothing by more threads, and beside other work, such as the
    # scoring, those that wait for each other take ten times as long. Other threads keep what they have.
    with threadpool_limits(limits=1, user_api="openmp"):
        choices = STRATEGIES[name].choose(question)
    rows = np.array([choice.row for choice in choices], dtype=np.int64)
    near = nearest(question.space, rows, question.labelled)
    return [
        replace(choice, nearest_labelled=found[0], nearest_distance=found[1]) if found else choice
        for choice, found in zip(choices, near, strict=True)
    ]


def _columns(pool: Pool, finding: str) -> tuple[int, ...]:
    if not finding:
        return tuple(range(len(pool.findings)))
    if finding not in pool.findings:
        raise ConfigurationError(
            f"The task has no finding {finding!r}.", f"Choose from {', '.join(pool.findings)}."
        )
    return (pool.findings.index(finding),)


def _check_needs(spec: StrategySpec, question: Question) -> None:
    if spec.needs == "embeddings" and not question.has_embeddings:
        raise ConfigurationError(
            f"{spec.name!r} needs scored studies, and none of those to choose from is scored yet.",
            "Wait for the scoring, or ask for 'auto' or 'random', which need none.",
        )
    if spec.needs == "probabilities" and not question.has_probabilities:
        raise ConfigurationError(
            f"{spec.name!r} needs a trained network's probabilities; no study to choose from has any yet.",
            "Train one and wait until it has scored the studies, or ask for 'auto', 'typical' or 'random'.",
        )
