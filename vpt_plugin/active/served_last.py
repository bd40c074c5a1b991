"""Which network of a task chooses studies: the one that was served last, else the best without a head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vpt_plugin.errors import NotTrainedError, WeightsError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answering import check_task
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts

_QUICK = "tiny"


@dataclass(frozen=True)
class ServedVersions:
    """The versions that are served for a task, one per network.

    Attributes:
        cards: of those that can answer, the one that was served last first.
        problems: what is wrong with the others, for people.
    """

    cards: tuple[ModelCard, ...]
    problems: tuple[str, ...]

    @property
    def last(self) -> ModelCard | None:
        """The version that was served last; None where no head was trained yet."""
        return self.cards[0] if self.cards else None


def served_versions(store: ModelStore, task: ReadingTask, networks: Iterable[ModelSpec]) -> ServedVersions:
    """What is served for a task. Reads a few small files: not for every request on a slow share.

    Args:
        store: where versions lie.
        task: that they have to answer for.
        networks: those that are asked about.
    """
    found: list[tuple[str, ModelCard]] = []
    problems: list[str] = []
    for spec in networks:
        try:
            if (version := store.current_version(task.name, spec.name)) is None:
                continue
            card = store.card(task.name, spec.name, version)
            check_task(card, task, reading_facts(task, spec))
            # A version that was copied here by hand was never recorded.
            since = store.served(task.name, spec.name).changes[-1].when or card.created
        except (WeightsError, NotTrainedError) as error:
            problems.append(str(error))
            continue
        found.append((since, card))
    # Stable: of two at the same time the one that the site names first.
    newest_first = sorted(found, key=lambda each: each[0], reverse=True)
    return ServedVersions(tuple(card for _, card in newest_first), tuple(problems))


def untrained_network(networks: Iterable[ModelSpec], weights: WeightsFolder) -> ModelSpec:
    """The network whose features choose while none is trained: a pretrained one, else a quick one.

    Args:
        networks: one at least; of several that are pretrained the first one.
        weights: where published weights lie.
    """
    known = list(networks)
    for spec in known:
        if any(weights.has(each) for sources in spec.weights.values() for each in sources):
            return spec
    return next((spec for spec in known if spec.name == _QUICK), known[0])
