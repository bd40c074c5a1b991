"""Soft tissue: chest wall, mediastinum, heart, abdomen and the lungs themselves, with their HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vpt_plugin.data.phantom import anatomy
from vpt_plugin.data.phantom.anatomy import Chest, Ellipsoid
from vpt_plugin.data.phantom.shapes import Field, Grid, Pose, coverage, paint, paint_tubes
from vpt_plugin.data.phantom.vessels import Vessels

FAT_HU = -100.0
MUSCLE_HU = 50.0
AIR_HU = -1000.0


@dataclass(frozen=True)
class Tissue:
    """HU of what differs from patient to patient.

    Attributes:
        lung_hu: of the lungs at mid height; inspiration and emphysema lower it.
        dependent_hu: rise of the lungs' HU from front to back, by gravity.
        mottle_hu, mottle_mm: height and wavelength of the lungs' slow unevenness.
        mottle_phase: where that unevenness lies.
        blood_hu, liver_hu: without contrast.
        stomach_air_mm: depth of the air in the stomach.
    """

    lung_hu: float
    dependent_hu: float
    mottle_hu: float
    mottle_mm: float
    mottle_phase: tuple[float, float, float]
    blood_hu: float
    liver_hu: float
    stomach_air_mm: float


def draw_tissue(rng: np.random.Generator) -> Tissue:
    """The tissue of one patient."""
    return Tissue(
        lung_hu=rng.uniform(-885, -800),
        dependent_hu=rng.uniform(10, 90),
        mottle_hu=rng.uniform(5, 28),
        mottle_mm=rng.uniform(28, 60),
        mottle_phase=(rng.uniform(0, 7), rng.uniform(0, 7), rng.uniform(0, 7)),
        blood_hu=rng.uniform(35, 50),
        liver_hu=rng.uniform(45, 68),
        stomach_air_mm=rng.uniform(-10, 25),
    )


@dataclass(frozen=True)
class Contrast:
    """HU of the blood while the scan was taken.

    Attributes:
        right: cava, right heart and pulmonary arteries.
        left: pulmonary veins, left heart and aorta.
        organs: by how much muscle of the heart and liver are brighter.
    """

    right: float
    left: float
    organs: float


def draw_contrast(rng: np.random.Generator, tissue: Tissue) -> tuple[Contrast, Contrast]:
    """The blood without and with contrast medium, the latter timed for the pulmonary arteries."""
    right = rng.uniform(220, 460)
    with_contrast = Contrast(right=right, left=right * rng.uniform(0.55, 0.95), organs=rng.uniform(15, 45))
    return Contrast(right=tissue.blood_hu, left=tissue.blood_hu, organs=0.0), with_contrast


def paint_body(hu: Field, grid: Grid, pose: Pose, chest: Chest) -> None:
    """Skin, fat and muscle; the inside of the cage is left as fat."""
    everything = (slice(None), slice(None), slice(None))
    x, y, z = grid.reference_axes(pose, everything)
    edge = grid.edge_mm
    depth = anatomy.body_depth(chest, x, y, z)
    skin = depth + anatomy.breast_lift(chest, x, y, z) if chest.breast_mm else depth
    paint(hu, 10.0, coverage(skin, edge))
    paint(hu, FAT_HU, coverage(skin - 2, edge))
    outside = -anatomy.cage_depth(chest, x, y, z)
    # Above the lungs the cage holds the muscles of the neck.
    neck = np.minimum(-anatomy.cavity_depth(chest, x, y, z) - 3, np.minimum(-outside, z - 40))
    paint(hu, MUSCLE_HU - 15, coverage(neck.astype(np.float32), edge))
    # A layer of fat lies between the outer muscles and those of the ribs, widest in the armpit.
    armpit = 26 * np.clip((np.abs(x) - 90) / 40, 0, 1) * np.clip(1 - (np.abs(y - 5) / 60) ** 2, 0, 1)
    armpit = armpit * np.clip((z + 50) / 70, 0, 1)
    outer = np.minimum(depth - np.float32(chest.fat_mm + 2), outside - 15 - armpit)
    inner = np.minimum(outside + 2, 13 - outside)
    paint(hu, MUSCLE_HU, coverage(np.maximum(outer, inner).astype(np.float32), edge))
    if chest.breast_mm:
        gland = np.minimum(skin - 9, 1.5 - depth)
        paint(hu, 20.0, 0.55 * coverage(gland.astype(np.float32), edge))


def paint_heart(hu: Field, grid: Grid, pose: Pose, chest: Chest, contrast: Contrast) -> None:
    """The heart with its chambers."""
    heart = anatomy.heart(chest)
    box = grid.box_around(pose, (-75, -95, -135), (105, 60, 20))
    x, y, z = grid.reference_axes(pose, box)
    view, edge = hu[box], grid.edge_mm
    depth = heart.depth(x, y, z)
    paint(view, 45 + contrast.organs, coverage(depth - 4, edge))
    for right_side, centre, half in (
        (False, (6.0, 8.0, -50.0), (30.0, 19.0, 22.0)),  # left atrium
        (False, (40.0, -14.0, -72.0), (27.0, 22.0, 30.0)),  # left ventricle
        (True, (-22.0, -18.0, -58.0), (22.0, 26.0, 28.0)),  # right atrium
        (True, (14.0, -46.0, -66.0), (32.0, 22.0, 34.0)),  # right ventricle
    ):
        chamber = Ellipsoid(centre, np.eye(3), half)
        blood = contrast.right if right_side else contrast.left
        inside = np.minimum(chamber.depth(x, y, z), depth - 7)
        paint(view, blood, coverage(inside, edge))


def paint_abdomen(
    hu: Field, grid: Grid, pose: Pose, chest: Chest, tissue: Tissue, contrast: Contrast
) -> None:
    """Liver, stomach with its air, spleen, under the diaphragm."""
    box = grid.box_around(pose, (-140, -105, -260), (140, 110, -60))
    x, y, z = grid.reference_axes(pose, box)
    view, edge = hu[box], grid.edge_mm
    inside = anatomy.cage_depth(chest, x, y, z) - 3
    right, _ = anatomy.dome_height(chest, x, y, -1)
    left, _ = anatomy.dome_height(chest, x, y, 1)
    below_right = np.minimum(inside, (right - z) * 0.7)
    below_left = np.minimum(inside, (left - z) * 0.7)
    spine_room = np.sqrt(x**2 + (y - 75) ** 2) - 46
    # The diaphragm itself is a sheet of muscle.
    under = np.where(x < 5, below_right, below_left)
    paint(view, MUSCLE_HU, coverage(np.minimum(under, 4 - under).astype(np.float32), edge))
    liver = np.minimum(np.minimum(below_right - 2, spine_room), 0.8 * (28 - x - 0.5 * (z + 150) - 0.35 * y))
    paint(view, tissue.liver_hu + 0.8 * contrast.organs, coverage(liver.astype(np.float32), edge))
    spleen = np.minimum(
        Ellipsoid((92.0, 48.0, -150.0), np.eye(3), (34.0, 46.0, 52.0)).depth(x, y, z), below_left - 2
    )
    paint(view, 48 + 1.5 * contrast.organs, coverage(spleen, edge))
    stomach = np.minimum(
        Ellipsoid((62.0, -24.0, -152.0), np.eye(3), (44.0, 46.0, 52.0)).depth(x, y, z), below_left - 3
    )
    stomach = np.minimum(stomach, -liver - 2)
    paint(view, 40.0, coverage(stomach.astype(np.float32), edge))
    # The patient lies on the back: air rises to the front.
    air = np.minimum(stomach - 4, tissue.stomach_air_mm - 45 - y)
    paint(view, AIR_HU, coverage(air.astype(np.float32), edge))


def paint_lungs(hu: Field, grid: Grid, pose: Pose, chest: Chest, tissue: Tissue) -> Field:
    """The lungs' tissue; returns the share of every voxel of the grid that is lung."""
    share = np.zeros(grid.shape, dtype=np.float32)
    box = grid.box_around(pose, anatomy.LUNGS_LOW, anatomy.LUNGS_HIGH)
    x, y, z = grid.reference_axes(pose, box)
    share[box] = coverage(anatomy.lung_depth(chest, x, y, z), grid.edge_mm)
    turns = 2 * np.pi / tissue.mottle_mm
    px, py, pz = tissue.mottle_phase
    mottle = np.cos(turns * x + px + 0.01 * y) * np.cos(turns * y + py) * np.cos(turns * z + pz)
    value = tissue.lung_hu + tissue.dependent_hu * (y / 180) + tissue.mottle_hu * mottle
    paint(hu[box], value.astype(np.float32), share[box])
    return share


def paint_great_vessels(hu: Field, grid: Grid, pose: Pose, vessels: Vessels, contrast: Contrast) -> None:
    """Great arteries and veins, gullet, windpipe and main bronchi with their walls."""
    for tubes, value in (
        (vessels.gullet, 40.0),
        (vessels.cava, contrast.right),
        (vessels.atrial_veins, contrast.left),
        (vessels.trunk, contrast.right),
        (vessels.aorta, contrast.left),
        (vessels.head_arteries, contrast.left),
    ):
        paint_tubes(hu, grid, tubes.to_patient(pose), value)
    windpipe = vessels.windpipe.to_patient(pose)
    paint_tubes(hu, grid, windpipe.widened(by_mm=1.6), 30.0)
    paint_tubes(hu, grid, windpipe, AIR_HU)


def paint_lung_trees(
    hu: Field, grid: Grid, pose: Pose, vessels: Vessels, contrast: Contrast, lungs: Field
) -> None:
    """Bronchi, veins and arteries inside the lungs."""
    bronchi = vessels.bronchi.to_patient(pose)
    paint_tubes(hu, grid, bronchi.widened(by_mm=0.9), 0.0, within=lungs)
    paint_tubes(hu, grid, bronchi, -960.0, within=lungs)
    paint_tubes(hu, grid, vessels.veins.to_patient(pose), contrast.left, within=lungs)
    paint_tubes(hu, grid, vessels.arteries.to_patient(pose), contrast.right, within=lungs)
