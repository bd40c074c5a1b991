from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.clip_dataset import (
    ClipShape,
    CoveringClips,
    Jitter,
    LabelledStudy,
    TrainingClips,
    change_brightness,
    crop,
    cut_clip,
    draw_corner,
    scale_clips,
)
from vpt_plugin.data.prepared import PreparedStudy

SHAPE = ClipShape(length=8, stride=6, crop_px=4, min_positive_slices=4, air=9)
STILL = Jitter(gain=0, shift=0)
NO_FACTS = StudyFacts(*[0.0] * 12)


def numbered_slices(slices: int) -> NDArray[np.uint8]:
    """6 x 6 pixels; the value is the slice's number, but 100 at the edge."""
    pixels = np.full((slices, 6, 6), 100, dtype=np.uint8)
    pixels[:, 1:5, 1:5] = np.arange(slices)[:, None, None]
    return pixels


def study(
    folder: Path, name: str, *, slices: int = 20, present: bool = False, positive: tuple[int, int] = (0, 0)
) -> LabelledStudy:
    file = folder / f"{name}.npy"
    np.save(file, numbered_slices(slices))
    mask = np.zeros((slices, 1), dtype=np.bool_)
    mask[slice(*positive)] = True
    prepared = PreparedStudy(file, np.arange(slices, dtype=np.float64), NO_FACTS)
    return LabelledStudy(name, prepared, np.array([float(present)]), mask)


@pytest.fixture
def studies(tmp_path: Path) -> list[LabelledStudy]:
    """Two with the finding on slices 10 to 14, four without."""
    return [
        *(study(tmp_path, f"present {n}", present=True, positive=(10, 15)) for n in range(2)),
        *(study(tmp_path, f"absent {n}") for n in range(4)),
    ]


def drawn(clips: TrainingClips) -> list[tuple[int, float]]:
    """First slice and label of every clip; the middle of a slice holds its number."""
    return [(int(item["image"][0, 0, 1, 1]), float(item["label"][0])) for item in clips]


def test_a_clip_is_positive_when_four_of_its_slices_are(tmp_path: Path) -> None:
    # Slices 10 to 14 are positive. A clip of 8 that starts at 6 sees 10, 11, 12 and 13; one at 5 only three.
    states = study(tmp_path, "a", present=True, positive=(10, 15)).clip_states(0, SHAPE)
    assert np.flatnonzero(states).tolist() == [6, 7, 8, 9, 10, 11]
    assert len(states) == 13


def test_a_study_shorter_than_a_clip_has_one_clip(tmp_path: Path) -> None:
    short = study(tmp_path, "a", slices=5, present=True, positive=(0, 4))
    assert short.clip_states(0, SHAPE).tolist() == [1.0]


def test_clips_of_a_finding_that_is_not_known_are_not_known(tmp_path: Path) -> None:
    unknown = replace(study(tmp_path, "a"), states=np.array([np.nan]))
    assert np.isnan(unknown.clip_states(0, SHAPE)).all()


def test_positive_and_negative_clips_come_in_turn_though_two_thirds_of_the_studies_are_negative(
    studies: list[LabelledStudy],
) -> None:
    labels = [label for _, label in drawn(TrainingClips(studies, SHAPE, clips=40, seed=0, jitter=STILL))]
    assert labels == [1.0, 0.0] * 20


def test_the_label_is_the_one_of_the_clip_that_was_cut(studies: list[LabelledStudy]) -> None:
    clips = TrainingClips(studies, SHAPE, clips=400, seed=0, jitter=STILL)
    starts = {state: {first for first, label in drawn(clips) if label == state} for state in (0.0, 1.0)}
    assert starts[1.0] == {6, 7, 8, 9, 10, 11}
    assert starts[0.0] == set(range(13))


def test_every_study_has_its_turn_before_one_comes_twice(tmp_path: Path) -> None:
    # 4 with the finding, 4 without, known by their number of slices: the rest of a clip of 16 is air.
    studies = [study(tmp_path, str(n), slices=n, present=True, positive=(0, 8)) for n in range(8, 12)]
    studies += [study(tmp_path, str(n), slices=n) for n in range(12, 16)]
    shape = replace(SHAPE, length=16, air=200)
    clips = TrainingClips(studies, shape, clips=16, seed=3, jitter=STILL)
    slices = [int((clip["image"][0, :, 1, 1] != 200).sum()) for clip in clips]
    assert sorted(slices[0:8:2]) == sorted(slices[8::2]) == [8, 9, 10, 11]
    assert sorted(slices[1:8:2]) == sorted(slices[9::2]) == [12, 13, 14, 15]
    assert slices[:8] != slices[8:]


def test_a_clip_depends_on_the_seed_and_its_number_alone(studies: list[LabelledStudy]) -> None:
    short = TrainingClips(studies, SHAPE, clips=10, seed=5)
    long = TrainingClips(studies, SHAPE, clips=1000, seed=5)
    other = TrainingClips(studies, SHAPE, clips=10, seed=6)
    assert all(torch.equal(short[n]["image"], long[n]["image"]) for n in reversed(range(10)))
    assert not all(torch.equal(short[n]["image"], other[n]["image"]) for n in range(10))


def test_with_two_findings_each_has_its_turn_and_what_is_not_known_stays_so(tmp_path: Path) -> None:
    def two(name: str, first: float, second: float) -> LabelledStudy:
        base = study(tmp_path, name, positive=(4, 12))
        mask = np.concatenate([base.positive & (first == 1), base.positive & (second == 1)], axis=1)
        return replace(base, states=np.array([first, second]), positive=mask)

    studies = [two("a", 1, np.nan), two("b", 0, 1), two("c", np.nan, 0)]
    labels = [
        tuple(item["label"].tolist())
        for item in TrainingClips(studies, SHAPE, clips=80, seed=0, jitter=STILL)
    ]
    assert all(label[0] == 1 for label in labels[0::4])
    assert all(label[0] == 0 for label in labels[1::4])
    assert all(label[1] == 1 for label in labels[2::4])
    assert all(label[1] == 0 for label in labels[3::4])
    assert any(np.isnan(label[1]) for label in labels[0::4])


def test_without_a_positive_clip_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no study has a positive clip"):
        TrainingClips([study(tmp_path, "a")], SHAPE, clips=1, seed=0)


def test_covering_clips_show_every_slice_and_the_middle_of_it(tmp_path: Path) -> None:
    clips = CoveringClips([study(tmp_path, "a", slices=20), study(tmp_path, "b", slices=5)], SHAPE)
    # 20 slices, clips of 8 every 6: they start at 0, 6 and 12. 5 slices: one clip, filled up with air.
    assert [(int(c["image"][0, 0, 0, 0]), int(c["label"])) for c in clips] == [
        (0, 0), (6, 0), (12, 0), (0, 1),
    ]  # fmt: skip
    assert clips[3]["image"][0, :, 2, 2].tolist() == [0, 1, 2, 3, 4, 9, 9, 9]
    assert all(clip["image"].shape == (1, 8, 4, 4) for clip in clips)
    assert all(int(clip["image"].max()) < 100 for clip in clips)


@given(slices=st.integers(1, 60), start=st.integers(0, 60), length=st.integers(1, 40))
def test_a_cut_clip_has_its_length_and_what_is_beyond_the_study_is_air(
    slices: int, start: int, length: int
) -> None:
    start = min(start, slices - 1)
    clip = cut_clip(numbered_slices(slices), start, replace(SHAPE, length=length))
    seen = min(length, slices - start)
    assert clip[:, 2, 2].tolist() == [*range(start, start + seen), *[9] * (length - seen)]


@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 1000))
def test_a_drawn_square_lies_inside_the_slice(crop_px: int, margin: int, seed: int) -> None:
    pixels = crop_px + margin
    clip = np.zeros((1, pixels, pixels), dtype=np.uint8)
    corner = draw_corner(np.random.default_rng(seed), pixels, crop_px)
    assert crop(clip, corner, crop_px).shape == (1, crop_px, crop_px)


def test_every_corner_is_drawn_as_often() -> None:
    rng = np.random.default_rng(0)
    corners = Counter(draw_corner(rng, 6, 4) for _ in range(9_000))
    assert len(corners) == 9
    assert all(count == pytest.approx(1_000, abs=130) for count in corners.values())


def test_brightness_is_changed_around_the_middle_of_the_window() -> None:
    clip = np.array([[[0, 51, 255]]], dtype=np.uint8)
    assert change_brightness(clip, (1.0, 0.0)).tolist() == [[[0, 51, 255]]]
    # (0.2 - 0.5) * 0.5 + 0.5 = 0.35, the ends go to 0.25 and 0.75.
    assert change_brightness(clip, (0.5, 0.0)).tolist() == [[[64, 89, 191]]]
    assert change_brightness(clip, (1.0, 0.2)).tolist() == [[[51, 102, 255]]]


def test_the_network_sees_zero_to_one_less_the_offset() -> None:
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(scale_clips(clips, 0.1), torch.tensor([-0.1, 0.1, 0.9]))
