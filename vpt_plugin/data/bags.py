"""Bags of clips to learn from: one clip whose state is known, or several of a study that is only labelled as
a whole.

Multiple-instance learning (Dietterich et al., Artificial Intelligence 1997): of a study that shows a finding
at a place that nobody marked it is known that some clip shows it; of one without it, that none does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vpt_plugin.data.augmentation import Augmentation
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy, cut_clip

Item = dict[str, torch.Tensor]


class TrainingBags(Dataset[Item]):
    """Random bags, one with a finding and one without in turn, each of the next study of a shuffled list.

    Where it is known which slices show the finding, or that none does, a bag is a single clip with the label
    of that clip. Where a study is only known to show it, the bag has ``bag_clips`` clips, spread over the
    study, and the study's label; the bag without the finding that follows then has as many, of a study
    without it, for the highest of eight logits is higher than one alone, finding or not. With several
    findings each has its turn; the others' labels are those of the bag that was drawn, as far as they are
    known.

    The n-th bag depends on the seed and on n alone, so that workers, processes and a resumed training can
    share the work without sharing a generator.

    Args:
        studies: of the training side.
        shape: of the clips.
        bags: how many in all.
        bag_clips: clips of a bag that has several.
        seed: of everything that is drawn.
        augmentation: of every clip.

    Raises:
        ValueError: a finding that no study shows or that every study shows.
    """

    def __init__(
        self,
        studies: Sequence[LabelledStudy],
        shape: ClipShape,
        *,
        bags: int,
        bag_clips: int,
        seed: int,
        augmentation: Augmentation,
    ) -> None:
        self._studies = studies
        self._shape = shape
        self._bags = bags
        self._bag_clips = bag_clips
        self._seed = seed
        self._augmentation = augmentation
        self._clip_states = [study.all_clip_states(shape) for study in studies]
        findings = len(studies[0].states) if studies else 0
        self._pools = [_Pools.of(studies, self._clip_states, finding) for finding in range(findings)]

    def __len__(self) -> int:
        return self._bags

    def __getitem__(self, index: int) -> Item:
        """``image`` uint8 (clips, 1, slices, rows, columns), ``label`` float32 (findings,), nan not known."""
        if not 0 <= index < self._bags:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        number, starts, whole = self._draw(index, rng)
        prepared = self._studies[number].prepared
        clips = [self._augmentation(cut_clip(prepared, start, self._shape), rng) for start in starts]
        label = self._label(number, starts, whole).astype(np.float32)
        return {"image": torch.from_numpy(np.stack(clips)[:, None]), "label": torch.from_numpy(label)}

    def _draw(self, index: int, rng: np.random.Generator) -> tuple[int, list[int], bool]:
        """Which study, the first slices of its clips, and whether they stand for the whole study."""
        # Turns, in order: with and without the first finding, then the second ...
        turn = index % (2 * len(self._pools))
        finding, state = turn // 2, 1.0 - turn % 2
        pools = self._pools[finding]
        seed = (self._seed, 2 * finding)
        earlier = index // (2 * len(self._pools))
        shown, bags_before = _take(pools.present, earlier, seed, pools.bags)
        whole = shown in pools.bags
        if state:
            number = shown
        elif whole:
            number, _ = _take(pools.absent, bags_before, (*seed, 1))
        else:
            number, _ = _take(pools.negative, earlier - bags_before, (self._seed, 2 * finding + 1))
        states = self._clip_states[number][:, finding]
        if whole:
            return number, draw_spread(rng, len(states), self._bag_clips), True
        return number, [int(rng.choice(np.flatnonzero(states == state)))], False

    def _label(self, number: int, starts: list[int], whole: bool) -> NDArray[np.float64]:
        """Per finding: shown by one of the clips, by none, or not known."""
        study = self._studies[number]
        # A clip that does not stand for the whole study says nothing of what is only known of that: its nan
        # stays.
        label = self._clip_states[number][starts].max(axis=0)
        return np.where(study.marked, label, study.states) if whole else label


@dataclass(frozen=True)
class _Pools:
    """Of one finding, the numbers of the studies that bags are drawn from.

    Attributes:
        present: those that show it, with a positive clip or labelled as a whole.
        bags: the ones of these that are labelled as a whole.
        negative: those with a clip that does not show it.
        absent: those that do not show it anywhere.
    """

    present: tuple[int, ...]
    bags: frozenset[int]
    negative: tuple[int, ...]
    absent: tuple[int, ...]

    @classmethod
    def of(
        cls, studies: Sequence[LabelledStudy], clip_states: Sequence[NDArray[np.float64]], finding: int
    ) -> _Pools:
        numbers = range(len(studies))
        bags = [n for n in numbers if studies[n].states[finding] == 1 and not studies[n].marked[finding]]
        positive = [n for n in numbers if (clip_states[n][:, finding] == 1).any()]
        negative = [n for n in numbers if (clip_states[n][:, finding] == 0).any()]
        absent = [n for n in numbers if studies[n].states[finding] == 0]
        if not positive and not bags:
            raise ValueError(f"no study has a positive clip for finding {finding}")
        if (len(positive) and not negative) or (bags and not absent):
            raise ValueError(f"no study has a negative clip for finding {finding}")
        return cls(tuple(sorted([*positive, *bags])), frozenset(bags), tuple(negative), tuple(absent))


def _take(
    pool: tuple[int, ...], earlier: int, seed: tuple[int, ...], counted: frozenset[int] = frozenset()
) -> tuple[int, int]:
    """The next of a pool that is gone through lap after lap, in another order each, and what came before.

    Args:
        pool: numbers of studies.
        earlier: how many were taken.
        seed: of the orders.
        counted: of those taken earlier, the ones of these are counted.

    Returns:
        The number of the study, and how many of the earlier ones are in ``counted``.
    """
    lap, place = divmod(earlier, len(pool))
    order = [pool[n] for n in np.random.default_rng((*seed, lap)).permutation(len(pool))]
    return order[place], lap * len(counted) + sum(number in counted for number in order[:place])


def draw_spread(rng: np.random.Generator, starts: int, clips: int) -> list[int]:
    """First slices of clips spread over a study: one from each of as many equal parts.

    Spread, they miss less than if each could lie anywhere. A study with fewer starts gives each of them.

    Args:
        starts: how many there are, from 0.
        clips: how many are wanted.
    """
    parts = min(starts, clips)
    edges = np.arange(parts + 1) * starts // parts
    return [int(start) for start in rng.integers(edges[:-1], edges[1:])]


def collate_bags(bags: Sequence[Item]) -> Item:
    """A batch of bags.

    Returns:
        ``image`` uint8 (clips, 1, slices, rows, columns), the clips of all bags, bag after bag; ``label``
        float32 (bags, findings); ``bag`` int64 (clips,), the number in this batch of the bag each is of.
    """
    sizes = torch.tensor([len(bag["image"]) for bag in bags])
    return {
        "image": torch.cat([bag["image"] for bag in bags]),
        "label": torch.stack([bag["label"] for bag in bags]),
        "bag": torch.repeat_interleave(torch.arange(len(bags)), sizes),
    }
