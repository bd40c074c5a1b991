"""What looks like a lesion on a slice, and is none.

It is drawn for every phantom, with or without lesions, so that neither its presence nor its brightness tells:
band-like scars, mucus in a bronchus (a tube, as a vessel is), dependent opacity, emphysema; and there are the
vessels themselves, cut across. None of it is a nodule for any reader. Calcified granulomas are left out:
LIDC's readers mark them as nodules, so calling them absent would be a wrong label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vpt_plugin.data.phantom.anatomy import SIDES, Chest, lung_depth
from vpt_plugin.data.phantom.shapes import (
    Field,
    Grid,
    Points,
    Pose,
    Tubes,
    chain,
    coverage,
    joined,
    paint,
    paint_tubes,
)
from vpt_plugin.data.phantom.vessels import lung_points


@dataclass(frozen=True)
class Scar:
    """A band of scar or collapsed lung: an oblong box, in reference coordinates.

    Attributes:
        centre: x, y, z.
        axes: unit axes as rows; half_mm the half length along each.
        hu: of its middle.
    """

    centre: Points
    axes: Points
    half_mm: Points
    hu: float


@dataclass(frozen=True)
class LookAlikes:
    """What is no lesion: scars, mucus plugs (tubes), emphysema holes and dependent opacity."""

    scars: tuple[Scar, ...]
    plugs: Tubes
    plug_hu: float
    holes: Tubes
    dependent_mm: float


def draw_look_alikes(rng: np.random.Generator, chest: Chest) -> LookAlikes:
    """What looks like a lesion here and there, and is none."""
    scars = tuple(_draw_scar(rng, chest) for _ in range(int(rng.integers(0, 5))))
    plugs = [_draw_plug(rng, chest) for _ in range(int(rng.integers(0, 4)))]
    holes = np.concatenate(
        [lung_points(rng, chest, int(rng.integers(0, 14)), side=side, margin_mm=2) for side in SIDES]
    )
    radii = rng.uniform(3, 10, len(holes))
    none = Tubes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    return LookAlikes(
        scars=scars,
        plugs=joined(none, *plugs),
        plug_hu=rng.uniform(0, 70),
        holes=Tubes(holes, holes + rng.normal(0, 3, holes.shape), radii, radii),
        dependent_mm=float(rng.choice([0.0, rng.uniform(2, 9)])),
    )


def _draw_scar(rng: np.random.Generator, chest: Chest) -> Scar:
    side = int(rng.choice(SIDES))
    return Scar(
        centre=lung_points(rng, chest, 1, side=side, margin_mm=4)[0],
        axes=np.linalg.qr(rng.normal(size=(3, 3)))[0],
        half_mm=np.array([rng.uniform(12, 35), rng.uniform(6, 16), rng.uniform(0.9, 2.2)]),
        hu=rng.uniform(-150, 40),
    )


def _draw_plug(rng: np.random.Generator, chest: Chest) -> Tubes:
    """A bronchus full of mucus: a bent tube."""
    side = int(rng.choice(SIDES))
    start = lung_points(rng, chest, 1, side=side, margin_mm=14)[0]
    along = rng.normal(size=3)
    along *= rng.uniform(9, 15) / np.linalg.norm(along)
    bend = rng.normal(size=3) * 3
    points = [start, start + along + bend, start + 2 * along]
    radius = rng.uniform(2.2, 4.5)
    return chain([tuple(point) for point in points], [radius, radius, 0.7 * radius])


def paint_look_alikes(
    hu: Field, grid: Grid, pose: Pose, chest: Chest, found: LookAlikes, lungs: Field
) -> None:
    """Paint all of them into the lungs, before the vessels."""
    paint_tubes(hu, grid, found.holes.to_patient(pose), -965.0, within=0.7 * lungs)
    if found.dependent_mm:
        _paint_dependent(hu, grid, pose, chest, found.dependent_mm, lungs)
    for scar in found.scars:
        reach = float(np.linalg.norm(scar.half_mm)) + 3
        box = grid.box_around(pose, tuple(scar.centre - reach), tuple(scar.centre + reach))
        offsets = [a - c for a, c in zip(grid.reference_axes(pose, box), scar.centre, strict=True)]
        inside = [
            half - np.abs(sum(o * part for o, part in zip(offsets, axis, strict=True)))
            for axis, half in zip(scar.axes, scar.half_mm, strict=True)
        ]
        share = coverage(np.minimum(np.minimum(inside[0], inside[1]), inside[2]), grid.edge_mm)
        paint(hu[box], scar.hu, share * lungs[box])
    paint_tubes(hu, grid, found.plugs.to_patient(pose), found.plug_hu, within=lungs)


def _paint_dependent(hu: Field, grid: Grid, pose: Pose, chest: Chest, depth_mm: float, lungs: Field) -> None:
    """Lung that its own weight has emptied of air, along the pleura of the back."""
    box = grid.box_around(pose, (-130, 20, -160), (130, 112, 60))
    x, y, z = grid.reference_axes(pose, box)
    along = np.float32(depth_mm) * np.clip((y - 35) / 35, 0, 1) - lung_depth(chest, x, y, z)
    paint(hu[box], -450.0, 0.8 * coverage(along, 6.0) * lungs[box])
