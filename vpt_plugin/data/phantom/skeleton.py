"""Bones: ribs as oblique bands around the cage, spine, sternum, shoulder blades, collar bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vpt_plugin.data.phantom.anatomy import APEX_Z, Chest, cage_depth, section
from vpt_plugin.data.phantom.shapes import Field, Grid, Pose, chain, coverage, joined, paint, paint_tubes

RIB_SPACING_MM = 26.0
VERTEBRA_MM = 23.0
_RIB_SHELL_MM = 7.0  # the middle of a rib lies this far outside the cavity


@dataclass(frozen=True)
class Bones:
    """What makes one skeleton different from another.

    Attributes:
        phase_mm: height of the first rib's head within a rib's spacing.
        drop_mm: how far a rib falls from the spine to its front end.
        cortex_hu, marrow_hu: of a rib and a vertebra; they fall with age.
    """

    phase_mm: float
    drop_mm: float
    cortex_hu: float
    marrow_hu: float


def draw_bones(rng: np.random.Generator) -> Bones:
    """Bones of a young or an old adult."""
    return Bones(
        phase_mm=rng.uniform(0, RIB_SPACING_MM),
        drop_mm=rng.uniform(84, 118),
        cortex_hu=rng.uniform(420, 820),
        marrow_hu=rng.uniform(90, 240),
    )


def paint_bones(hu: Field, grid: Grid, pose: Pose, chest: Chest, bones: Bones) -> None:
    """Paint all bones into a volume of the grid, in place."""
    _paint_ribs(hu, grid, pose, chest, bones)
    _paint_blades(hu, grid, pose, chest, bones)
    _paint_spine(hu, grid, pose, chest, bones)
    _paint_sternum(hu, grid, pose, chest, bones)
    _paint_collar_bones(hu, grid, pose, bones)


def _bone(depth_mm: Field, cortex_mm: float, bones: Bones, edge_mm: float) -> tuple[Field, Field]:
    """HU and share of a bone with a cortex of that thickness."""
    inner = coverage(depth_mm - np.float32(cortex_mm), edge_mm)
    hu = np.float32(bones.cortex_hu) + inner * np.float32(bones.marrow_hu - bones.cortex_hu)
    return hu, coverage(depth_mm, edge_mm)


def _paint_ribs(hu: Field, grid: Grid, pose: Pose, chest: Chest, bones: Bones) -> None:
    box = grid.box_around(pose, (-160, -125, -230), (160, 130, APEX_Z + 4))
    x, y, z = grid.reference_axes(pose, box)
    shell = -cage_depth(chest, x, y, z) - np.float32(_RIB_SHELL_MM)
    reach = 4 + grid.edge_mm
    which = np.nonzero(np.abs(shell) < reach)
    x, y, z = (np.broadcast_to(axis, shell.shape)[which] for axis in (x, y, z))
    shell = shell[which]
    at_y = y - 8
    # 0 at the spine, pi at the sternum
    around = np.arctan2(np.abs(x), at_y)
    level = z + np.float32(bones.drop_mm / 2) * (1 - np.cos(around))
    # The cartilages of the front rise again to the sternum.
    level -= 90 * np.maximum(around - 2.5, 0)
    nearest = (level - bones.phase_mm) / RIB_SPACING_MM
    off = (nearest - np.rint(nearest)) * np.float32(RIB_SPACING_MM)
    depth = (1 - np.sqrt((off / 5.6) ** 2 + (shell / 3.8) ** 2)) * np.float32(4.2)
    cartilage = np.clip((around - 2.3) / 0.2, 0, 1)
    value, share = _bone(depth, 1.3, bones, grid.edge_mm)
    value += cartilage * (110 - value)
    # No rib in front below the costal margin, none beside the spinous processes.
    share *= np.clip((z + 118 + 75 * (2.2 - around)) / 12, 0, 1) * np.clip((around - 0.22) / 0.08, 0, 1)
    view = hu[box]
    view[which] += share * (value - view[which])


def _paint_blades(hu: Field, grid: Grid, pose: Pose, chest: Chest, bones: Bones) -> None:
    """Shoulder blades: thin plates behind the cage, with their spine."""
    box = grid.box_around(pose, (-185, -10, -35), (185, 150, 95))
    x, y, z = grid.reference_axes(pose, box)
    outside = -cage_depth(chest, x, y, z)
    x, y, z = (np.broadcast_to(axis, outside.shape) for axis in (x, y, z))
    around = np.arctan2(np.abs(x), y - 8)
    share_up = (z + 35) / 125
    inner = 0.62 + 0.1 * share_up
    outer = 1.0 + 0.75 * np.clip(share_up, 0, 1)
    within = np.minimum(np.minimum(around - inner, outer - around) * 120, np.minimum(z + 30, 88 - z))
    slant = np.clip((around - inner) / (outer - inner), 0, 1)
    plate = np.minimum(2.6 - np.abs(outside - 15 - 19 * slant), within)
    ridge = np.minimum(
        np.minimum(3.5 - np.abs(z - 62 - 14 * (around - 1)), within), np.minimum(outside - 15, 46 - outside)
    )
    value, share = _bone(np.maximum(plate, ridge).astype(np.float32), 1.2, bones, grid.edge_mm)
    paint(hu[box], value, share)


def _paint_spine(hu: Field, grid: Grid, pose: Pose, chest: Chest, bones: Bones) -> None:
    box = grid.box_around(pose, (-48, 0, -260), (48, 140, 170))
    x, y, z = grid.reference_axes(pose, box)
    back = y - section(chest, z).back
    view, edge = hu[box], grid.edge_mm
    body_y = back + 27
    oval = (1 - np.sqrt((x / 19) ** 2 + (body_y / 16) ** 2)) * np.float32(16)
    step = z / VERTEBRA_MM
    from_disc = np.abs(step - np.rint(step)) * np.float32(VERTEBRA_MM)
    value, share = _bone(np.minimum(oval, from_disc - 3), 1.6, bones, edge)
    paint(view, 85, coverage(oval, edge))
    paint(view, value, share)
    # Behind the body: pedicles and lamina around the canal, processes to the side and to the back.
    arch = (1 - np.sqrt((x / 17) ** 2 + ((back + 4) / 15) ** 2)) * np.float32(15)
    sideways = np.minimum(3.8 - np.abs(back + 6 - 0.25 * np.abs(x)), 36 - np.abs(x))
    fold = np.abs(step + 0.5 - np.rint(step + 0.5)) * np.float32(VERTEBRA_MM)
    level = 5.5 - fold
    slanted = (z + 0.9 * (back - 6)) / VERTEBRA_MM
    spinous = np.minimum(
        np.minimum(2.6 - np.abs(x), np.minimum(back - 2, 27 - back)),
        7 - np.abs(slanted - np.rint(slanted)) * np.float32(VERTEBRA_MM),
    )
    processes = np.maximum(np.minimum(np.maximum(arch, sideways), level + 3), spinous)
    value, share = _bone(processes.astype(np.float32), 1.4, bones, edge)
    paint(view, value, share)
    canal = (1 - np.sqrt((x / 9) ** 2 + ((back + 2) / 8) ** 2)) * np.float32(8)
    paint(view, 25, coverage(canal + 0 * z, edge))


def _paint_sternum(hu: Field, grid: Grid, pose: Pose, chest: Chest, bones: Bones) -> None:
    box = grid.box_around(pose, (-40, -130, -130), (40, -10, 85))
    x, y, z = grid.reference_axes(pose, box)
    ahead = section(chest, z).front - 8 - y
    half_width = 13 + 9 * np.clip((z - 25) / 25, 0, 1)
    oval = (1 - np.sqrt((x / half_width) ** 2 + (ahead / 6.5) ** 2)) * np.float32(6.5)
    depth = np.minimum(oval, np.minimum(z + 105, 66 - z))
    value, share = _bone(depth.astype(np.float32), 1.3, bones, grid.edge_mm)
    paint(hu[box], value, share)


def _paint_collar_bones(hu: Field, grid: Grid, pose: Pose, bones: Bones) -> None:
    pieces = []
    for side in (-1, 1):
        pieces.append(
            chain(
                [(side * 22, -48, 66), (side * 60, -52, 82), (side * 105, -22, 96), (side * 140, 5, 108)],
                [8, 6, 5.5, 7],
            )
        )
        pieces.append(chain([(side * 158, 14, 92), (side * 176, 8, 150)], [20, 13]))
    tubes = joined(*pieces).to_patient(pose)
    paint_tubes(hu, grid, tubes, bones.cortex_hu)
    paint_tubes(hu, grid, tubes.widened(by_mm=-2.0), bones.marrow_hu)
