"""How the maps of a layer and the gradient of a logit become evidence per cell: a ``Method``, and HiResCAM.

HiResCAM (Draelos and Carin, arXiv 2011.08891, made for chest CT) is of the Grad-CAM family: gradient times
value, cell by cell. At the last map of a network that takes the mean over it and has one linear layer, the
cells add up to the logit, but for its bias. Others of the family are in ``benchmarks/pointing_methods.py``,
which compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Rule = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """How a heat map is made.

    Attributes:
        name: of the rule, for people.
        rule: takes values and gradients (batch, channels, slices, rows, columns) and gives (batch, slices,
            rows, columns): how much of the logit comes from a cell, negative where it speaks against the
            finding.
        stage: which one is looked into, counted from the last, which is 1.
    """

    name: str
    rule: Rule
    stage: int = 1

    def __str__(self) -> str:
        which = "last" if self.stage == 1 else f"{self.stage}. from last"
        return f"{self.name} at the {which} stage"


def _value_times_gradient(values: Tensor, gradients: Tensor) -> Tensor:
    return (values * gradients).sum(dim=1)


# What adds up to the logit; of MViT and LRCN what comes nearest to it. That a map of it points at lesions was
# measured with ``tiny`` alone, on phantoms, where no other method hit more often (docs/evidence.md).
HIRES_CAM = Method("HiResCAM", _value_times_gradient)
