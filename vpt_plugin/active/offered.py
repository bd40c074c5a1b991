"""Labelled studies beside what the served version said of them before any reader did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from vpt_plugin.active.offers import FIRST
from vpt_plugin.store.labels import SavedLabel
from vpt_plugin.store.worklist_history import WorklistEvent, WorklistHistory

_STATES = {"present": 1.0, "absent": 0.0}
_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class OfferedStudy:
    """A labelled study.

    Attributes:
        study: its id.
        states: per finding, 1 present, 0 absent; without those of which nothing, or indeterminate, was said.
        saved: when the newest label was, as text that sorts by time.
        probabilities: per finding, what was said before the study had a label; empty where nobody was asked.
        model, version: that said it; "" and 0 for none.
    """

    study: str
    states: Mapping[str, float]
    saved: str = ""
    probabilities: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    model: str = ""
    version: int = 0


def offered_studies(
    task: str,
    findings: Sequence[str],
    labels: Iterable[SavedLabel],
    history: WorklistHistory,
) -> dict[str, OfferedStudy]:
    """The studies with a label of the task, by id.

    What the version said comes from the last offer before the first label. A study that nobody was offered,
    because its reader opened it himself, has what its client wrote into the label (``model_suggestion``), if
    it is the study's first label: of a later one a version may have learned.

    Args:
        task: its name.
        findings: of the task.
        labels: the newest of each study; those of other tasks are passed over.
        history: of the worklist.
    """
    offers = {
        offer.study: offer
        for offer in history.offers
        if offer.task == task and offer.reading == FIRST and offer.probabilities
    }
    found = {}
    for saved in labels:
        if saved.task == task:
            offer = offers.get(saved.study)
            said, model, version = _of_offer(offer) if offer else _of_suggestion(saved, findings)
            found[saved.study] = OfferedStudy(
                saved.study, known_states(saved, findings), saved.saved, said, model, version,
            )  # fmt: skip
    return found


def known_states(saved: SavedLabel, findings: Iterable[str]) -> dict[str, float]:
    """1 for present and 0 for absent, per finding; without those that are neither."""
    said = {name: saved.label.findings[name].state for name in findings if name in saved.label.findings}
    return {name: _STATES[state] for name, state in said.items() if state in _STATES}


def _of_offer(offer: WorklistEvent) -> tuple[Mapping[str, float], str, int]:
    return offer.probabilities, offer.model, offer.version


def _of_suggestion(saved: SavedLabel, findings: Sequence[str]) -> tuple[Mapping[str, float], str, int]:
    """What the label says that a model had said; a client may have written anything there."""
    suggestion = saved.label.model_suggestion
    model, version = suggestion.get("model"), suggestion.get("version")
    said = {name: float(suggestion[name]) for name in findings if _is_probability(suggestion.get(name))}
    if saved.version != 1 or not (isinstance(model, str) and type(version) is int and said):
        return _NOTHING, "", 0
    return said, model.removeprefix(f"{saved.task}/"), version


def _is_probability(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
