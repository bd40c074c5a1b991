"""Explainer: where a classifier looks, computed by plain torch in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.batch_size import BatchSize
from vpt_plugin.inference.batches import in_batches, require_numbers
from vpt_plugin.inference.heat.heat_map import HeatMap
from vpt_plugin.inference.heat.merge import Evidence
from vpt_plugin.inference.heat.method import HIRES_CAM, Method
from vpt_plugin.inference.heat.render import heat_map
from vpt_plugin.inference.heat.watch import family_of
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import full_float32, memory_needed
from vpt_plugin.tasks import ReadingTask

# A threshold may be 0, where every clip reaches it.
_LEAST = 1e-9


class Explainer:
    """Where a classifier looks, for whole studies.

    Gradients are computed from the head back to the stage that is looked into; what lies before it goes
    through once and leaves nothing in memory. What engines compute with, oneDNN's fused convolutions or
    OpenVINO, knows no gradients: this is the plain network, in float32.

    Attributes:
        method: how maps are made.

    Args:
        classifier: is left as it is. On the CPU its weights are used where they lie, so that the memory holds
            them once; one that is trained on meanwhile is explained as it then is.
        task: says how a study is read.
        card: of the classifier: its temperature and thresholds.
        device: where to compute.
        method: how maps are to be made.

    Raises:
        NotExplainableError: the network is of no family that is known.
        DeviceMemoryError: it does not fit into the device's memory.
    """

    def __init__(
        self,
        classifier: Classifier,
        task: ReadingTask,
        card: ModelCard,
        *,
        device: torch.device,
        method: Method = HIRES_CAM,
    ) -> None:
        self._family = family_of(classifier)
        self.method = method
        self._spec, self._task, self._card, self._device = classifier.spec, task, card, device
        numbers = classifier.spec.clip_numbers(task.clips)
        self._length, self._stride = numbers.length, numbers.stride
        with memory_needed(device, "the network does not fit a second time, which a heat map needs,"):
            self._classifier = _fixed(classifier).to(device)

    def explain(
        self,
        volume: Volume,
        placed: Tensor,
        findings: Sequence[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[HeatMap, ...]:
        """The heat maps of a study.

        Args:
            volume: the study.
            placed: its slices, uint8 (slices, rows, columns), cropped and at least one clip long, on the
                device.
            findings: of which; None takes all of the task's.
            progress: called after every batch with the clips done and the clips in all.
            cancelled: asked before every batch.

        Raises:
            ConfigurationError: no such finding.
            NotExplainableError: the network has no such stage.
            CancelledError, WeightsError, DeviceMemoryError: as ``Predictor.predict``.
        """
        asked = self._task.findings if findings is None else tuple(findings)
        if unknown := [name for name in asked if name not in self._task.findings]:
            raise ConfigurationError(
                f"the task {self._task.name} has no finding {', '.join(unknown)};",
                f"choose from {', '.join(self._task.findings)}.",
            )
        starts = clip_starts(volume.slices, length=self._length, stride=self._stride)
        evidence = [self._new_evidence(volume.slices) for _ in asked]
        batch = BatchSize(self._device, 1 if self._family.alone else None, single_slices=self._length == 1)
        seeing = partial(self._seen, placed, asked)
        coming = iter(starts)
        for seen in in_batches(batch, starts, seeing, progress=progress, cancelled=cancelled):
            for clip, weights in enumerate(seen.weights):
                start = next(coming)
                for finding, weight in enumerate(weights):
                    evidence[finding].add(start, seen.of_clip(clip, finding), float(weight))
        return tuple(
            heat_map(volume, name, each, method=str(self.method), resize_px=self._spec.resize_px)
            for name, each in zip(asked, evidence, strict=True)
        )

    def _new_evidence(self, slices: int) -> Evidence:
        return Evidence(
            slices, length=self._length, alignment=self._family.alignment, crop_px=self._spec.crop_px
        )

    def _seen(self, placed: Tensor, findings: Sequence[str], starts: Sequence[int]) -> _Seen:
        """What is seen in some clips."""
        watching = self._family.watch(self._classifier, self.method.stage)
        with full_float32(self._device), torch.enable_grad(), watching as watched:
            clips = torch.stack([placed[start : start + self._length] for start in starts]).unsqueeze(1)
            logits = self._classifier(scale_clips(clips, self._task.offset))
            require_numbers(logits, self._card)
            # Clips do not see each other, so that the gradient of their sum is that of each.
            scores = logits[:, self._columns(findings)].sum(dim=0)
            maps = [
                [
                    self.method.rule(values, gradients).cpu().numpy()
                    for values, gradients in zip(watched.values(), watched.gradients(score), strict=True)
                ]
                for score in scores
            ]
            return _Seen(self._weights(logits.detach(), findings), maps)

    def _weights(self, logits: Tensor, findings: Sequence[str]) -> NDArray[np.float64]:
        """How much a clip's evidence counts for each finding: its share of the threshold, at most 1."""
        # On the CPU, because MPS knows no float64.
        probabilities = torch.sigmoid(logits.cpu().double() / self._card.temperature).numpy()
        thresholds = [max(_LEAST, self._card.threshold(finding)) for finding in findings]
        return np.asarray(np.minimum(probabilities[:, self._columns(findings)] / thresholds, 1))

    def _columns(self, findings: Sequence[str]) -> list[int]:
        """Where the findings are among the logits."""
        return [self._task.findings.index(finding) for finding in findings]


def _fixed(classifier: Classifier) -> Classifier:
    """The classifier in evaluation, nothing of which asks for gradients; its weights are those in memory."""
    shared: dict[int, Any] = {id(each): each.detach() for each in classifier.buffers()}
    for each in classifier.parameters():
        shared[id(each)] = nn.Parameter(each.detach(), requires_grad=False)
    return copy.deepcopy(classifier, shared).eval()


@dataclass(frozen=True)
class _Seen:
    """What is seen in a batch of clips.

    Attributes:
        weights: (clips, findings), how much each counts.
        maps: evidence by finding and pathway: (clips, slices, rows, columns) of cells.
    """

    weights: NDArray[np.float64]
    maps: list[list[NDArray[np.float32]]]

    def of_clip(self, clip: int, finding: int) -> list[NDArray[np.float32]]:
        """The evidence in one clip for one finding, by pathway."""
        return [pathway[clip] for pathway in self.maps[finding]]
