"""From cells of a network's maps back to voxels: every step from the study to the network, undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vpt_plugin.ct.intensity import reduce_slice
from vpt_plugin.inference.heat.grid import SeenPart, cell_positions, interpolation, step_of

HU_PER_PIXEL = 20


@st.composite
def seen_parts(draw: st.DrawFn) -> SeenPart:
    """Slices of any shape whose pixels may be wider than high, and networks that cut off a margin."""
    resize_px = draw(st.integers(24, 96))
    return SeenPart(
        shape=(draw(st.integers(30, 90)), draw(st.integers(30, 90))),
        pixel_mm=(draw(st.sampled_from([0.7, 1.0, 2.5])), draw(st.sampled_from([0.7, 1.0, 2.5]))),
        resize_px=resize_px,
        crop_px=resize_px - draw(st.integers(0, 9)),
    )


@settings(deadline=None, max_examples=60)
@given(part=seen_parts(), axis=st.integers(0, 1))
def test_what_the_network_saw_is_found_where_it_was_in_the_slice(part: SeenPart, axis: int) -> None:
    # A slice that brightens evenly along one axis: every brightness is at one place only.
    shape, own = part.shape, np.arange(part.shape[axis])
    ramp = np.broadcast_to((own * HU_PER_PIXEL)[(..., None) if axis == 0 else ...], shape).astype(np.int16)
    reduced = np.empty((part.resize_px, part.resize_px), dtype=np.int16)
    reduce_slice(np.ascontiguousarray(ramp), part.pixel_mm, reduced)
    margin = (part.resize_px - part.crop_px) // 2
    middle = reduced[part.resize_px // 2] if axis == 1 else reduced[:, part.resize_px // 2]
    seen = middle[margin : margin + part.crop_px]

    pixels = part.pixels_of(axis)
    back = interpolation(cell_positions(pixels, 1, "points"), part.crop_px) @ seen / HU_PER_PIXEL
    # At the ends of the slice and of the crop the brightness is mixed with what lies beside it.
    scale = np.ptp(own) / np.ptp(pixels)
    inside = (pixels > 1.5) & (pixels < part.crop_px - 1.5)
    inside &= (own > 2 * scale + 1) & (own < own[-1] - 2 * scale - 1)
    assert np.abs(back - own)[inside].max(initial=0) < 0.1 * max(1, scale)


def test_voxels_outside_the_crop_were_not_seen() -> None:
    # 8 pixels of which the network sees the middle 6.
    part = SeenPart(shape=(8, 8), pixel_mm=(1, 1), resize_px=8, crop_px=6)
    assert part.sees(0).tolist() == [False, *[True] * 6, False]


def test_a_slice_that_is_not_square_lies_in_the_middle_of_the_padded_one() -> None:
    # 4 rows of 8 columns: two rows of air above and below.
    part = SeenPart(shape=(4, 8), pixel_mm=(1, 1), resize_px=8, crop_px=8)
    assert part.pixels_of(0).tolist() == [2.5, 3.5, 4.5, 5.5]
    # Rows twice as far apart as columns fill the square.
    part = SeenPart(shape=(4, 8), pixel_mm=(2, 1), resize_px=8, crop_px=8)
    assert part.pixels_of(0).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("pixels", "cells", "step"), [(224, 7, 32), (24, 2, 16), (24, 12, 2), (32, 32, 1), (56, 2, 32)]
)
def test_networks_halve_and_round_up(pixels: int, cells: int, step: int) -> None:
    assert step_of(pixels, cells) == step


def test_cells_that_no_halving_makes_are_refused() -> None:
    with pytest.raises(ValueError, match="5 cells are no halving of 32 pixels"):
        step_of(32, 5)


def test_between_two_cells_the_heat_is_between_theirs_and_beyond_the_last_it_stays() -> None:
    # Cells look at pixels 0 and 4, whose centres are at 0.5 and 4.5.
    weights = interpolation(cell_positions(np.array([0.5, 1.5, 4.5, 7.5]), 4, "points"), 2)
    assert (weights @ [0, 8]).tolist() == [0, 2, 8, 8]


@pytest.mark.parametrize("alignment", ["points", "tiles"])
def test_a_cell_lies_where_its_network_looks(alignment: str) -> None:
    # Three halvings, by odd kernels with zeros around them or by patches side by side.
    halvings = [
        nn.Conv1d(1, 1, 3, 2, 1, bias=False) if alignment == "points" else nn.Conv1d(1, 1, 2, 2, bias=False)
        for _ in range(3)
    ]
    line = torch.zeros(1, 1, 64, requires_grad=True)
    network = nn.Sequential(*halvings)
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    network(line)[0, 0, 4].backward()
    assert line.grad is not None
    seen = line.grad[0, 0].numpy()
    looks_at = float(seen @ (np.arange(64) + 0.5) / seen.sum())
    assert cell_positions(np.array([looks_at]), 8, alignment)[0] == pytest.approx(4)  # type: ignore[arg-type]
