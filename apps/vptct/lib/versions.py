"""The versions of a model, for clients (``vptct.versions/1``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.version_folder import VersionFolder

from .infer_task import ClassifyTask

SCHEMA = "vptct.versions/1"
REPORT = "report.html"
_NOTHING_KNOWN = dict.fromkeys(
    ("created", "pretraining", "trained_on", "synthetic", "calibrated", "thresholds", "validation_auroc",
     "comparison")
)  # fmt: skip


def versions_info(store: ModelStore, task: ClassifyTask, plain: Callable[[str], str]) -> dict[str, Any]:
    """All versions of a task and network.

    Args:
        store: where they lie.
        task: which task and network.
        plain: takes the server's folders out of a text.
    """
    name = (task.task.name, task.spec.name)
    problem, changes, served, before = "", (), None, None
    try:
        record = store.served(*name)
        changes, before = record.changes, record.before
        served = store.current_version(*name)
    except ModelCardError as error:
        problem = plain(str(error))
    return {
        "schema": SCHEMA,
        "name": task.name,
        "served": served,
        "before": before,
        "problem": problem or None,
        "versions": [_version(store, task, each, served, plain) for each in store.versions(*name)],
        "changes": [asdict(change) for change in changes],
    }


def served_now(card: ModelCard) -> dict[str, Any]:
    """The answer to a change of what is served."""
    return {"name": f"{card.task}_{card.model}", "served": card.version}


def _version(
    store: ModelStore, task: ClassifyTask, version: int, served: int | None, plain: Callable[[str], str]
) -> dict[str, Any]:
    folder = VersionFolder(store.root, task.task.name, task.spec.name)
    told = {
        "version": version,
        "served": version == served,
        "report": (folder.place(version) / REPORT).is_file(),
    }
    try:
        card = folder.card(version)
    except ModelCardError as error:
        return {**told, **_NOTHING_KNOWN, "problem": plain(str(error))}
    data = card.to_json()
    known = {name: data[name] for name in _NOTHING_KNOWN}
    return {**told, **known, "comparison": _comparison(card.comparison), "problem": None}


def _comparison(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the card says of the comparison with the version that was served; null where they could not be."""
    names = ("with_version", "better", "sentence", "figure", "served", "candidate", "gain")
    return {name: found.get(name) for name in names} if found else None
