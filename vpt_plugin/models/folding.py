"""Networks made for answering only: batch norm folded into convolutions, and weights laid out for the CPU.

In evaluation a batch norm multiplies and adds constants, which may as well be done to the weights of the
convolution before it. On the CPU the sum and the ReLU after a convolution are then computed in the same pass
over memory, by the operators that torch's own compiler uses, with weights in the order in which oneDNN wants
them. It holds for the blocks of PyTorchVideo's networks (Slow R50, SlowFast, CSN, R(2+1)D), for torchvision's
image networks, alone and in LRCN, and for Tiny. The others have no batch norm.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vpt_plugin.models.architectures.lrcn import SliceSequence
from vpt_plugin.models.onednn import FusedConvolution, PackedLinear, can_fuse, can_pack

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
# By name, because to import PyTorchVideo takes seconds.
_TRACEABLE = frozenset(
    {
        "pytorchvideo.models.resnet.ResBlock",
        "pytorchvideo.models.slowfast.FuseFastToSlow",
        "pytorchvideo.models.stem.ResNetBasicStem",
        "torchvision.models.resnet.ResNet",
        "vpt_plugin.models.architectures.tiny.Tiny",
    }
)
_ADDITIONS = (operator.add, operator.iadd, torch.add)


def fold_batch_norm(network: nn.Module) -> int:
    """Fold every batch norm that follows a convolution into it, in place; how many there were.

    Args:
        network: set to evaluation; it computes the same as before, to rounding, and cannot be trained.
    """
    folded = 0
    for parent, name, block in list(_blocks(network)):
        traced = fx.symbolic_trace(block)
        folded += sum(_fold(traced, node) for node in list(traced.graph.nodes))
        traced.delete_all_unused_submodules()
        traced.recompile()
        setattr(parent, name, traced.eval())
    return folded


def fuse_convolutions(network: nn.Module) -> None:
    """Let every convolution, in place, bring the sum and the ReLU after it, on a CPU that oneDNN knows.

    Args:
        network: as ``fold_batch_norm`` left it, in the type that it computes in.
    """
    convolutions = [module for module in network.modules() if isinstance(module, _CONVOLUTIONS)]
    if not all(can_fuse(dtype) for dtype in {module.weight.dtype for module in convolutions}):
        return
    for traced in [module for module in network.modules() if isinstance(module, fx.GraphModule)]:
        for node in list(traced.graph.nodes):
            _fuse_relu(traced, node)
        traced.recompile()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if _is_plain(child):
                setattr(parent, name, FusedConvolution(child))


def pack_linear_layers(network: nn.Module) -> None:
    """Lay out the weights of linear layers in bfloat16, in place, as oneDNN wants them; others stay."""
    if not can_pack():
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.weight.dtype == torch.bfloat16:
                setattr(parent, name, PackedLinear(child))


def hold_weights_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Hold the weights of convolutions and linear layers, in place, in the type autocast would turn them to.

    Autocast does it anew for every clip. What computes without autocast keeps its float32.
    """
    kept = [part for each in network.modules() if isinstance(each, SliceSequence) for part in each.modules()]
    for module in network.modules():
        if isinstance(module, (*_CONVOLUTIONS, nn.Linear)) and not any(module is each for each in kept):
            module.to(dtype)


def _blocks(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """The parts of a network that can be traced: what they are part of, their name in it, themselves."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if f"{type(child).__module__}.{type(child).__name__}" in _TRACEABLE:
                yield parent, name, child


def _module(traced: fx.GraphModule, node: Any) -> nn.Conv2d | nn.Conv3d | None:
    """The convolution that a node calls, if nothing else in the block uses it or its maps."""
    if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) != 1:
        return None
    module = traced.get_submodule(str(node.target))
    calls = sum(each.target == node.target for each in traced.graph.nodes if each.op == "call_module")
    return module if _is_plain(module) and calls == 1 else None


def _is_plain(module: nn.Module) -> TypeGuard[nn.Conv2d | nn.Conv3d]:
    """Whether a module is a convolution with zeros around it, in numbers."""
    return (
        isinstance(module, _CONVOLUTIONS)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _fold(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Fold a batch norm into the convolution before it; whether the node was one that could be."""
    if node.op != "call_module" or not isinstance(before := node.args[0], fx.Node):
        return False
    norm = traced.get_submodule(str(node.target))
    convolution = _module(traced, before)
    if not isinstance(norm, (nn.BatchNorm2d, nn.BatchNorm3d)) or convolution is None:
        return False
    traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
    return True


def _fuse_relu(traced: fx.GraphModule, node: fx.Node) -> None:
    """Let the convolution before a ReLU bring it, and the sum between them if there is one."""
    if not _is_relu(traced, node) or not isinstance(before := node.args[0], fx.Node):
        return
    called, other = _sum_with_convolution(traced, before) or (before, None)
    convolution = _module(traced, called)
    if convolution is None:
        return
    inputs = called.args if other is None else (called.args[0], other)
    traced.set_submodule(str(called.target), FusedConvolution(convolution, relu=True))
    with traced.graph.inserting_before(node):
        node.replace_all_uses_with(traced.graph.call_module(str(called.target), inputs))
    for each in dict.fromkeys((node, before, called)):
        traced.graph.erase_node(each)


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), nn.ReLU)
    return node.op == "call_function" and node.target in (torch.relu, nn.functional.relu)


def _sum_with_convolution(traced: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Of a sum that nothing else uses: the convolution to be fused with it, and what is added."""
    if node.op != "call_function" or node.target not in _ADDITIONS or len(node.users) != 1:
        return None
    one, other = node.args[:2]
    for convolution, added in ((other, one), (one, other)):
        # Of grouped convolutions oneDNN does not bring the sum.
        if not isinstance(convolution, fx.Node) or not isinstance(added, fx.Node):
            continue
        if (found := _module(traced, convolution)) and found.groups == 1:
            return convolution, added
    return None
