from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vpt_plugin.errors import WeightsError, WeightsLayoutError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.layouts import check_layout, load_strictly, read_weights


@pytest.fixture
def tiny() -> nn.Module:
    return get_model("tiny").build()


def saved(content: Any, folder: Path, **how: Any) -> Path:
    torch.save(content, folder / "weights.pth", **how)
    return folder / "weights.pth"


def numbered(*names: str) -> dict[str, Tensor]:
    return {name: torch.tensor([float(number)]) for number, name in enumerate(names)}


def numbers(entries: dict[str, Tensor]) -> dict[str, float]:
    return {name: each.item() for name, each in entries.items()}


def test_the_authors_video_swin_gets_torchvisions_names(tmp_path: Path) -> None:
    theirs = numbered(
        "backbone.patch_embed.proj.weight",
        "backbone.patch_embed.norm.bias",
        "backbone.layers.0.blocks.1.attn.qkv.weight",
        "backbone.layers.0.blocks.1.attn.relative_position_index",
        "backbone.layers.0.downsample.reduction.weight",
        "backbone.layers.2.blocks.5.mlp.fc1.weight",
        "backbone.layers.2.blocks.5.mlp.fc2.bias",
        "backbone.layers.3.blocks.0.norm2.weight",
        "backbone.norm.weight",
        "cls_head.fc_cls.bias",
    )
    read = read_weights(saved({"meta": {}, "state_dict": theirs}, tmp_path), "video_swin", what="it")
    assert numbers(read) == {
        "patch_embed.proj.weight": 0,
        "patch_embed.norm.bias": 1,
        "features.0.1.attn.qkv.weight": 2,
        "features.0.1.attn.relative_position_index": 3,
        "features.1.reduction.weight": 4,
        "features.4.5.mlp.0.weight": 5,
        "features.4.5.mlp.3.bias": 6,
        "features.6.0.norm2.weight": 7,
        "norm.weight": 8,
        "head.bias": 9,
    }


def test_a_whole_file_of_the_authors_video_swin_fills_torchvisions_network(
    tmp_path: Path, enliven: Callable[..., nn.Module], save_as_published: Callable[..., Path]
) -> None:
    network = enliven(get_model("swin_t").build())
    file = save_as_published(network.state_dict(), "video_swin", tmp_path / "swin.pth")
    read = read_weights(file, "video_swin", what="swin.pth")
    check_layout(read, network, head="head.", what="swin.pth")
    assert all(torch.equal(read[name], each) for name, each in network.state_dict().items())


def test_penets_entries_lose_the_prefix_of_several_gpus_and_their_blocks_older_name(tmp_path: Path) -> None:
    old = numbered("module.in_conv.0.weight", "module.encoders.0.xnet_blocks.1.conv1.weight")
    read = read_weights(saved({"model_state": old}, tmp_path), "penet", what="it")
    assert numbers(read) == {"in_conv.0.weight": 0, "encoders.0.penet_blocks.1.conv1.weight": 1}


def test_entries_that_would_get_one_name_are_refused(tmp_path: Path) -> None:
    twice = numbered("module.in_conv.0.weight", "in_conv.0.weight")
    with pytest.raises(WeightsLayoutError, match="twice"):
        read_weights(saved({"model_state": twice}, tmp_path), "penet", what="it")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_figures_and_numpy_numbers_beside_the_weights_are_no_hindrance(tmp_path: Path, zipped: bool) -> None:
    content = {"ckpt_info": {"epoch": 90, "val_loss": np.float64(2.5)}, "model_state": numbered("module.a")}
    file = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    assert numbers(read_weights(file, "penet", what="it")) == {"a": 0}


@pytest.mark.parametrize(
    ("layout", "content", "cause"),
    [
        ("pytorchvideo", {"state_dict": {}}, "weights.pth: has no entry 'model_state'; it holds state_dict"),
        ("video_swin", [1, 2], "weights.pth: has no entry 'state_dict'; it holds list"),
        ("torchvision", [1, 2], "holds a list instead of named weights"),
        ("torchvision", {"epoch": 3}, "'epoch' is a int instead of weights"),
    ],
)
def test_another_arrangement_is_refused_with_what_is_there(
    tmp_path: Path, layout: str, content: Any, cause: str
) -> None:
    with pytest.raises(WeightsLayoutError, match=cause):
        read_weights(saved(content, tmp_path), layout, what="weights.pth")


class Malice:
    """A pickle that runs a command when it is opened carelessly."""

    def __init__(self, folder: Path) -> None:
        self.command = f"echo was here > {folder / 'trace'}"

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, how: str) -> None:
    file = tmp_path / "weights.pth"
    if how == "torch":
        torch.save({"model_state": Malice(tmp_path)}, file)
    else:
        file.write_bytes(pickle.dumps({"model_state": Malice(tmp_path)}, protocol=2))
    with pytest.raises(WeightsError, match=r"holds more than weights: it asks for \w+\.system"):
        read_weights(file, "pytorchvideo", what="weights.pth")
    assert not (tmp_path / "trace").exists()


def test_a_damaged_file_is_refused_wherever_it_breaks_off(tmp_path: Path) -> None:
    whole = saved({"model_state": {"a": torch.ones(100, 100)}}, tmp_path).read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 30):
        (tmp_path / "part.pth").write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"part.pth: is damaged"):
            read_weights(tmp_path / "part.pth", "pytorchvideo", what="part.pth")


def test_a_missing_entry_is_named(tiny: nn.Module) -> None:
    found = tiny.state_dict()
    del found["stem.0.weight"]
    with pytest.raises(WeightsLayoutError, match=r"x.pth: .*missing: stem.0.weight\.$"):
        load_strictly(tiny, found, head="head.", what="x.pth")


def test_a_file_from_before_batch_norms_counted_loads_every_weight(
    tmp_path: Path, enliven: Callable[..., nn.Module]
) -> None:
    # resnet18-f37072fd.pth may be one: 102 entries, which torch itself takes.
    published = enliven(get_model("resnet18_2d").build()).state_dict()
    weights = {name: each for name, each in published.items() if "num_batches_tracked" not in name}
    assert (len(published), len(weights)) == (122, 102)
    read = read_weights(saved(weights, tmp_path), "torchvision", what="it")
    network = get_model("resnet18_2d").build()
    load_strictly(network, read, head="fc.", what="it")
    assert all(torch.equal(network.state_dict()[name], each) for name, each in weights.items())
    del read["bn1.running_var"]
    with pytest.raises(WeightsLayoutError, match=r"missing: bn1.running_var\.$"):
        load_strictly(network, read, head="fc.", what="it")


def test_an_unexpected_entry_is_named(tiny: nn.Module) -> None:
    found = {**tiny.state_dict(), "extra.weight": torch.ones(1)}
    with pytest.raises(WeightsLayoutError, match=r"unexpected: extra.weight\.$"):
        load_strictly(tiny, found, head="head.", what="x.pth")


def test_a_misshapen_entry_is_named_with_both_shapes(tiny: nn.Module) -> None:
    found = {**tiny.state_dict(), "stem.1.bias": torch.ones(9)}
    with pytest.raises(WeightsLayoutError, match=r"another shape: stem.1.bias \(9,\) instead of \(16,\)"):
        load_strictly(tiny, found, head="head.", what="x.pth")


def test_only_a_few_of_many_names_are_told(tiny: nn.Module) -> None:
    with pytest.raises(WeightsLayoutError, match=r"missing: \S+, \S+, \S+ and 37 more\.$"):
        check_layout({}, tiny, head="head.", what="x.pth")  # 50 entries, 2 of them the head's, 8 counters


def test_a_failed_load_changes_nothing(tiny: nn.Module) -> None:
    before = {name: each.clone() for name, each in tiny.state_dict().items()}
    found = {name: torch.zeros_like(each) for name, each in before.items()} | {"extra": torch.ones(1)}
    with pytest.raises(WeightsLayoutError):
        load_strictly(tiny, found, head="head.", what="x.pth")
    assert all(torch.equal(tiny.state_dict()[name], each) for name, each in before.items())


def test_the_head_may_be_absent_as_a_whole_because_it_is_thrown_away(tiny: nn.Module) -> None:
    head = {name: each.clone() for name, each in tiny.state_dict().items() if name.startswith("head.")}
    found = {name: torch.ones_like(each) for name, each in tiny.state_dict().items() if name not in head}
    load_strictly(tiny, found, head="head.", what="x.pth")
    assert all(torch.equal(tiny.state_dict()[name], each) for name, each in head.items())
    assert tiny.state_dict()["stem.0.weight"].min() == 1


def test_half_a_head_is_refused(tiny: nn.Module) -> None:
    found = tiny.state_dict()
    del found["head.bias"]
    with pytest.raises(WeightsLayoutError, match=r"missing: head.bias\.$"):
        load_strictly(tiny, found, head="head.", what="x.pth")


def test_a_file_without_patch_embed_norm_does_not_load(tmp_path: Path) -> None:
    # The loss that a lenient load of the authors' Swin weights goes through unnoticed.
    network = get_model("swin_t").build()
    found = {name: each for name, each in network.state_dict().items() if "patch_embed.norm" not in name}
    with pytest.raises(
        WeightsLayoutError, match=r"missing: patch_embed.norm.weight, patch_embed.norm.bias\."
    ):
        load_strictly(network, found, head="head.", what="x.pth")
