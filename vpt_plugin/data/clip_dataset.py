"""Clips to learn from and to validate on, cut from prepared studies.

Clips are uint8 tensors (1, slices, rows, columns); ``scale_clips`` turns a batch into what the network sees.
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
    """

    length: int
    stride: int
    crop_px: int
    min_positive_slices: int
    air: int


@dataclass(frozen=True)
class LabelledStudy:
    """A prepared study with what is known about it.

    Attributes:
        study: its name.
        prepared: its slices.
        states: (findings,) float: 1 present, 0 absent, nan not known.
        positive: (slices, findings) bool, where a finding is seen; all False unless it is present.
    """

    study: str
    prepared: PreparedStudy
    states: NDArray[np.float64]
    positive: NDArray[np.bool_]

    def clip_states(self, finding: int, shape: ClipShape) -> NDArray[np.float64]:
        """State of the clip at every possible start, (starts,): 1 positive, 0 negative, nan not known."""
        starts = range(max(1, len(self.positive) - shape.length + 1))
        if np.isnan(self.states[finding]):
            return np.full(len(starts), np.nan)
        return clip_labels(
            self.positive[:, finding], starts,
            length=shape.length, min_positive_slices=shape.min_positive_slices,
        ).astype(np.float64)  # fmt: skip


@dataclass(frozen=True)
class Jitter:
    """How much the brightness of a training clip varies, as shares of the HU window; 0 is not at all."""

    gain: float = 0.1
    shift: float = 0.05


class TrainingClips(Dataset[dict[str, torch.Tensor]]):
    """Random clips, a positive and a negative one in turn, each from the next study of a shuffled list.

    The n-th clip depends on the seed and on n alone, so that workers, processes and a resumed training can
    share the work without sharing a generator. With several findings each has its turn; the others' labels
    are those of the clip it drew.

    Args:
        studies: of the training side.
        shape: of the clips.
        clips: how many in all.
        seed: of everything that is drawn.
        jitter: of the brightness.

    Raises:
        ValueError: no positive or no negative clip for one of the findings.
    """

    def __init__(
        self,
        studies: Sequence[LabelledStudy],
        shape: ClipShape,
        *,
        clips: int,
        seed: int,
        jitter: Jitter | None = None,
    ) -> None:
        self._studies = studies
        self._shape = shape
        self._clips = clips
        self._seed = seed
        self._jitter = jitter or Jitter()
        findings = len(studies[0].states) if studies else 0
        # Per study: (starts, findings).
        self._states = [
            np.stack([study.clip_states(finding, shape) for finding in range(findings)], axis=1)
            for study in studies
        ]
        # Turns, in order: positive and negative of the first finding, then of the second ...
        self._turns = [(finding, state) for finding in range(findings) for state in (1.0, 0.0)]
        self._pools = [self._pool(finding, state) for finding, state in self._turns]

    def _pool(self, finding: int, state: float) -> list[int]:
        pool = [i for i, states in enumerate(self._states) if (states[:, finding] == state).any()]
        if not pool:
            kind = "positive" if state else "negative"
            raise ValueError(f"no study has a {kind} clip for finding {finding}")
        return pool

    def __len__(self) -> int:
        return self._clips

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``image`` uint8 (1, slices, rows, columns), ``label`` float32 (findings,), nan where not known."""
        if not 0 <= index < self._clips:
            raise IndexError(index)
        study, start, rng = self._draw(index)
        clip = cut_clip(self._studies[study].prepared.slices, start, self._shape)
        clip = crop(clip, draw_corner(rng, clip.shape[1], self._shape.crop_px), self._shape.crop_px)
        clip = change_brightness(clip, draw_brightness(rng, self._jitter))
        label = self._states[study][start].astype(np.float32)
        return {"image": torch.from_numpy(clip[None]), "label": torch.from_numpy(label)}

    def _draw(self, index: int) -> tuple[int, int, np.random.Generator]:
        """Which study, which start, and the generator for the rest."""
        turn = index % len(self._turns)
        pool = self._pools[turn]
        lap, place = divmod(index // len(self._turns), len(pool))
        order = np.random.default_rng((self._seed, turn, lap)).permutation(len(pool))
        study = pool[order[place]]
        finding, state = self._turns[turn]
        rng = np.random.default_rng((self._seed, index))
        start = int(rng.choice(np.flatnonzero(self._states[study][:, finding] == state)))
        return study, start, rng


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

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``image`` uint8 (1, slices, rows, columns), ``label`` int64 (), the number of the study."""
        number, start = self._clips[index]
        clip = centre_crop(
            cut_clip(self._studies[number].prepared.slices, start, self._shape), self._shape.crop_px
        )
        return {"image": torch.from_numpy(np.ascontiguousarray(clip[None])), "label": torch.tensor(number)}


def cut_clip(slices: NDArray[np.uint8], start: int, shape: ClipShape) -> NDArray[np.uint8]:
    """A copy of the clip at ``start``, filled up with air at the end where the study is shorter."""
    clip = np.array(slices[start : start + shape.length])
    missing = shape.length - len(clip)
    return np.pad(clip, ((0, missing), (0, 0), (0, 0)), constant_values=shape.air) if missing else clip


def draw_corner(rng: np.random.Generator, pixels: int, crop_px: int) -> tuple[int, int]:
    """Where a square of ``crop_px`` begins within one of ``pixels``: (row, column)."""
    row, column = rng.integers(0, pixels - crop_px + 1, size=2)
    return int(row), int(column)


def crop(clip: NDArray[np.uint8], corner: tuple[int, int], crop_px: int) -> NDArray[np.uint8]:
    """The square of ``crop_px`` that begins at ``corner``, of every slice; contiguous."""
    row, column = corner
    return np.ascontiguousarray(clip[:, row : row + crop_px, column : column + crop_px])


def draw_brightness(rng: np.random.Generator, jitter: Jitter) -> tuple[float, float]:
    """A gain around 1 and a shift around 0, in shares of the HU window."""
    return float(rng.uniform(1 - jitter.gain, 1 + jitter.gain)), float(
        rng.uniform(-jitter.shift, jitter.shift)
    )


def change_brightness(clip: NDArray[np.uint8], brightness: tuple[float, float]) -> NDArray[np.uint8]:
    """The clip with contrast multiplied around the middle of the HU window, then shifted."""
    gain, shift = brightness
    # A table look-up: 256 values are computed instead of a million.
    levels = ((np.arange(256) / 255 - 0.5) * gain + 0.5 + shift) * 255
    return np.asarray(np.rint(levels.clip(0, 255)).astype(np.uint8)[clip])


def scale_clips(clips: torch.Tensor, offset: float) -> torch.Tensor:
    """Clips as the network sees them: uint8 to float32 in [0, 1], less the task's offset."""
    return clips.to(torch.float32).div_(255).sub_(offset)
