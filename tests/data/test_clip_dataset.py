from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.clip_dataset import (
    ClipShape,
    CoveringClips,
    LabelledStudy,
    cut_clip,
    scale_clips,
)
from vpt_plugin.data.prepared import PreparedStudy

SHAPE = ClipShape(length=8, stride=6, crop_px=4, min_positive_slices=4, air=9)
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
    return LabelledStudy(name, prepared, np.array([float(present)]), mask, np.array([True]), name)


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


def test_clips_of_a_study_that_is_only_labelled_are_not_known(tmp_path: Path) -> None:
    labelled = replace(study(tmp_path, "a", present=True), marked=np.array([False]))
    assert np.isnan(labelled.clip_states(0, SHAPE)).all()


def test_covering_clips_say_of_which_study_they_are_and_what_is_known_of_them(tmp_path: Path) -> None:
    clips = CoveringClips(
        [
            study(tmp_path, "a", present=True, positive=(10, 15)),
            replace(study(tmp_path, "b", slices=5, present=True), marked=np.array([False])),
            study(tmp_path, "c", slices=9),
        ],
        SHAPE,
    )
    assert clips.clip_studies.tolist() == [0, 0, 0, 1, 2, 2]
    # Of slices 10 to 14 the clip at 0 sees none, the one at 6 four, the one at 12 three.
    np.testing.assert_equal(clips.clip_states, [[0], [1], [0], [math.nan], [0], [0]])


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
    with TemporaryDirectory() as folder:
        prepared = study(Path(folder), "a", slices=slices).prepared
        clip = cut_clip(prepared, start, replace(SHAPE, length=length))
    seen = min(length, slices - start)
    assert clip[:, 2, 2].tolist() == [*range(start, start + seen), *[9] * (length - seen)]


def test_the_network_sees_zero_to_one_less_the_offset() -> None:
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(scale_clips(clips, 0.1), torch.tensor([-0.1, 0.1, 0.9]))
