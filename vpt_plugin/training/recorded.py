"""Two versions compared on what is recorded of both: honest answers to the same studies."""

from __future__ import annotations

import numpy as np

from vpt_plugin.training.comparison import Comparison, compare
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.validation_record import ValidationRecord


def compare_recorded(
    store: ModelStore, task: str, model: str, first: int, second: int, *, rule: str = "better"
) -> Comparison | None:
    """The second version as a candidate against the first, on the studies that are recorded of both.

    The states are those of the second one's training.

    Args:
        store: that holds both.
        task, model: of both.
        first, second: their versions.
        rule: of ``vpt_plugin.training.comparison.RULES``.

    Returns:
        None where nothing is recorded of one of them, they answer for different findings, or they have no
        study in common.

    Raises:
        ModelCardError: a record is damaged.
    """
    one, two = (ValidationRecord.read(store.place(task, model, version)) for version in (first, second))
    if one is None or two is None or one.findings != two.findings:
        return None
    before = {each.seen.scan: each for each in one.validated}
    pairs = [(before[each.seen.scan], each) for each in two.validated if each.seen.scan in before]
    if not pairs:
        return None
    served, candidate = (
        np.array([[each.probabilities[name] for name in two.findings] for each in side])
        for side in zip(*pairs, strict=True)
    )
    return compare(
        np.array([[each.states[name] for name in two.findings] for _, each in pairs]),
        served,
        candidate,
        [each.seen.patient for _, each in pairs],
        rule=rule,
    )
