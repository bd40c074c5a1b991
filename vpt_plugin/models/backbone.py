"""What all backbones have in common: their parts, and a stem for one channel."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


def sum_input_channels(conv: nn.Conv2d | nn.Conv3d) -> None:
    """Makes a stem take one channel, exactly as if that channel were given to it several times.

    A convolution is linear, and the padding of every channel is 0, so the weights of the channels add up.
    """
    if conv.groups != 1:
        raise ValueError(f"a stem with {conv.groups} groups does not see its channels together")
    # Summed in float64: the result is then the nearest float32 there is.
    summed = conv.weight.detach().double().sum(dim=1, keepdim=True)
    conv.weight = nn.Parameter(summed.to(conv.weight.dtype))
    conv.in_channels = 1


class Backbone(nn.Module, ABC):
    """A network without its head, which knows its own parts."""

    @abstractmethod
    def stages(self) -> tuple[nn.Module, ...]:
        """Its parts from the input on; every parameter that can be trained is in exactly one of them."""

    @abstractmethod
    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        """The parts that gradient checkpointing computes a second time; none lies within another.

        They are the smallest whose inputs are few against what is computed inside: residual blocks, and the
        stem, whose maps are the largest of all.
        """

    def always_frozen(self) -> tuple[nn.Module, ...]:
        """The parts that no training changes; none in most networks."""
        return ()
