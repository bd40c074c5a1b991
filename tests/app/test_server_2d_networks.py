"""A network of single slices behind the server's routes: listed, asked, and ordered to be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_nifti
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore

TASK = TASKS["nodule"]


def test_a_slice_network_is_listed_and_answers_with_every_slice(serve, spread_out, tmp_path: Path) -> None:
    hu = np.random.default_rng(0).normal(-700, 150, size=(40, 48, 48))
    hu += np.linspace(0, 600, 40)[:, None, None]
    volume = Volume(hu.astype(np.int16), (2.5, 6.0, 6.0), (0.0, 0.0, 0.0), np.eye(3)[::-1].copy(), "noise")
    classifier = new_classifier(get_model("resnet18_2d"), TASK.findings)
    with torch.no_grad():
        spread_out(classifier, TASK, volume)
    card = ModelCard("nodule", "resnet18_2d", TASK.findings, "none", clip_slices=1)
    ModelStore(tmp_path / "models").publish(classifier, card)
    (tmp_path / "studies").mkdir()
    write_nifti(volume, tmp_path / "studies" / "p01.nii")
    site = serve({"models": "resnet18_2d,lrcn", "tasks": "nodule"})

    told = site.ask("GET", "/info/").json()
    assert {"nodule_resnet18_2d", "nodule_lrcn"} <= set(told["models"]) & set(told["trainers"])
    assert [(each["network"], each["trained"]) for each in told["vptct"]["models"]] == [
        ("resnet18_2d", True), ("lrcn", False),
    ]  # fmt: skip

    answer = site.ask("POST", "/infer/nodule_resnet18_2d", params={"image": "p01.nii"}).json()
    (finding,) = answer["vptct"]["findings"]
    assert [(clip["first_slice"], clip["last_slice"]) for clip in finding["clips"]] == [
        (number, number) for number in range(40)
    ]
    said = [clip["probability"] for clip in finding["clips"]]
    assert finding["probability"] == max(said) == answer["prediction"][0]["score"]
    assert finding["key_slice_mm"] == pytest.approx(finding["clips"][said.index(max(said))]["z_mm"][0])

    refused = site.ask("POST", "/infer/nodule_lrcn", params={"image": "p01.nii"})
    assert refused.status_code == 409, refused.text
