"""Engine: the contract of what computes a classifier's answers on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask

BACKENDS = ("auto", "torch", "openvino")


class Engine(Protocol):
    """A classifier made ready on one device. Several threads may call it, one at a time."""

    @property
    def name(self) -> str:
        """The backend that computes: ``torch`` or ``openvino``."""

    @property
    def device(self) -> torch.device:
        """Where it computes and where it wants the slices."""

    @property
    def precision(self) -> str:
        """In which numbers products are computed: ``float32``, ``bfloat16`` or ``int8``."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, a sentence each, without a full stop: a fallback and why."""

    def answer(self, slices: Tensor, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the classifier says of some clips of a study.

        A caller asks for all clips of a study with the same tensor, in the order of their starts, so that an
        engine may keep what overlapping clips have in common; what the tensor holds stays.

        Args:
            slices: uint8 (slices, rows, columns), cropped, at least one clip long, on ``device``.
            starts: the clips' first slices.

        Returns:
            Logits float64 (clips, findings) and features float32 (clips, features), on the CPU.

        Raises:
            RuntimeError: of torch, also where the memory does not take so many clips: see
                ``vpt_plugin.models.device.out_of_memory``.
        """

    def warm_up(self) -> None:
        """Do once what is slow the first time only, so that the first study is as fast as the next."""


@dataclass(frozen=True)
class EngineRequest:
    """What an engine is made from, with nothing left open.

    Attributes:
        classifier: its weights; never changed, because somebody may still train them.
        task: says how a study is read.
        card: of the classifier.
        device: where to compute.
        precision: ``float32`` or ``bfloat16``.
        cache: folder for what is compiled once per version; None takes the backend's own place.
        many_studies: whether so many studies are to come that a slow start pays.
        notes: what the engine shall have among its notes.
    """

    classifier: Classifier
    task: ReadingTask
    card: ModelCard
    device: torch.device
    precision: str
    cache: Path | None = None
    many_studies: bool = False
    notes: tuple[str, ...] = ()

    @property
    def clip_shape(self) -> tuple[int, int, int]:
        """A clip as the network sees it: (slices, rows, columns)."""
        spec = self.classifier.spec
        return (spec.clip_numbers(self.task.clips).length, spec.crop_px, spec.crop_px)
