"""What a layer of a network said of some clips, and the gradient of a logit there.

The layer's output is cut loose and handed on as the place where gradients begin: what computes it leaves no
trace in memory, and the way back ends there. Where all parameters are fixed, that is all it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vpt_plugin.errors import NotExplainableError
from vpt_plugin.inference.heat.grid import Alignment
from vpt_plugin.models.backbones import stages
from vpt_plugin.models.classifier import Classifier

Maps = tuple[Tensor, ...]


class Watched(Protocol):
    """What was seen of one layer while some clips went through the network."""

    def values(self) -> Maps:
        """What it said, each (batch, channels, slices, rows, columns); one per pathway."""

    def gradients(self, score: Tensor) -> Maps:
        """The gradient of a number there, of the same shapes; the graph stays for the next one."""


@dataclass(frozen=True)
class Family:
    """How a family of networks is looked into.

    Attributes:
        watch: watches the stage so many from the last one, 1 for the last, within a ``with``.
        alignment: where the cells of its maps look.
        alone: whether clips must go through one by one.
    """

    watch: Callable[[Classifier, int], AbstractContextManager[Watched]]
    alignment: Alignment
    alone: bool = False


def family_of(classifier: Classifier) -> Family:
    """How a classifier is looked into.

    Raises:
        NotExplainableError: its network is of no family that is known.
    """
    if classifier.spec.family not in FAMILIES:
        raise NotExplainableError(
            f"{classifier.spec.name}: where it looks cannot be computed for a network of its kind.",
            f"Ask for a heat map of one of these kinds: {', '.join(FAMILIES)}.",
        )
    return FAMILIES[classifier.spec.family]


class _WatchedOutput:
    """The output of a module, cut loose from what computed it."""

    def __init__(self, maps: Callable[[Any], Maps]) -> None:
        self._maps = maps
        self._leaves: list[Tensor] = []
        self._output: Any = None

    def hook(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        self._leaves = []
        self._output = _replaced(output, self._loose)
        # Copies, because what comes after may write into what it is given.
        return _replaced(self._output, Tensor.clone)

    def _loose(self, tensor: Tensor) -> Tensor:
        self._leaves.append(tensor.detach().requires_grad_())
        return self._leaves[-1]

    def values(self) -> Maps:
        return tuple(each.detach() for each in self._maps(self._output))

    def gradients(self, score: Tensor) -> Maps:
        gradients = iter(torch.autograd.grad(score, self._leaves, retain_graph=True, materialize_grads=True))
        return self._maps(_replaced(self._output, lambda _: next(gradients)))


def _replaced(output: Any, new: Callable[[Tensor], Tensor]) -> Any:
    """The same nesting of lists and tuples with every tensor replaced, in their order."""
    if isinstance(output, Tensor):
        return new(output)
    if isinstance(output, (list, tuple)):
        return type(output)(_replaced(each, new) for each in output)
    return output


def _watch_stage(maps: Callable[[Any], Maps]) -> Callable[[Classifier, int], AbstractContextManager[Watched]]:
    """Watches one of the classifier's stages, whose output ``maps`` can read."""

    @contextmanager
    def watch(classifier: Classifier, from_last: int) -> Iterator[Watched]:
        *parts, _head = stages(classifier)
        watched = _WatchedOutput(maps)
        handle = _from_last(parts, from_last, classifier).register_forward_hook(watched.hook)
        try:
            yield watched
        finally:
            handle.remove()

    return watch


def _from_last(parts: Sequence[Any], from_last: int, classifier: Classifier) -> Any:
    """The part so many from the last one."""
    if not 1 <= from_last <= len(parts):
        name = classifier.spec.name
        raise NotExplainableError(f"{name} has {len(parts)} stages to look into, not {from_last}.")
    return parts[-from_last]


def _one_map(output: Tensor) -> Maps:
    """(batch, channels, slices, rows, columns), as it is."""
    return (output,)


def _pathways(output: Sequence[Tensor]) -> Maps:
    """SlowFast's: the slow pathway, whose cells stand for four slices, and the fast one."""
    return tuple(output)


def _one_slice(output: Tensor) -> Maps:
    """(batch, channels, rows, columns)."""
    return (output.unsqueeze(2),)


def _channels_last(output: Tensor) -> Maps:
    """(batch, slices, rows, columns, channels), of Video Swin."""
    return (output.permute(0, 4, 1, 2, 3),)


@contextmanager
def _watch_attention(classifier: Classifier, from_last: int) -> Iterator[Watched]:
    """Watches what the attention of one of MViT's blocks reads: all tokens, as the norm before it gives them.

    The head sees the class token alone, and in the last block other tokens reach it by this attention only.
    Not the norm's input: a norm ignores how long a token is, so that value times gradient is 0 there.
    """
    backbone: Any = classifier.backbone
    block = _from_last(backbone.network.blocks, from_last, classifier)
    cells: list[int] = []

    def note_cells(module: nn.Module, inputs: tuple[Tensor, Sequence[int]]) -> None:
        cells[:] = inputs[1]

    def maps(tokens: Tensor) -> Maps:
        # The first is the class token, which lies nowhere.
        of_cells = tokens[:, 1:].transpose(1, 2)
        return (of_cells.reshape(*of_cells.shape[:2], *cells),)

    watched = _WatchedOutput(maps)
    handles = [
        block.register_forward_pre_hook(note_cells),
        block.norm1.register_forward_hook(watched.hook),
    ]
    try:
        yield watched
    finally:
        for handle in handles:
            handle.remove()


class _WatchedSlices:
    """LRCN's: what its encoder saw of every slice, and the gradient at the encoder's answers.

    The encoder takes the mean over its last map, so that each cell has its share of the gradient.
    """

    def __init__(self) -> None:
        self.length = 0
        self.pieces: list[Tensor] = []
        self._features: Sequence[Tensor] = ()

    def begin(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        self.length, self.pieces = inputs[0].shape[2], []

    def keep_maps(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.pieces.append(output.detach())

    def cut_loose(self, module: nn.Module, inputs: tuple[Sequence[Tensor]]) -> Any:
        self._features = [each.detach().requires_grad_() for each in inputs[0]]
        return (self._features,)

    def values(self) -> Maps:
        return (self._of_clip(torch.cat(self.pieces)),)

    def gradients(self, score: Tensor) -> Maps:
        (gradient,) = torch.autograd.grad(score, self._features, retain_graph=True)
        rows, columns = self.pieces[0].shape[2:]
        shares = gradient[:, :, None, None] / (rows * columns)
        return (self._of_clip(shares.expand(-1, -1, rows, columns)),)

    def _of_clip(self, slices: Tensor) -> Tensor:
        """(slices, channels, rows, columns) -> (1, channels, length, rows, columns); the unread are 0."""
        whole = slices.new_zeros(self.length, *slices.shape[1:])
        whole[: len(slices)] = slices
        return whole.transpose(0, 1).unsqueeze(0)


@contextmanager
def _watch_slices(classifier: Classifier, from_last: int) -> Iterator[Watched]:
    """Watches the last stage of LRCN's encoder; further back its encoder is never asked for gradients."""
    if from_last != 1:
        raise NotExplainableError(f"of {classifier.spec.name} only the last stage can be looked into.")
    backbone: Any = classifier.backbone
    watched = _WatchedSlices()
    handles = [
        backbone.register_forward_pre_hook(watched.begin),
        backbone.encoder.network.layer4.register_forward_hook(watched.keep_maps),
        backbone.sequence.register_forward_pre_hook(watched.cut_loose),
    ]
    # cuDNN goes back through a GRU only in training; with one layer and no dropout that changes nothing else.
    backbone.sequence.gru.train()
    try:
        yield watched
    finally:
        backbone.sequence.gru.eval()
        for handle in handles:
            handle.remove()


FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "resnet": Family(_watch_stage(_one_map), "points"),
        "slowfast": Family(_watch_stage(_pathways), "points"),
        "mvit": Family(_watch_attention, "points"),
        "swin": Family(_watch_stage(_channels_last), "tiles"),
        "penet": Family(_watch_stage(_one_map), "points"),
        "slice": Family(_watch_stage(_one_slice), "points"),
        "lrcn": Family(_watch_slices, "points", alone=True),
        "tiny": Family(_watch_stage(_one_map), "points"),
    }
)
