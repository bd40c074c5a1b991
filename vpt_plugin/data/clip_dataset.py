"""Clips cut from prepared studies, what is known of each, and those that cover whole studies.

Clips are uint8 tensors (1, slices, rows, columns); ``scale_clips`` turns a batch into what the network sees.
What a training draws from them are bags: ``vpt_plugin.data.bags``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vpt_plugin.ct.clips import clip_labels, clip_starts
from vpt_plugin.ct.intensity import centre_crop
from vpt_plugin.data.prepared import PreparedStudy


@dataclass(frozen=True)
class ClipShape:
    """The numbers of a task's clip rule, for one network.

    Attributes:
        length: slices of a clip.
        stride: slices from one clip to the next where a whole study is covered.
        crop_px: side of the square that is cut from every slice.
        min_positive_slices: a clip is positive when at least this many of its slices are.
        air: what fills up a study that is shorter than a clip, in [0, 255].
        min_slices: slices a study needs at least.
    """

    length: int
    stride: int
    crop_px: int
    min_positive_slices: int
    air: int
    min_slices: int = 1


@dataclass(frozen=True)
class LabelledStudy:
    """A prepared study with what is known about it.

    Attributes:
        study: its name.
        prepared: its slices.
        states: (findings,) float: 1 present, 0 absent, nan not known.
        positive: (slices, findings) bool, where a finding is seen; all False unless it is present.
        marked: (findings,) bool, whether it is known on which slices the finding is seen: where it is absent,
            and where it is present with its slices. False where only the study is labelled.
        patient: whose it is; the study's name where that is not known, never "".
        keys: all by which this patient is known, where several turned out to be one.
    """

    study: str
    prepared: PreparedStudy
    states: NDArray[np.float64]
    positive: NDArray[np.bool_]
    marked: NDArray[np.bool_]
    patient: str
    keys: frozenset[str] = frozenset()

    def clip_states(self, finding: int, shape: ClipShape) -> NDArray[np.float64]:
        """State of the clip at every possible start, (starts,): 1 positive, 0 negative, nan not known."""
        starts = range(max(1, len(self.positive) - shape.length + 1))
        if np.isnan(self.states[finding]) or not self.marked[finding]:
            return np.full(len(starts), np.nan)
        return clip_labels(
            self.positive[:, finding], starts,
            length=shape.length, min_positive_slices=shape.min_positive_slices,
        ).astype(np.float64)  # fmt: skip

    def all_clip_states(self, shape: ClipShape) -> NDArray[np.float64]:
        """``clip_states`` of every finding, (starts, findings)."""
        return np.stack([self.clip_states(finding, shape) for finding in range(len(self.states))], axis=1)


class CoveringClips(Dataset[dict[str, torch.Tensor]]):
    """All the clips that cover the studies from end to end, cropped in the middle, study after study.

    Args:
        studies: to be covered.
        shape: of the clips.
    """

    def __init__(self, studies: Sequence[LabelledStudy], shape: ClipShape) -> None:
        self._studies = studies
        self._shape = shape
        self._clips = [
            (number, start)
            for number, study in enumerate(studies)
            for start in clip_starts(len(study.positive), length=shape.length, stride=shape.stride)
        ]

    @property
    def clip_studies(self) -> NDArray[np.int64]:
        """(clips,), the number of the study that each clip is of."""
        return np.array([number for number, _ in self._clips], dtype=np.int64)

    @property
    def clip_states(self) -> NDArray[np.float64]:
        """(clips, findings): 1 positive, 0 negative, nan where it is not known on which slices."""
        states = [study.all_clip_states(self._shape) for study in self._studies]
        return np.stack([states[number][start] for number, start in self._clips])

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``image`` uint8 (1, slices, rows, columns), ``label`` int64 (), the number of the study."""
        number, start = self._clips[index]
        clip = centre_crop(cut_clip(self._studies[number].prepared, start, self._shape), self._shape.crop_px)
        return {"image": torch.from_numpy(np.ascontiguousarray(clip[None])), "label": torch.tensor(number)}


def cut_clip(prepared: PreparedStudy, start: int, shape: ClipShape) -> NDArray[np.uint8]:
    """A copy of the clip at ``start``, filled up with air at the end where the study is shorter."""
    return filled_up(prepared.clip(start, shape.length), shape)


def filled_up(clip: NDArray[np.uint8], shape: ClipShape) -> NDArray[np.uint8]:
    """The clip with slices of air at its end, as many as it lacks."""
    missing = shape.length - len(clip)
    return np.pad(clip, ((0, missing), (0, 0), (0, 0)), constant_values=shape.air) if missing else clip


def scale_clips(clips: torch.Tensor, offset: float) -> torch.Tensor:
    """Clips as the network sees them: uint8 to float32 in [0, 1], less the task's offset."""
    return clips.to(torch.float32).div_(255).sub_(offset)
