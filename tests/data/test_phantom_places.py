"""A phantom tells which voxels its lesions fill: those that would be otherwise without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.data.phantom import LesionPlace, Phantom, PhantomConfig, make_phantom
from vpt_plugin.data.phantom.places import mask_of

CONFIG = PhantomConfig(pixels=80, slice_spacings_mm=(5.0,), noise_hu=(0.0, 0.0))


def made(seed: int, *, lesions: bool) -> Phantom:
    return make_phantom(seed, config=CONFIG, nodule=lesions, contrast=True, emboli=lesions)


def test_inside_is_what_holds_half_of_the_fullest_voxel() -> None:
    box = (slice(1, 2), slice(0, 2), slice(2, 4))
    share = np.array([[[0.6, 0.31], [0.29, 0.0]]], dtype=np.float32)

    place = LesionPlace.of(share, box)

    assert place is not None
    assert place.inside.tolist() == [[[True, True], [False, False]]]
    mask = mask_of([place], (3, 2, 4))
    assert mask.sum() == 2
    assert mask[1, 0, 2]
    assert mask[1, 0, 3]


def test_a_lesion_that_fills_no_voxel_has_no_place() -> None:
    assert LesionPlace.of(np.zeros((2, 2, 2), dtype=np.float32), (slice(0, 2),) * 3) is None
    assert LesionPlace.of(np.zeros((0, 2, 2), dtype=np.float32), (slice(0, 0),) * 3) is None
    assert not mask_of([], (2, 3, 4)).any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_voxels_of_the_lesions_are_those_that_change_with_them(seed: int) -> None:
    without, with_them = made(seed, lesions=False), made(seed, lesions=True)
    changed = np.abs(with_them.volume.hu.astype(int) - without.volume.hu) > 60
    told = with_them.lesion_mask("nodule") | with_them.lesion_mask("pe")

    # The scanner blurs over a voxel or two.
    assert changed[told].mean() > 0.8
    assert not (changed & ~binary_dilation(told, np.ones((3, 3, 3)), iterations=2)).any()
    assert not without.lesion_mask("nodule").any()
    assert not without.lesion_mask("pe").any()


@pytest.mark.parametrize("task", ["nodule", "pe"])
def test_the_voxels_lie_in_the_slices_that_are_labelled(task: str) -> None:
    phantom = made(4, lesions=True)
    (label,) = phantom.labels[task].findings.values()
    z_mm = phantom.volume.slice_z_mm
    labelled = positive_slices(z_mm, label.slices_mm or ())
    shown = phantom.lesion_mask(task).any(axis=(1, 2))

    assert len(phantom.lesions[task]) >= 1
    # At its ends a lesion shows less than a voxel, or less than what is labelled.
    assert (labelled ^ shown).sum() <= 2 * len(phantom.lesions[task])
    assert (labelled & shown).sum() >= 3


def test_clots_that_block_their_arteries_fill_more_of_them_than_the_usual_ones() -> None:
    blocked = replace(CONFIG, clot_lengths_mm=(60.0, 80.0), clot_fills=(1.0, 1.0))
    for seed in (1, 2):
        usual = made(seed, lesions=True).lesion_mask("pe")
        clots = make_phantom(seed, config=blocked, nodule=True, contrast=True, emboli=True).lesion_mask("pe")

        # The same clots, longer and wider.
        assert clots[usual].mean() > 0.9
        assert clots.sum() > 1.1 * usual.sum()
