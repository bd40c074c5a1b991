"""AutoAugment's ImageNet policy for grey clips: one draw for all slices of a clip.

Cubuk et al., AutoAugment: Learning Augmentation Strategies from Data, CVPR 2019, table 9 of its supplement.
Each of the 25 sub-policies is two operations, each done with a probability and at a level from 0 to 9. What
is drawn is as in torchvision's AutoAugment, which draws from torch's global generator; what is done is
torchvision's, too, but with the statistics of the whole clip where that takes those of one picture: slices
that are equalised one by one no longer compare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

_LEVELS = 10

# (operation, probability, level) twice per sub-policy; the level of operations that have none is 0.
IMAGENET_POLICY: Sequence[tuple[tuple[str, float, int], tuple[str, float, int]]] = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 0), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 0)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 0)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 0), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 0)),
    (("Equalize", 0.0, 0), ("Equalize", 0.8, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 0)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 0)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 0)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
)

# What a level stands for: degrees, shear, a change of contrast, bits, the threshold of solarisation.
_MAGNITUDES: Mapping[str, Sequence[float]] = MappingProxyType(
    {
        "Rotate": np.linspace(0, 30, _LEVELS).tolist(),
        "ShearX": np.linspace(0, 0.3, _LEVELS).tolist(),
        "Contrast": np.linspace(0, 0.9, _LEVELS).tolist(),
        "Sharpness": np.linspace(0, 0.9, _LEVELS).tolist(),
        "Posterize": (8 - np.rint(np.linspace(0, 4, _LEVELS))).tolist(),
        "Solarize": np.linspace(255, 0, _LEVELS).tolist(),
    }
)
_SIGNED = frozenset({"Rotate", "ShearX", "Contrast", "Sharpness"})
_GEOMETRIC = frozenset({"Rotate", "ShearX"})


@dataclass(frozen=True)
class Operation:
    """One operation that was drawn: its name in the policy and how much of it."""

    name: str
    magnitude: float

    @property
    def geometric(self) -> bool:
        """Whether it moves pixels; the others change their values."""
        return self.name in _GEOMETRIC


def draw_autoaugment(rng: np.random.Generator) -> tuple[Operation, ...]:
    """A sub-policy of ``IMAGENET_POLICY``, and which of its two operations are done; none, one or both."""
    policy = IMAGENET_POLICY[rng.integers(len(IMAGENET_POLICY))]
    chances, signs = rng.random(2), rng.choice((-1, 1), 2)
    drawn = []
    for (name, probability, level), chance, sign in zip(policy, chances, signs, strict=True):
        if chance < probability:
            magnitude = _MAGNITUDES[name][level] if name in _MAGNITUDES else 0.0
            drawn.append(Operation(name, float(sign * magnitude) if name in _SIGNED else magnitude))
    return tuple(drawn)


def move(slices: Tensor, operation: Operation, air: int) -> Tensor:
    """A geometric operation on all slices alike; what comes in from outside is air.

    Args:
        slices: uint8 (1, slices, rows, columns).
        operation: a geometric one.
        air: its value, in [0, 255].
    """
    if operation.name == "Rotate":
        return rotate(slices, operation.magnitude, air)
    # torchvision's shear is an angle, the policy's its tangent.
    shear = [float(np.degrees(np.arctan(operation.magnitude))), 0.0]
    return _with_air_around(
        slices,
        air,
        lambda centred: tv.affine(
            centred, 0.0, [0, 0], 1.0, shear, InterpolationMode.BILINEAR, center=[0.0, 0.0]
        ),
    )


def rotate(slices: Tensor, degrees: float, air: int) -> Tensor:
    """All slices turned around their middle; arguments as of ``move``."""
    return _with_air_around(
        slices, air, lambda centred: tv.rotate(centred, degrees, InterpolationMode.BILINEAR)
    )


def _with_air_around(slices: Tensor, air: int, moved: Callable[[Tensor], Tensor]) -> Tensor:
    # torchvision's own fill mixes the pixels at the edge with black first, which leaves a dark line around
    # the slice. So air is made 0, which is what torchvision takes for the outside.
    # The slices are channels of one picture to it: where each pixel comes from is computed once.
    return moved(slices.float().sub_(air)).add_(air).round_().to(slices.dtype)


def change_values(slices: Tensor, operation: Operation) -> Tensor:
    """An operation on values, by the statistics of the whole clip; arguments as of ``move``."""
    # One high picture of one channel: its mean, extremes and histogram are those of the clip.
    _, count, rows, columns = slices.shape
    picture = slices.reshape(1, count * rows, columns)
    if operation.name == "Sharpness":
        # It looks at neighbours, which must not be those on the next slice.
        picture = slices.reshape(count, 1, rows, columns)
    return _VALUE_OPERATIONS[operation.name](picture, operation.magnitude).reshape(slices.shape)


_VALUE_OPERATIONS: Mapping[str, Callable[[Tensor, float], Tensor]] = MappingProxyType(
    {
        "AutoContrast": lambda picture, _: tv.autocontrast(picture),
        "Color": lambda picture, _: picture,  # of saturation, which grey has none of
        "Contrast": lambda picture, change: tv.adjust_contrast(picture, 1 + change),
        "Equalize": lambda picture, _: tv.equalize(picture),
        "Invert": lambda picture, _: tv.invert(picture),
        "Posterize": lambda picture, bits: tv.posterize(picture, int(bits)),
        "Sharpness": lambda picture, change: tv.adjust_sharpness(picture, 1 + change),
        "Solarize": lambda picture, threshold: tv.solarize(picture, threshold),
    }
)
