"""Lesions: nodules in the lungs, emboli in the arteries, and the slices that show them.

Places are those of the reference man; a nodule's size is in true millimetres, the same in a small and in a
large patient. Emboli lie on the arteries' centrelines, so they are always inside an artery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vpt_plugin.data.phantom.anatomy import SIDES, Chest, lung_depth
from vpt_plugin.data.phantom.places import LesionPlace
from vpt_plugin.data.phantom.shapes import (
    Field,
    Grid,
    Points,
    Pose,
    Tubes,
    coverage,
    joined,
    paint,
    tube_box,
    tube_share,
)
from vpt_plugin.data.phantom.vessels import Vessels, lung_points

# A plane shows a lesion when it cuts at least the area of a disc of 3 mm, the size of LIDC's smallest nodule.
VISIBLE_AREA_MM2 = np.pi * 1.5**2


@dataclass(frozen=True)
class Nodule:
    """A rounded opacity.

    Attributes:
        centre: x, y, z in the reference man.
        radius_mm: of the sphere it departs from.
        waves, phases, lobulation: its surface's bumps: directions (3, 3), where they begin, their height
            as a share of the radius.
        hu: of its solid part.
        halo_hu: of its rim; the same as ``hu`` when it is solid.
        core: radius of the solid part as a share of the whole.
        margin_mm: how soft its margin is.
    """

    centre: Points
    radius_mm: float
    waves: Points
    phases: Points
    lobulation: float
    hu: float
    halo_hu: float
    core: float
    margin_mm: float

    def depth(self, dx: Field, dy: Field, dz: Field) -> Field:
        """Depth below its surface at offsets from its centre, patient mm."""
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        scale = 1 / np.maximum(distance, 1e-3)
        bumps = sum(
            np.sin((dx * wave[0] + dy * wave[1] + dz * wave[2]) * scale + phase)
            for wave, phase in zip(self.waves, self.phases, strict=True)
        )
        return np.asarray(self.radius_mm * (1 + self.lobulation * bumps) - distance, dtype=np.float32)


@dataclass(frozen=True)
class Embolus:
    """A clot along an artery: tubes in reference coordinates, and its HU."""

    tubes: Tubes
    hu: float


def draw_nodules(
    rng: np.random.Generator,
    size: float,
    chest: Chest,
    vessels: Vessels,
    *,
    diameters_mm: tuple[float, float],
    counts: tuple[int, int],
) -> tuple[Nodule, ...]:
    """Nodules, anywhere in the lungs; some sit on the pleura, some on a vessel."""
    count = int(rng.integers(counts[0], counts[1] + 1))
    return tuple(
        _draw_nodule(rng, size, chest, vessels, rng.uniform(*diameters_mm) / 2) for _ in range(count)
    )


def _draw_nodule(
    rng: np.random.Generator, size: float, chest: Chest, vessels: Vessels, radius_mm: float
) -> Nodule:
    seat = rng.choice(["free", "pleura", "vessel"], p=[0.55, 0.25, 0.2])
    side = int(rng.choice(SIDES))
    choices = lung_points(rng, chest, 40, side=side, margin_mm=1.0)
    depth = lung_depth(chest, *choices.T.astype(np.float32)) * size
    clear = _clearance(vessels, choices) * size
    # How far a place is from what is wished; the best of 40 places is taken.
    if seat == "pleura":
        miss = np.abs(depth - 0.55 * radius_mm) + np.maximum(radius_mm - clear, 0)
    else:
        miss = np.maximum(radius_mm + 2 - depth, 0)
        miss += np.abs(clear - 0.8 * radius_mm) if seat == "vessel" else np.maximum(radius_mm + 2 - clear, 0)
    solid = bool(rng.random() < 0.75)
    hu, halo, core = rng.uniform(0, 70), rng.uniform(-560, -380), rng.uniform(0.5, 0.75)
    return Nodule(
        centre=choices[int(np.argmin(miss))],
        radius_mm=radius_mm,
        waves=rng.normal(0, 2.2, size=(3, 3)),
        phases=rng.uniform(0, 2 * np.pi, size=3),
        lobulation=rng.uniform(0.01, 0.09),
        hu=hu,
        halo_hu=hu if solid else halo,
        core=core,
        margin_mm=rng.uniform(0.5, 3.0),
    )


def _clearance(vessels: Vessels, points: Points) -> Points:
    """Distance from the surface of the nearest large branch, mm of the reference man."""
    trees = joined(vessels.arteries, vessels.veins)
    return -trees[trees.end_radius > 2.2].depth_mm(points)


def paint_nodule(hu: Field, grid: Grid, pose: Pose, nodule: Nodule, lungs: Field) -> LesionPlace | None:
    """Paint it into the lungs: what would lie beyond the pleura is cut off by it. Gives its place."""
    reach = nodule.radius_mm * 1.3 + nodule.margin_mm
    centre = pose.to_patient(nodule.centre[None])[0]
    box = grid.box(centre - reach, centre + reach)
    if not hu[box].size:
        return None
    depth = nodule.depth(
        (grid.x_mm[box[2]] - centre[0])[None, None, :],
        (grid.y_mm[box[1]] - centre[1])[None, :, None],
        (grid.z_mm[box[0]] - centre[2])[:, None, None],
    )
    edge = float(np.hypot(grid.edge_mm, nodule.margin_mm))
    solid = coverage(depth - np.float32((1 - nodule.core) * nodule.radius_mm), edge)
    value = np.float32(nodule.halo_hu) + solid * np.float32(nodule.hu - nodule.halo_hu)
    share = coverage(depth, edge) * lungs[box]
    paint(hu[box], value, share)
    return LesionPlace.of(share, box)


def nodule_range_mm(nodule: Nodule, pose: Pose, chest: Chest) -> tuple[float, float] | None:
    """Patient z from where to where the nodule shows, or None if it nowhere does."""
    reach = nodule.radius_mm * 1.3
    axis = np.linspace(-reach, reach, 41)
    offsets = np.stack([part.ravel() for part in np.meshgrid(axis, axis, axis, indexing="ij")], axis=1)
    centre = pose.to_patient(nodule.centre[None])[0]
    inside = nodule.depth(*offsets.T) > 0
    inside[inside] = lung_depth(chest, *pose.to_reference(centre + offsets[inside]).T) > 0
    areas = inside.reshape(41, 41, 41).sum(axis=(0, 1)) * (axis[1] - axis[0]) ** 2
    return _shown(centre[2] + axis, areas)


def _shown(z_mm: Points, areas_mm2: Points) -> tuple[float, float] | None:
    """From where to where planes at ``z_mm`` show at least ``VISIBLE_AREA_MM2``, ends interpolated."""
    shown = np.flatnonzero(areas_mm2 >= VISIBLE_AREA_MM2)
    if not len(shown):
        return None
    half_step = (z_mm[1] - z_mm[0]) / 2
    return round(float(z_mm[shown[0]] - half_step), 1), round(float(z_mm[shown[-1]] + half_step), 1)


def draw_emboli(
    rng: np.random.Generator,
    vessels: Vessels,
    *,
    counts: tuple[int, int],
    lengths_mm: tuple[float, float],
    fills: tuple[float, float],
    from_radius_mm: float,
) -> tuple[Embolus, ...]:
    """Clots, each from a branch wider than ``from_radius_mm`` downstream; some in the main arteries."""
    count = int(rng.integers(counts[0], counts[1] + 1))
    hu = rng.uniform(35, 75)
    return tuple(
        Embolus(_draw_clot(rng, vessels, lengths_mm, fills, from_radius_mm), hu) for _ in range(count)
    )


def _draw_clot(
    rng: np.random.Generator,
    vessels: Vessels,
    lengths_mm: tuple[float, float],
    fills: tuple[float, float],
    from_radius_mm: float,
) -> Tubes:
    # The first four tubes are the main branches of the trunk, on which the trees hang.
    tree = joined(vessels.trunk[np.arange(2, 6)], vessels.arteries)
    central = rng.random() < 0.3
    wide = np.flatnonzero(tree.end_radius > from_radius_mm)
    at = int(rng.integers(0, 4)) if central else int(rng.choice(wide))
    length_mm, fill = rng.uniform(*lengths_mm), rng.uniform(*fills)
    pieces: list[int] = []
    while length_mm > 0:
        pieces.append(at)
        length_mm -= float(np.linalg.norm(tree.end[at] - tree.start[at]))
        # Further out an artery is hardly wider than a pixel, and nobody could see the clot.
        downstream = np.flatnonzero((tree.start == tree.end[at]).all(axis=1) & (tree.end_radius > 2.6))
        if not len(downstream):
            break
        at = int(downstream[np.argmax(tree.end_radius[downstream])])
    return tree[np.array(pieces)].widened(factor=fill)


def paint_emboli(
    hu: Field, grid: Grid, pose: Pose, emboli: tuple[Embolus, ...], vessels: Vessels, lungs: Field
) -> list[LesionPlace]:
    """Paint them into the arteries, of whose share of every voxel they take their part. Gives places."""
    places = []
    arteries, trunk = vessels.arteries.to_patient(pose), vessels.trunk.to_patient(pose)
    for embolus in emboli:
        clot = embolus.tubes.to_patient(pose)
        box = tube_box(clot, grid)
        part = grid.part(box)
        artery = np.maximum(tube_share(arteries, part) * lungs[box], tube_share(trunk, part))
        share = np.minimum(tube_share(clot, part), artery)
        paint(hu[box], embolus.hu, share)
        places.append(LesionPlace.of(share, box))
    return [place for place in places if place is not None]


def embolus_range_mm(
    embolus: Embolus, pose: Pose, chest: Chest, vessels: Vessels
) -> tuple[float, float] | None:
    """Patient z from where to where the embolus shows, or None if it nowhere does."""
    clot = embolus.tubes.to_patient(pose)
    radius = np.maximum(clot.start_radius, clot.end_radius)[:, None]
    low = np.minimum(clot.start - radius, clot.end - radius).min(axis=0)
    high = np.maximum(clot.start + radius, clot.end + radius).max(axis=0)
    step = 0.75
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    inside = clot.depth_mm(points) > 0
    at = pose.to_reference(points[inside])
    inside[inside] = (lung_depth(chest, *at.T) > 0) | (vessels.trunk.depth_mm(at) > 0)
    return _shown(axes[2], inside.reshape(x.shape).sum(axis=(0, 1)) * step**2)
