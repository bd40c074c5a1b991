from __future__ import annotations

import subprocess
import sys

import pytest

from vpt_plugin.errors import ClipShapeError, UnknownModelError, WeightsError
from vpt_plugin.models.catalog import MODELS, ShapeRule, get_model
from vpt_plugin.models.layouts import LAYOUTS
from vpt_plugin.models.sources import WEIGHTS, get_source


def test_the_catalog_holds_the_papers_ten_networks_and_the_small_one() -> None:
    assert list(MODELS) == [
        "slow_r50", "slowfast_r50", "csn_r101", "r2plus1d_r50", "mvit_b", "swin_t", "penet",
        "resnet18_2d", "resnext101_2d", "lrcn", "tiny",
    ]  # fmt: skip
    assert [name for name, spec in MODELS.items() if spec.kind == "2d"] == [
        "resnet18_2d", "resnext101_2d", "lrcn",
    ]  # fmt: skip


def test_the_networks_of_the_paper_see_32_slices_but_four() -> None:
    lengths = {name: spec.clip_slices for name, spec in MODELS.items() if name != "tiny"}
    others = {"penet": 24, "resnet18_2d": 1, "resnext101_2d": 1, "lrcn": 150}
    assert {name: lengths.pop(name) for name in others} == others
    assert set(lengths.values()) == {32}
    assert {(spec.resize_px, spec.crop_px) for name, spec in MODELS.items() if name != "tiny"} == {(256, 224)}


def test_every_model_takes_its_own_clip_length_and_crop() -> None:
    for spec in MODELS.values():
        spec.check_clip(spec.clip_slices, spec.crop_px, spec.crop_px)
        assert spec.crop_px <= spec.resize_px


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownModelError, match="'swin'; choose from csn_r101, lrcn, mvit_b, penet"):
        get_model("swin")


@pytest.mark.parametrize(
    ("name", "clip", "takes"),
    [
        ("mvit_b", (16, 224, 224), "it takes exactly 32 slices of 224 x 224 pixels"),
        ("slowfast_r50", (30, 224, 224), "it takes a multiple of 4 slices, at least 32 x 32 pixels"),
        ("swin_t", (32, 224, 31), "it takes any number of slices, at least 32 x 32 pixels"),
        ("penet", (0, 224, 224), "it takes any number of slices"),
        ("resnet18_2d", (2, 224, 224), "it takes one slice, at least 32 x 32 pixels"),
    ],
)
def test_a_clip_it_cannot_take_is_refused_with_what_it_takes(
    name: str, clip: tuple[int, int, int], takes: str
) -> None:
    with pytest.raises(ClipShapeError, match=takes) as caught:
        get_model(name).check_clip(*clip)
    assert str(caught.value).startswith(f"{name} cannot take a clip of {clip[0]} slices")


def test_a_shape_rule_counts_slices_and_pixels() -> None:
    rule = ShapeRule(slices_multiple=4, min_pixels=32)
    assert rule.allows(8, 32, 40)
    assert not rule.allows(6, 32, 40)
    assert not rule.allows(8, 31, 40)
    assert not ShapeRule(only=(32, 224, 224)).allows(32, 224, 256)


def test_every_published_file_belongs_to_a_model_and_has_a_layout_and_a_licence() -> None:
    listed = [source for spec in MODELS.values() for each in spec.weights.values() for source in each]
    assert {source.name for source in listed} == set(WEIGHTS)
    for source in listed:
        assert source.layout in LAYOUTS
        assert source.url.startswith("https://")
        assert source.bytes > 40_000_000
        assert {"kinetics": "Kinetics videos", "imagenet": "ImageNet"}[source.pretraining] in source.licence
    assert len({source.filename for source in WEIGHTS.values()}) == len(WEIGHTS)


def test_one_file_of_imagenet_weights_serves_two_networks() -> None:
    (of_slices,), (of_lrcn,) = (get_model(name).weights["imagenet"] for name in ("resnext101_2d", "lrcn"))
    assert of_slices is of_lrcn is get_source("resnext101_2d")
    assert get_model("lrcn").pretrainings == ("none", "imagenet")


def test_the_first_choice_for_swin_is_torchvisions_file_then_the_authors() -> None:
    names = [source.name for source in get_model("swin_t").weights["kinetics"]]
    assert names == ["swin_t", "swin_t_authors"]
    assert get_model("swin_t").pretrainings == ("none", "kinetics")
    assert get_model("tiny").pretrainings == ("none",)


def test_addresses_are_those_of_the_installed_packages() -> None:
    torchvision = pytest.importorskip("torchvision.models.video")
    torchvision_images = pytest.importorskip("torchvision.models")
    assert get_source("swin_t").url == torchvision.Swin3D_T_Weights.KINETICS400_V1.url
    for name, published in (
        ("resnet18_2d", torchvision_images.ResNet18_Weights.IMAGENET1K_V1),
        ("resnext101_2d", torchvision_images.ResNeXt101_32X8D_Weights.IMAGENET1K_V1),
    ):
        assert get_source(name).url == published.url
        assert f"-{get_source(name).sha256_prefix}.pth" in published.url
        assert get_source(name).bytes == pytest.approx(published.meta["_file_size"] * 2**20, rel=1e-3)
    # One network is built, so that the hub is imported without its warnings.
    get_model("slow_r50").build()
    from pytorchvideo.models.hub import csn, r2plus1d, resnet, slowfast, vision_transformers

    assert get_source("slow_r50").url == resnet.checkpoint_paths["slow_r50"]
    assert get_source("slowfast_r50").url == slowfast.checkpoint_paths["slowfast_r50"]
    assert get_source("csn_r101").url == csn.checkpoint_paths["csn_r101"]
    assert get_source("r2plus1d_r50").url == r2plus1d.checkpoint_paths["r2plus1d_r50"]
    assert get_source("mvit_b").url == vision_transformers.checkpoint_paths["mvit_base_32x3"]


def test_unknown_weights_are_refused_with_the_names_there_are() -> None:
    with pytest.raises(WeightsError, match="'x'; choose from slow_r50, slowfast_r50"):
        get_source("x")


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_catalog_page_is_read_without_torch() -> None:
    code = "import sys, vpt_plugin.models.catalog, vpt_plugin.models.weights; print('torch' in sys.modules)"
    assert run_python(code) == "False\n"


def test_building_a_network_of_pytorchvideo_is_silent_even_where_warnings_are_errors() -> None:
    assert run_python("from vpt_plugin.models.catalog import get_model; get_model('tiny').build()") == ""
