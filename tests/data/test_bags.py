from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.augmentation import CentreCrop, Jitter, make_augmentation
from vpt_plugin.data.bags import TrainingBags, collate_bags, draw_spread
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.prepared import PreparedStudy

SHAPE = ClipShape(length=8, stride=6, crop_px=4, min_positive_slices=4, air=9)
STILL = CentreCrop(SHAPE.crop_px)
NO_FACTS = StudyFacts(*[0.0] * 12)


def study(
    folder: Path,
    name: str,
    *,
    slices: int = 20,
    state: float = 0.0,
    positive: tuple[int, int] = (0, 0),
    marked: bool = True,
) -> LabelledStudy:
    """6 x 6 pixels, each with its slice's number."""
    file = folder / f"{name}.npy"
    np.save(file, np.broadcast_to(np.arange(slices, dtype=np.uint8)[:, None, None], (slices, 6, 6)))
    mask = np.zeros((slices, 1), dtype=np.bool_)
    mask[slice(*positive)] = True
    prepared = PreparedStudy(file, np.arange(slices, dtype=np.float64), NO_FACTS)
    return LabelledStudy(name, prepared, np.array([state]), mask, np.array([marked]), name)


def bags_of(
    studies: Sequence[LabelledStudy],
    shape: ClipShape = SHAPE,
    *,
    bags: int = 40,
    seed: int = 0,
    clips: int = 3,
) -> TrainingBags:
    return TrainingBags(studies, shape, bags=bags, bag_clips=clips, seed=seed, augmentation=STILL)


@pytest.fixture
def marked(tmp_path: Path) -> list[LabelledStudy]:
    """Two with the finding on slices 10 to 14, four without."""
    return [
        *(study(tmp_path, f"present {n}", state=1, positive=(10, 15)) for n in range(2)),
        *(study(tmp_path, f"absent {n}") for n in range(4)),
    ]


@pytest.fixture
def mixed(tmp_path: Path) -> list[LabelledStudy]:
    """By their number of slices: 21 marked, 22 and 23 only labelled, 24 and 25 without the finding."""
    return [
        study(tmp_path, "marked", slices=21, state=1, positive=(10, 15)),
        *(study(tmp_path, f"labelled {n}", slices=n, state=1, marked=False) for n in (22, 23)),
        *(study(tmp_path, f"absent {n}", slices=n) for n in (24, 25)),
    ]


def drawn(bags: TrainingBags) -> list[tuple[int, float]]:
    """First slice and label of every single clip."""
    return [(int(bag["image"][0, 0, 0, 0, 0]), float(bag["label"][0])) for bag in bags]


def starts_of(bag: dict[str, Tensor]) -> list[int]:
    return [int(clip[0, 0, 0, 0]) for clip in bag["image"]]


def test_with_and_without_the_finding_come_in_turn_though_two_thirds_of_the_studies_are_without(
    marked: list[LabelledStudy],
) -> None:
    assert [label for _, label in drawn(bags_of(marked))] == [1.0, 0.0] * 20


def test_a_marked_study_gives_single_clips_with_their_own_label(marked: list[LabelledStudy]) -> None:
    bags = bags_of(marked, bags=400)
    assert all(len(bag["image"]) == 1 for bag in bags)
    starts = {state: {first for first, label in drawn(bags) if label == state} for state in (0.0, 1.0)}
    # Slices 10 to 14 show it: a clip of 8 sees four of them when it starts at 6 to 11.
    assert starts[1.0] == {6, 7, 8, 9, 10, 11}
    assert starts[0.0] == set(range(13))


def test_every_study_has_its_turn_before_one_comes_twice(tmp_path: Path) -> None:
    # 4 with the finding, 4 without, known by their number of slices: the rest of a clip of 16 is air.
    studies = [study(tmp_path, str(n), slices=n, state=1, positive=(0, 8)) for n in range(8, 12)]
    studies += [study(tmp_path, str(n), slices=n) for n in range(12, 16)]
    bags = bags_of(studies, replace(SHAPE, length=16, air=200), bags=16, seed=3)
    slices = [int((bag["image"][0, 0, :, 1, 1] != 200).sum()) for bag in bags]
    assert sorted(slices[0:8:2]) == sorted(slices[8::2]) == [8, 9, 10, 11]
    assert sorted(slices[1:8:2]) == sorted(slices[9::2]) == [12, 13, 14, 15]
    assert slices[:8] != slices[8:]


def test_a_bag_depends_on_the_seed_and_its_number_alone(mixed: list[LabelledStudy]) -> None:
    light = make_augmentation("light", SHAPE, Jitter())
    short, long, other = (
        TrainingBags(mixed, SHAPE, bags=bags, bag_clips=3, seed=seed, augmentation=light)
        for bags, seed in ((10, 5), (1000, 5), (10, 6))
    )
    assert all(torch.equal(short[n]["image"], long[n]["image"]) for n in reversed(range(10)))
    assert not all(torch.equal(short[n]["image"], other[n]["image"]) for n in range(10))


def test_a_study_that_is_only_labelled_gives_several_clips_and_so_does_the_one_without_after_it(
    mixed: list[LabelledStudy],
) -> None:
    bags = list(bags_of(mixed, bags=60))
    for with_it, without in zip(bags[0::2], bags[1::2], strict=True):
        assert [float(with_it["label"]), float(without["label"])] == [1.0, 0.0]
        assert len(with_it["image"]) == len(without["image"])
    # Of three studies with the finding two are only labelled.
    assert Counter(len(bag["image"]) for bag in bags) == {3: 40, 1: 20}


def test_bags_without_the_finding_are_of_studies_without_it_only(mixed: list[LabelledStudy]) -> None:
    # A clip of 30 slices is the whole study; what is not air says which one it is.
    bags = bags_of(mixed, replace(SHAPE, length=30, air=200), bags=24)
    slices = [int((bag["image"][0, 0, :, 1, 1] != 200).sum()) for bag in bags]
    whole = [n for n in range(0, 24, 2) if slices[n] in (22, 23)]
    assert Counter(slices[n] for n in whole) == {22: 4, 23: 4}
    assert Counter(slices[n + 1] for n in whole) == {24: 4, 25: 4}


def test_the_clips_of_a_bag_are_spread_over_the_study(mixed: list[LabelledStudy]) -> None:
    for bag in bags_of(mixed, bags=60):
        if len(bag["image"]) > 1:
            first, second, third = starts_of(bag)
            # 22 to 25 slices have 15 to 18 starts, in three parts.
            assert 0 <= first < 6 <= second + 1 <= 13 <= third + 3 <= 20


@given(starts=st.integers(1, 200), clips=st.integers(1, 40), seed=st.integers(0, 1000))
def test_spread_clips_differ_ascend_and_lie_in_the_study(starts: int, clips: int, seed: int) -> None:
    spread = draw_spread(np.random.default_rng(seed), starts, clips)
    assert len(set(spread)) == len(spread) == min(starts, clips)
    assert spread == sorted(spread)
    assert spread[0] >= 0
    assert spread[-1] < starts


def test_every_start_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {start for _ in range(200) for start in draw_spread(rng, 10, 3)} == set(range(10))


def two(folder: Path, name: str, first: float, second: float, *, marked: bool = True) -> LabelledStudy:
    """Two findings; what is present is on slices 4 to 11 where it is marked."""
    base = study(folder, name, positive=(4, 12))
    states = np.array([first, second])
    mask = base.positive & (states == 1) & marked
    known = np.array([marked or first == 0, marked or second == 0])
    return replace(base, states=states, positive=mask, marked=known)


def test_with_two_findings_each_has_its_turn_and_what_is_not_known_stays_so(tmp_path: Path) -> None:
    studies = [two(tmp_path, "a", 1, np.nan), two(tmp_path, "b", 0, 1), two(tmp_path, "c", np.nan, 0)]
    labels = [tuple(bag["label"].tolist()) for bag in bags_of(studies, bags=80)]
    assert all(label[0] == 1 for label in labels[0::4])
    assert all(label[0] == 0 for label in labels[1::4])
    assert all(label[1] == 1 for label in labels[2::4])
    assert all(label[1] == 0 for label in labels[3::4])
    assert any(np.isnan(label[1]) for label in labels[0::4])


def test_a_single_clip_says_nothing_of_a_finding_that_is_known_of_the_whole_study_only(
    tmp_path: Path,
) -> None:
    half = two(tmp_path, "half", 1, 1)
    half = replace(half, positive=half.positive & [True, False], marked=np.array([True, False]))
    studies = [half, two(tmp_path, "absent", 0, 0)]
    bags = list(bags_of(studies, bags=40))
    single = [bag["label"].tolist() for bag in bags[0::4]]
    assert all(first == 1 and math.isnan(second) for first, second in single)
    # In the second finding's turn a bag stands for the study; the first one's label is that of its clips.
    assert {len(bag["image"]) for bag in bags[2::4]} == {3}
    assert all(bag["label"].tolist() == [1, 1] for bag in bags[2::4])


def test_a_study_with_one_clip_that_is_only_labelled_gives_that_clip_the_label(tmp_path: Path) -> None:
    studies = [study(tmp_path, "a", slices=5, state=1, marked=False), study(tmp_path, "b", slices=5)]
    labels = [(len(bag["image"]), float(bag["label"])) for bag in bags_of(studies, bags=4)]
    assert labels == [(1, 1), (1, 0), (1, 1), (1, 0)]


def test_without_one_of_the_states_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no study has a positive clip"):
        bags_of([study(tmp_path, "a")])
    with pytest.raises(ValueError, match="no study has a negative clip"):
        bags_of([study(tmp_path, "b", state=1, marked=False)])
    # The marked one has negative clips, but no study stands against the labelled one.
    partly = study(tmp_path, "c", state=1, positive=(10, 15))
    with pytest.raises(ValueError, match="no study has a negative clip"):
        bags_of([partly, study(tmp_path, "d", state=1, marked=False)])


def test_a_batch_holds_the_clips_of_all_bags_and_says_whose_each_is() -> None:
    def bag(clips: int, label: float) -> dict[str, Tensor]:
        image = torch.full((clips, 1, 2, 3, 3), clips, dtype=torch.uint8)
        return {"image": image, "label": torch.tensor([label])}

    batch = collate_bags([bag(2, 1.0), bag(1, 0.0), bag(3, math.nan)])
    assert batch["image"].shape == (6, 1, 2, 3, 3)
    assert batch["image"][:, 0, 0, 0, 0].tolist() == [2, 2, 1, 3, 3, 3]
    assert batch["bag"].tolist() == [0, 0, 1, 2, 2, 2]
    assert batch["label"].shape == (3, 1)
