"""The server's real answers have the shape of the files in tests/contract, which clients test against too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from vpt_plugin.labels import StudyLabel

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
# What is named after findings, models or strategies has keys of its own in every answer.
NAMED = {"findings", "models", "strategies", "thresholds", "validation_auroc", "trainers"}
# What is null until there is something to say.
LATER = {
    "running", "before", "progress", "outcome", "error", "comparison", "started", "ended", "seconds_left",
    "loss", "best_auroc",
}  # fmt: skip
# Whatever a trainer takes, and whatever was asked of it.
ANYTHING = {"config", "settings", "train_stats"}


def golden(name: str) -> Any:
    return json.loads((CONTRACT / name).read_text(encoding="utf-8"))


def differences(real: Any, expected: Any, at: str = "") -> list[str]:
    """Where keys or types differ. A list's element must be like one of the expected list's elements."""
    key = at.rpartition(".")[2]
    if (key in LATER and None in (real, expected)) or (key in ANYTHING and isinstance(real, dict)):
        return []
    if isinstance(expected, dict) and isinstance(real, dict):
        if key in NAMED and not {"value", "ci95"} <= set(expected):
            example = next(iter(expected.values()))
            return [
                line for name, value in real.items() for line in differences(value, example, f"{at}[{name}]")
            ]
        if set(real) != set(expected):
            return [f"{at}: {sorted(set(real) ^ set(expected))} only on one side"]
        return [line for name in real for line in differences(real[name], expected[name], f"{at}.{name}")]
    if isinstance(expected, list) and isinstance(real, list):
        found = [
            min((differences(each, choice, f"{at}[{i}]") for choice in expected), key=len, default=[])
            for i, each in enumerate(real)
        ]
        return [line for lines in found for line in lines]
    return [] if kind(real) == kind(expected) else [f"{at}: {kind(real)} where {kind(expected)} is agreed"]


def kind(value: Any) -> str:
    """The type of a JSON value; 1 and 1.0 are the same."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return type(value).__name__
    return "number"


def test_the_comparison_finds_a_missing_key_and_a_wrong_type() -> None:
    expected = golden("result.json")
    changed = golden("result.json")
    del changed["vptct"]["model"]["version"]
    changed["vptct"]["findings"][0]["clips"][1]["z_mm"] = None
    assert differences(expected, expected) == []
    assert differences(changed, expected) == [
        ".vptct.model: ['version'] only on one side",
        ".vptct.findings[0].clips[1].z_mm: NoneType where list is agreed",
    ]


def test_the_result_is_as_agreed(client) -> None:
    assert differences(client.infer(image="p02.nii.gz").json(), golden("result.json")) == []


def test_the_info_is_as_agreed(client) -> None:
    assert differences(client.get("/info/").json(), golden("info.json")) == []


def test_the_trainings_are_as_agreed(client) -> None:
    real, agreed = client.get("/train/").json(), golden("training.json")
    assert differences(real, {name: agreed[name] for name in real}) == []
    # Beside them stand the keys of the training that runs, once there is one.
    assert set(agreed) - set(real) == set(agreed["running"])


def test_the_versions_are_as_agreed(client) -> None:
    assert differences(client.get("/versions/nodule_tiny").json(), golden("versions.json")) == []


def test_the_block_of_trainings_in_the_info_is_that_of_their_own_route() -> None:
    block = golden("info.json")["vptct"]["training"]
    assert block == {name: golden("training.json")[name] for name in block}


def test_the_label_is_as_agreed() -> None:
    label = golden("label.json")
    assert StudyLabel.from_json(label).to_json() == label


@pytest.mark.parametrize("study", ["p01--ct", "p03.nrrd"])
def test_the_agreed_label_is_saved_as_it_was_sent(client, study: str) -> None:
    saved = client.save_label(study, (CONTRACT / "label.json").read_bytes())
    assert saved.status_code == 200, saved.text
    assert set(saved.json()) == {
        "image", "label", "version", "sha256", "saved", "previous_version", "previous_annotator"
    }  # fmt: skip
    back = client.get("/datastore/label", params={"label": saved.json()["label"], "tag": "final"})
    assert back.json() == golden("label.json")
    assert hashlib.sha256(back.content).hexdigest() == saved.json()["sha256"]
