"""What ``GET /info/`` says of a model that no longer fits its task."""

from __future__ import annotations

from pathlib import Path

from lib.conf import read_conf
from lib.info import server_info

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import SourceState
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts


def test_a_model_trained_with_another_hu_window_counts_as_untrained_and_says_why(tmp_path: Path) -> None:
    task, spec = TASKS["nodule"], get_model("tiny")
    card = ModelCard(
        task="nodule",
        model="tiny",
        findings=task.findings,
        pretraining="none",
        clip_slices=spec.clip_slices,
        reading={**reading_facts(task, spec), "hu_window": {"centre": 40.0, "width": 400.0}},
    )
    store = ModelStore(tmp_path)
    store.publish(new_classifier(spec, task.findings), card)
    conf = read_conf({"tasks": "nodule", "models": "tiny", "models_dir": str(tmp_path)})
    (model,) = server_info(conf, store, LabelFolder(tmp_path / "labels"), SourceState("folder"), {}, {})[
        "models"
    ]
    assert model["trained"] is False
    assert model["problem"] == (
        "It was trained with HU window 40/400, the task has -600/1500: train it again for this task."
    )
