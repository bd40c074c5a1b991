"""Each of the paper's ten networks passes through one step of a cell, from weights as they are published."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from vpt_plugin.errors import ManifestError, WeightsNotFoundError
from vpt_plugin.models import catalog
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_run import run_cell
from vpt_plugin.study.cells import NetworkSize
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.ready import require_ready

MakeManifest = Callable[..., Path]
Publish = Callable[[str], tuple[Path, nn.Module]]
TEN = tuple(name for name in MODELS if name != "tiny")
SEVEN = tuple(name for name in TEN if MODELS[name].kind == "3d")
SMALL = NetworkSize(8, 40, 32)
# A position embedding ties MViT to whole clips.
SIZES = {"mvit_b": NetworkSize(32, 224, 224), "resnet18_2d": NetworkSize(1, 40, 32)}
SIZES["resnext101_2d"] = SIZES["resnet18_2d"]
# Too small to move a weight, so that those of the result are those of the file.
RATE = 1e-20


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, make_manifest: MakeManifest) -> Path:
    """Two studies to train on, two to validate on, two to test on."""
    return make_manifest(tmp_path_factory.mktemp("sets") / "balls", 2, 2, 2)


def plan_of(manifest: Path, networks: tuple[str, ...], arm: str) -> Plan:
    return Plan(
        name="ten",
        title="Ten networks",
        datasets=(StudyDataset("balls", "nodule", {100.0: (arm,)}, manifest),),
        networks=networks,
        seeds=(0,),
        learning_rates={"all": (RATE,)},
        training={
            # In bfloat16 maps this small now and then give a gradient that is no number on a CPU.
            "all": {
                "optimizer": "adam",
                "epochs": 1,
                "steps_per_epoch": 1,
                "batch": 2,
                "precision": "float32",
            },
            # Whole clips of MViT are the dearest of all: here the way back goes through its head alone, and
            # through all of it in the tests of training. Two clips at once take 8 GB.
            "mvit_b": {"micro_batch": 1, "train": "head", "precision": "auto"},
        },
        sizes={name: SIZES.get(name, SMALL) for name in networks},
    )


def as_published(entries: dict[str, Tensor], layout: str) -> Any:
    """As the publishers' training scripts saved them: the layouts that the catalog's first sources have."""
    if layout == "torchvision":
        return entries
    if layout == "penet":
        renamed = {name.replace("penet_blocks", "xnet_blocks"): each for name, each in entries.items()}
        return {"model_state": {f"module.{name}": each for name, each in renamed.items()}}
    return {"model_state": entries}


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Publish:
    """Writes random weights as the network's publisher would have; no checksum is asked for.

    Gives the file, and the backbone that they are of. The network is drawn once, since that takes large ones
    a second each time; every further one has zeros for weights, until it has read the file.
    """

    def write(name: str) -> tuple[Path, nn.Module]:
        spec = MODELS[name]
        pretraining, (first, *_) = next(iter(spec.weights.items()))
        source = replace(first, sha256="", sha256_prefix="")
        torch.manual_seed(0)
        network = spec.build()
        torch.save(as_published(network.state_dict(), source.layout), tmp_path / source.filename)
        empty = copy.deepcopy(network)
        for each in empty.parameters():
            each.data.zero_()
        known = replace(spec, weights={pretraining: (source,)}, build=lambda: copy.deepcopy(empty))
        monkeypatch.setattr(catalog, "MODELS", MappingProxyType({**MODELS, name: known}))
        return tmp_path / source.filename, spec.backbone(network)

    return write


@pytest.mark.parametrize("name", TEN)
def test_the_arm_video_of_every_network_passes_one_step_from_the_published_layout(
    name: str, manifest: Path, publish: Publish, tmp_path: Path
) -> None:
    file, theirs = publish(name)
    plan = plan_of(manifest, (name,), "video")
    (cell,) = plan.cells()
    result = run_cell(cell, plan, tmp_path / "out", weights=WeightsFolder(tmp_path))

    assert (result.epochs, result.steps_per_epoch, result.test_studies) == (1, 1, 2)
    assert result.provenance.pretrained_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    # The classifier that came out has the file's weights: all of them were read, under their names.
    (weights,) = CellFolder.of(tmp_path / "out", cell.id).models.glob("*/v0001/weights.safetensors")
    ours = safetensors.torch.load_file(weights)
    for entry, value in theirs.named_parameters():
        # LRCN's recurrence is not published: it begins at random.
        if not entry.startswith("sequence."):
            torch.testing.assert_close(ours[f"backbone.{entry}"], value.data, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SEVEN)
def test_the_arm_video_fails_with_the_import_command_where_the_weights_are_missing(
    name: str, manifest: Path, tmp_path: Path
) -> None:
    plan = plan_of(manifest, (name,), "video")
    (cell,) = plan.cells()
    with pytest.raises(WeightsNotFoundError, match=rf"kinetics.*{name}.*vpt weights import {name} FILE"):
        run_cell(cell, plan, tmp_path / "out", weights=WeightsFolder(tmp_path))
    # Before anything was trained or even prepared.
    assert not (tmp_path / "out").exists()


def test_all_missing_weights_of_a_plan_are_told_at_once_before_anything_trains(
    manifest: Path, tmp_path: Path
) -> None:
    plan = plan_of(manifest, ("swin_t", "lrcn", "resnext101_2d"), "video")
    with pytest.raises(WeightsNotFoundError) as error:
        require_ready(plan, WeightsFolder(tmp_path))
    assert "swin_t, lrcn, resnext101_2d" in error.value.message
    # LRCN begins from the weights of ResNeXt-101: one file, named once.
    assert error.value.hint.count("vpt weights import resnext101_2d FILE") == 1
    assert "vpt weights import swin_t FILE" in error.value.hint
    require_ready(plan_of(manifest, ("swin_t",), "none"), WeightsFolder(tmp_path))


def test_a_side_without_a_state_is_told_before_anything_trains(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    plan = plan_of(make_manifest(tmp_path / "few", 4, 2, 1), ("swin_t",), "none")
    with pytest.raises(ManifestError, match="at 100 % no study of the side test has lung_nodule absent"):
        require_ready(plan)
