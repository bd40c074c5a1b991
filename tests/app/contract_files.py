"""The files in tests/contract, and how a real answer is held against one: key by key and type by type."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
# What is named after findings, models or strategies has keys of its own in every answer.
NAMED = {
    "findings", "models", "strategies", "thresholds", "validation_auroc", "trainers", "labels",
    "probabilities", "contradictions",
}  # fmt: skip
# What is null until there is something to say; with a dot, only below a key of that name.
LATER = {
    "running", "before", "progress", "outcome", "error", "comparison", "started", "ended", "seconds_left",
    "loss", "best_auroc", "validation_auroc", "active.problem", "tasks.model", "vptct.model",
    "retrain.version",
    "running.total", "scoring.problem",
    "studies.score", "studies.probabilities", "studies.nearest_labelled", "studies.cluster",
    "studies.study_date", "kappa.value", "prevalence.value", "auroc.value", "findings.readers",
    "needs.pixels", "uploads.session_minutes", "leases.holder",
    "findings.conformal", "vptct.suitability", "checks.value", "suitability.distance", "vptct.heat_map",
    "heat_map.findings.key_slice_mm", "heat_map.findings.hottest_mm",
    "uncertainty.version_disagreement",
    "findings.observed", "agreement_on.present", "agreement_on.absent", "agreement_on.indeterminate",
}  # fmt: skip
# Whatever a trainer takes, and whatever was asked of it.
ANYTHING = {"config", "settings", "train_stats"}


def golden(name: str) -> Any:
    return json.loads((CONTRACT / name).read_text(encoding="utf-8"))


def differences(real: Any, expected: Any, at: str = "") -> list[str]:
    """Where keys or types differ. A list's element must be like one of the expected list's elements."""
    key = at.rpartition(".")[2]
    if (is_later(at) and None in (real, expected)) or (key in ANYTHING and isinstance(real, dict)):
        return []
    if key.startswith("ci95[") and real is None:  # no interval: all resamples agree
        return []
    if isinstance(expected, dict) and isinstance(real, dict):
        # A task's labels are counted by state, which is no name of anything.
        if key in NAMED and not ({"value", "ci95"} <= set(expected) or "present" in expected):
            example = next(iter(expected.values()), None)
            return [
                line for name, value in real.items() for line in differences(value, example, f"{at}[{name}]")
            ]
        if set(real) != set(expected):
            return [f"{at}: {sorted(set(real) ^ set(expected))} only on one side"]
        return [line for name in real for line in differences(real[name], expected[name], f"{at}.{name}")]
    if isinstance(expected, list) and isinstance(real, list):
        if real and not expected:
            return [f"{at}: {len(real)} elements, of which none is agreed"]
        found = [
            min((differences(each, choice, f"{at}[{i}]") for choice in expected), key=len)
            for i, each in enumerate(real)
        ]
        return [line for lines in found for line in lines]
    return [] if kind(real) == kind(expected) else [f"{at}: {kind(real)} where {kind(expected)} is agreed"]


def is_later(at: str) -> bool:
    """Whether what stands at this place may be null."""
    place = re.sub(r"\[[^]]*\]", "", at)
    return any(place.endswith(f".{each}") for each in LATER)


def kind(value: Any) -> str:
    """The type of a JSON value; 1 and 1.0 are the same."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return type(value).__name__
    return "number"
