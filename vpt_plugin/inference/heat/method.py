"""Which layers of a network are looked into, and by which rule: a ``Method``, and the one of every family."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.heat.rules import RULES

_TITLES = MappingProxyType({"grad_cam": "Grad-CAM", "hires_cam": "HiResCAM", "layer_cam": "LayerCAM"})


@dataclass(frozen=True)
class Method:
    """How a heat map is made.

    Attributes:
        rule: one of ``RULES``.
        stages: which stages are looked into, counted from the last, which is 1. The maps of several are
            multiplied, each scaled to its highest value: a place is hot where all of them say so.

    Raises:
        ConfigurationError: there is no such rule or stage.
    """

    rule: str
    stages: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ConfigurationError(f"unknown rule {self.rule!r};", f"choose from {', '.join(RULES)}.")
        if not self.stages or min(self.stages) < 1:
            raise ConfigurationError(f"stages are counted from the last one, which is 1, not {self.stages}.")

    def __str__(self) -> str:
        which = " and ".join("last" if each == 1 else f"{each}. from last" for each in self.stages)
        return f"{_TITLES[self.rule]} at the {which} stage"


# What adds up to the logit; of MViT and LRCN what comes nearest to it. That a map of it points at lesions was
# measured with ``tiny`` alone, on phantoms, where no other method hit more often (docs/evidence.md).
METHODS: MappingProxyType[str, Method] = MappingProxyType(
    {
        "resnet": Method("hires_cam"),
        "slowfast": Method("hires_cam"),
        # What the attention of its last block reads.
        "mvit": Method("hires_cam"),
        "swin": Method("hires_cam"),
        "penet": Method("hires_cam"),
        "slice": Method("hires_cam"),
        "lrcn": Method("hires_cam"),
        "tiny": Method("hires_cam"),
    }
)
