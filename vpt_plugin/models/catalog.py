"""Every network on one page: what it is called, what it takes, who made it and how it is built.

Importing this page is quick and silent: torch and the networks' own packages are imported when one is built.
To add a network, write a builder and a row. The sizes are those of Ke et al., PMLR 227 (2023).
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from vpt_plugin.errors import UnknownModelError
from vpt_plugin.models.sources import sources_of
from vpt_plugin.models.spec import ModelSpec, ShapeRule

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MODELS", "ModelSpec", "ShapeRule", "get_model"]


def _pytorchvideo(name: str) -> nn.Module:
    from vpt_plugin.models.upstream import pytorchvideo_hub_network

    return pytorchvideo_hub_network(name)


def _swin_t() -> nn.Module:
    from torchvision.models.video import swin3d_t

    network: nn.Module = swin3d_t(weights=None)
    return network


def _resnet18() -> nn.Module:
    from torchvision.models import resnet18

    network: nn.Module = resnet18(weights=None)
    return network


def _resnext101() -> nn.Module:
    from torchvision.models import resnext101_32x8d

    network: nn.Module = resnext101_32x8d(weights=None)
    return network


def _penet() -> nn.Module:
    from vpt_plugin.models.architectures.penet import PENet

    return PENet()


def _tiny() -> nn.Module:
    from vpt_plugin.models.architectures.tiny import Tiny

    return Tiny()


MODELS: MappingProxyType[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ModelSpec(
                name="slow_r50",
                title="Slow R50",
                paper="Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "slow_r50"),
                weights=sources_of("slow_r50"),
            ),
            ModelSpec(
                name="slowfast_r50",
                title="SlowFast R50",
                paper="Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019",
                feature_dim=2304,
                # Its slow pathway sees every 4th slice, its fast pathway all of them.
                shape_rule=ShapeRule(slices_multiple=4),
                family="slowfast",
                head="blocks.6.proj.",
                build=partial(_pytorchvideo, "slowfast_r50"),
                weights=sources_of("slowfast_r50"),
            ),
            ModelSpec(
                name="csn_r101",
                title="CSN R101",
                paper="Tran et al., Video Classification with Channel-Separated Convolutional Networks, "
                "ICCV 2019",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "csn_r101"),
                weights=sources_of("csn_r101"),
            ),
            ModelSpec(
                name="r2plus1d_r50",
                title="R(2+1)D R50",
                paper="Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, "
                "CVPR 2018",
                feature_dim=2048,
                family="resnet",
                head="blocks.5.proj.",
                build=partial(_pytorchvideo, "r2plus1d_r50"),
                weights=sources_of("r2plus1d_r50"),
            ),
            ModelSpec(
                name="mvit_b",
                title="MViT-B 32x3",
                paper="Fan et al., Multiscale Vision Transformers, ICCV 2021",
                feature_dim=768,
                # Its position embedding is a fixed grid.
                shape_rule=ShapeRule(only=(32, 224, 224)),
                family="mvit",
                head="head.proj.",
                build=partial(_pytorchvideo, "mvit_base_32x3"),
                weights=sources_of("mvit_b"),
            ),
            ModelSpec(
                name="swin_t",
                title="Video Swin-T",
                paper="Liu et al., Video Swin Transformer, CVPR 2022",
                feature_dim=768,
                family="swin",
                head="head.",
                build=_swin_t,
                weights=sources_of("swin_t"),
            ),
            ModelSpec(
                name="penet",
                title="PENet",
                paper="Huang et al., PENet: a scalable deep-learning model for automated diagnosis of "
                "pulmonary embolism using volumetric CT imaging, npj Digital Medicine 3, 61 (2020)",
                clip_slices=24,
                feature_dim=2048,
                family="penet",
                head="classifier.fc.",
                build=_penet,
                weights=sources_of("penet"),
            ),
            ModelSpec(
                name="resnet18_2d",
                title="ResNet-18 (2D)",
                paper="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
                kind="2d",
                clip_slices=1,
                shape_rule=ShapeRule(single_slice=True),
                feature_dim=512,
                family="slice",
                head="fc.",
                build=_resnet18,
                weights=sources_of("resnet18_2d"),
            ),
            ModelSpec(
                name="resnext101_2d",
                title="ResNeXt-101 (2D)",
                paper="Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017",
                kind="2d",
                clip_slices=1,
                shape_rule=ShapeRule(single_slice=True),
                feature_dim=2048,
                family="slice",
                head="fc.",
                build=_resnext101,
                weights=sources_of("resnext101_2d"),
            ),
            ModelSpec(
                name="lrcn",
                title="LRCN",
                paper="Donahue et al., Long-term Recurrent Convolutional Networks for Visual Recognition and "
                "Description, CVPR 2015",
                kind="2d",
                clip_slices=150,
                ignores_filling=True,
                feature_dim=512,
                family="lrcn",
                # Of ResNeXt-101, which looks at the slices.
                head="fc.",
                build=_resnext101,
                weights=sources_of("lrcn"),
            ),
            ModelSpec(
                name="tiny",
                title="Tiny",
                paper="Our own small network, unpublished, for the demo and for tests",
                clip_slices=8,
                resize_px=112,
                crop_px=96,
                feature_dim=32,
                family="tiny",
                head="head.",
                build=_tiny,
                weights=sources_of("tiny"),
            ),
        )
    }
)


def get_model(name: str) -> ModelSpec:
    """The network of that name.

    Raises:
        UnknownModelError: names those there are.
    """
    if name not in MODELS:
        raise UnknownModelError(name, list(MODELS))
    return MODELS[name]
