"""Explainer: where a classifier looks, computed by plain torch in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vpt_plugin.ct.clips import clip_starts
from vpt_plugin.data.clip_dataset import scale_clips
from vpt_plugin.errors import CancelledError, WeightsError
from vpt_plugin.inference.batch_size import BatchSize
from vpt_plugin.inference.heat.merge import Cells, Merging
from vpt_plugin.inference.heat.method import METHODS, Method
from vpt_plugin.inference.heat.rules import RULES
from vpt_plugin.inference.heat.watch import Watched, family_of
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import full_float32, memory_needed, out_of_memory
from vpt_plugin.tasks import ReadingTask

# A threshold may be 0, where every clip reaches it.
_LEAST = 1e-9


@dataclass(frozen=True)
class Evidence:
    """What speaks for a finding in a study, and where.

    Attributes:
        stages: what each stage that was looked into says.
        peak: the highest heat in the study: 1 where a clip reaches the threshold, else the highest clip's
            share of it.
    """

    stages: tuple[Cells, ...]
    peak: float


class Explainer:
    """Where a classifier looks, for whole studies.

    Gradients are computed from the head back to the stages that are looked into; what lies before them goes
    through once and leaves nothing in memory. Neither batch norms folded into convolutions nor OpenVINO know
    gradients: this is a plain copy of the network, in float32.

    Attributes:
        method: how maps are made.

    Args:
        classifier: is copied.
        task: says how a study is read.
        card: of the classifier: its temperature and thresholds.
        device: where to compute.
        method: None takes that of the network's family.

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
        method: Method | None = None,
    ) -> None:
        self._family = family_of(classifier)
        self.method = method or METHODS[classifier.spec.family]
        self._task, self._card, self._device = task, card, device
        numbers = classifier.spec.clip_numbers(task.clips)
        self._length, self._stride = numbers.length, numbers.stride
        with memory_needed(device, "the network does not fit a second time, which a heat map needs,"):
            self._classifier = copy.deepcopy(classifier).eval().requires_grad_(False).to(device)

    def evidence(
        self,
        placed: Tensor,
        slices: int,
        findings: Sequence[int],
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Evidence, ...]:
        """What speaks for some findings in a study.

        Args:
            placed: uint8 (slices, rows, columns), cropped and at least one clip long, on the device.
            slices: of the study, without what it was filled up with.
            findings: which of the classifier's.
            progress: called after every batch with the clips done and the clips in all.
            cancelled: asked before every batch.

        Raises:
            CancelledError, WeightsError, DeviceMemoryError: as ``Predictor.predict``.
        """
        starts = clip_starts(slices, length=self._length, stride=self._stride)
        merging = [[self._new_merging(slices) for _ in self.method.stages] for _ in findings]
        weights = np.zeros((len(findings), len(starts)))
        done = 0
        for clips in self._batches(placed, starts, findings, cancelled):
            for clip in clips:
                weights[:, done] = clip.weights
                for of_finding, maps, weight in zip(merging, clip.maps, clip.weights, strict=True):
                    for of_stage, pathways in zip(of_finding, maps, strict=True):
                        of_stage.add(starts[done], pathways, float(weight))
                done += 1
            if progress is not None:
                progress(done, len(starts))
        crop_px = self._classifier.spec.crop_px
        return tuple(
            Evidence(tuple(each.cells(crop_px) for each in of_finding), float(peak))
            for of_finding, peak in zip(merging, weights.max(axis=1), strict=True)
        )

    def _new_merging(self, slices: int) -> Merging:
        return Merging(slices, length=self._length, alignment=self._family.alignment)

    def _batches(
        self,
        placed: Tensor,
        starts: Sequence[int],
        findings: Sequence[int],
        cancelled: Callable[[], bool] | None,
    ) -> Iterator[list[_Clip]]:
        """What is seen in the clips, as many at a time as the memory takes."""
        asked = 1 if self._family.alone else None
        batch = BatchSize(self._device, asked, single_slices=self._length == 1)
        done = 0
        while done < len(starts):
            if cancelled is not None and cancelled():
                raise CancelledError
            batch.before_batch()
            tried = starts[done : done + batch.clips]
            clips = self._tried(placed, tried, findings)
            if clips is None:
                batch.halve(len(tried))
                continue
            batch.after_batch()
            done += len(tried)
            yield clips

    def _tried(self, placed: Tensor, starts: Sequence[int], findings: Sequence[int]) -> list[_Clip] | None:
        """What is seen in some clips; None when the memory does not take so many."""
        try:
            with full_float32(self._device), torch.enable_grad(), ExitStack() as stack:
                watched = [
                    stack.enter_context(self._family.watch(self._classifier, stage))
                    for stage in self.method.stages
                ]
                cut = torch.stack([placed[start : start + self._length] for start in starts])
                logits = self._classifier(scale_clips(cut.unsqueeze(1), self._task.offset))
                return self._seen(logits, watched, findings)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            # Nothing is tried again in here: as long as the exception lives, so do the tensors it failed on.
            return None

    def _seen(self, logits: Tensor, watched: Sequence[Watched], findings: Sequence[int]) -> list[_Clip]:
        """The evidence in the clips that just went through, by clip, finding, stage and pathway."""
        if not torch.isfinite(logits).all():
            raise WeightsError(
                f"{self._card.task}/{self._card.model} version {self._card.version} gave what is no number; "
                "its weights are damaged or its training went astray.",
                "Use another version, or train it again.",
            )
        rule = RULES[self.method.rule]
        values = [each.values() for each in watched]
        # Clips do not see each other, so that the gradient of their sum is that of each.
        maps = [
            [
                [rule(*pair).float().cpu().numpy() for pair in zip(of_stage, gradients, strict=True)]
                for of_stage, gradients in zip(
                    values, (each.gradients(logits[:, finding].sum()) for each in watched), strict=True
                )
            ]
            for finding in findings
        ]
        weights = self._weights(logits.detach(), findings)
        return [
            _Clip(weights[clip], [[[each[clip] for each in stage] for stage in stages] for stages in maps])
            for clip in range(len(logits))
        ]

    def _weights(self, logits: Tensor, findings: Sequence[int]) -> NDArray[np.float64]:
        """How much a clip's evidence counts for each finding: its share of the threshold, at most 1."""
        probabilities = torch.sigmoid(logits.double() / self._card.temperature).cpu().numpy()
        thresholds = [self._card.threshold(self._task.findings[finding]) for finding in findings]
        return np.asarray(np.minimum(probabilities[:, list(findings)] / np.maximum(thresholds, _LEAST), 1))


@dataclass(frozen=True)
class _Clip:
    """What is seen in one clip: a weight per finding, and evidence by finding, stage and pathway."""

    weights: NDArray[np.float64]
    maps: list[list[list[NDArray[np.float32]]]]
