"""Where pretrained weights are published: one row per file, with its address, layout, licence and checksum.

The addresses are those in PyTorchVideo's ``models/hub/*.py``, torchvision's ``Swin3D_T_Weights``,
``ResNet18_Weights`` and ``ResNeXt101_32X8D_Weights`` (the first versions, which the paper had), the README of
SwinTransformer/Video-Swin-Transformer and the public code of the paper (PENet). Nothing is read or downloaded
here; that is ``vpt_plugin.models.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from vpt_plugin.errors import WeightsError

_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_KINETICS = "They were learned from Kinetics videos, whose own terms may limit some uses."
_PYTORCHVIDEO = (
    "Published with PyTorchVideo, which is under Apache-2.0; no separate licence is stated for the weights. "
    + _KINETICS
)
_TORCHVISION_IMAGENET = (
    "Published with torchvision (code BSD-3-Clause); no separate licence is stated for the weights. "
    "They were learned from ImageNet, whose terms allow research and teaching that are not commercial."
)


@dataclass(frozen=True)
class WeightsSource:
    """One published file of weights.

    Attributes:
        name: what `vpt weights fetch NAME` takes; the model's name for a model's first choice.
        model: name in the catalog of the network it belongs to.
        pretraining: what it was learned from: ``kinetics``, ``imagenet``, ...
        url: where its publisher offers it.
        filename: under which it is kept here.
        layout: how its entries are arranged, a key of ``vpt_plugin.models.layouts.LAYOUTS``.
        licence: what its publisher says, in words.
        bytes: its size, approximately.
        sha256: the published checksum, or "" where there is none.
        sha256_prefix: the published beginning of it, or "".
        also_for: other networks that begin from the same file.
    """

    name: str
    model: str
    pretraining: str
    url: str
    filename: str
    layout: str
    licence: str
    bytes: int
    sha256: str = ""
    sha256_prefix: str = ""
    also_for: tuple[str, ...] = ()


def _from_pytorchvideo(model: str, filename: str, megabytes: int) -> WeightsSource:
    return WeightsSource(
        name=model,
        model=model,
        pretraining="kinetics",
        url=f"{_ZOO}/{filename}",
        filename=filename,
        layout="pytorchvideo",
        licence=_PYTORCHVIDEO,
        bytes=megabytes * 1_000_000,
    )


WEIGHTS: MappingProxyType[str, WeightsSource] = MappingProxyType(
    {
        source.name: source
        for source in (
            _from_pytorchvideo("slow_r50", "SLOW_8x8_R50.pyth", 260),
            _from_pytorchvideo("slowfast_r50", "SLOWFAST_8x8_R50.pyth", 277),
            _from_pytorchvideo("csn_r101", "CSN_32x2_R101.pyth", 179),
            _from_pytorchvideo("r2plus1d_r50", "R2PLUS1D_16x4_R50.pyth", 226),
            _from_pytorchvideo("mvit_b", "MVIT_B_32x3_f294077834.pyth", 147),
            WeightsSource(
                name="swin_t",
                model="swin_t",
                pretraining="kinetics",
                url="https://download.pytorch.org/models/swin3d_t-7615ae03.pth",
                filename="swin3d_t-7615ae03.pth",
                layout="torchvision",
                licence=(
                    "Published with torchvision (code BSD-3-Clause) and ported from Video-Swin-Transformer, "
                    "which is under Apache-2.0; no separate licence is stated for the weights. " + _KINETICS
                ),
                bytes=127_400_000,
                sha256_prefix="7615ae03",
            ),
            WeightsSource(
                name="swin_t_authors",
                model="swin_t",
                pretraining="kinetics",
                url=(
                    "https://github.com/SwinTransformer/storage/releases/download/v1.0.4/"
                    "swin_tiny_patch244_window877_kinetics400_1k.pth"
                ),
                filename="swin_tiny_patch244_window877_kinetics400_1k.pth",
                layout="video_swin",
                licence=(
                    "Published by the authors of Video-Swin-Transformer, which is under Apache-2.0; "
                    "no separate licence is stated for the weights. " + _KINETICS
                ),
                bytes=127_500_000,
            ),
            WeightsSource(
                name="penet",
                model="penet",
                pretraining="kinetics",
                url=(
                    "https://drive.usercontent.google.com/download"
                    "?id=1IyMmgjr3Wk2oyqKkv4_BjATJm_17vu5M&export=download&confirm=t"
                ),
                filename="xnet_kin_90.pth.tar",
                layout="penet",
                licence=(
                    "No licence is stated by its publisher (marshuang80/penet): ask before you pass it on. "
                    + _KINETICS
                ),
                bytes=237_000_000,
            ),
            WeightsSource(
                name="resnet18_2d",
                model="resnet18_2d",
                pretraining="imagenet",
                url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
                filename="resnet18-f37072fd.pth",
                layout="torchvision",
                licence=_TORCHVISION_IMAGENET,
                bytes=46_800_000,
                sha256_prefix="f37072fd",
            ),
            WeightsSource(
                name="resnext101_2d",
                model="resnext101_2d",
                pretraining="imagenet",
                url="https://download.pytorch.org/models/resnext101_32x8d-8ba56ff5.pth",
                filename="resnext101_32x8d-8ba56ff5.pth",
                layout="torchvision",
                licence=_TORCHVISION_IMAGENET,
                bytes=356_100_000,
                sha256_prefix="8ba56ff5",
                also_for=("lrcn",),
            ),
        )
    }
)


def get_source(name: str) -> WeightsSource:
    """The published file of that name.

    Raises:
        WeightsError: names those there are.
    """
    if name not in WEIGHTS:
        raise WeightsError(f"unknown weights {name!r};", f"choose from {', '.join(WEIGHTS)}.")
    return WEIGHTS[name]


def sources_of(model: str) -> dict[str, tuple[WeightsSource, ...]]:
    """A model's published files by pretraining; the first of each is the one to take."""
    found: dict[str, tuple[WeightsSource, ...]] = {}
    for source in WEIGHTS.values():
        if model in (source.model, *source.also_for):
            found[source.pretraining] = (*found.get(source.pretraining, ()), source)
    return found
