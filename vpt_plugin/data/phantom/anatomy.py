"""The shape of the reference man's chest: body outline, thoracic cavity, mediastinum, diaphragm, lungs.

Reference coordinates are millimetres with x to the left, y to the back, z to the head; the origin lies in
the midline at the level of the carina, in the middle of the cavity. Every surface is a depth: mm below it,
positive inside. They take arrays of any shapes that broadcast, so a grid and a list of points ask alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import PchipInterpolator

from vpt_plugin.data.phantom.shapes import Field, Points, smooth_min

SIDES = (-1, 1)  # right and left, by the sign of x
APEX_Z = 100.0
SULCUS_Z = -165.0
CAVITY_HALF_WIDTH = 132.0
CAVITY_HALF_DEPTH = 97.0
# Reference corners (x, y, z) that hold both lungs.
LUNGS_LOW, LUNGS_HIGH = (-138.0, -100.0, -175.0), (138.0, 112.0, 104.0)

# Along the height h of the lungs, 0 at the deepest recess and 1 at the apex.
_HEIGHTS = (-0.4, 0.0, 0.3, 0.5, 0.7, 0.85, 0.93, 1.0, 1.3)
_WIDTHS = (0.93, 0.97, 1.0, 0.98, 0.89, 0.73, 0.62, 0.5, 0.5)  # of the cavity, times CAVITY_HALF_WIDTH
_DEPTHS = (0.95, 0.97, 1.0, 0.97, 0.85, 0.66, 0.54, 0.42, 0.42)  # times CAVITY_HALF_DEPTH
_CENTRES = (2.0, 0.0, 0.0, 1.0, 8.0, 17.0, 22.0, 26.0, 26.0)  # y of the cavity's centre, mm
_APART = (0.0, 0.0, 0.0, 0.0, 4.0, 14.0, 22.0, 28.0, 28.0)  # mm between the midline and a lung's own centre
_BODY_WIDTHS = (143.0, 147.0, 152.0, 156.0, 164.0, 172.0, 176.0, 178.0, 172.0)  # mm, without fat
_BODY_DEPTHS = (117.0, 117.0, 119.0, 117.0, 109.0, 95.0, 88.0, 82.0, 76.0)
_BODY_CENTRES = (9.0, 9.0, 9.0, 11.0, 15.0, 21.0, 24.0, 27.0, 29.0)


@dataclass(frozen=True)
class Chest:
    """What makes one chest different from another; mm of the reference man.

    Attributes:
        squareness: of the cavity's cross-section; 2 is an ellipse, less is squarer.
        waist: how much narrower the cavity is below than above, as a share of its width.
        fat_mm: thickness of the subcutaneous fat.
        breast_mm: height of the breasts above the chest wall; 0 has none.
        dome_z: height of the right and left dome of the diaphragm.
        dome_rise_mm: how far a dome stands above its rim.
        mediastinum_mm: added to the half width of the mediastinum.
        heart_size: factor on the heart's half axes.
        heart_lean_rad: how far the heart's long axis leans from the vertical to the left and front.
    """

    squareness: float
    waist: float
    fat_mm: float
    breast_mm: float
    dome_z: tuple[float, float]
    dome_rise_mm: float
    mediastinum_mm: float
    heart_size: float
    heart_lean_rad: float


def draw_chest(rng: np.random.Generator) -> Chest:
    """A chest of an adult."""
    right_dome = rng.uniform(-105, -78)
    return Chest(
        squareness=rng.uniform(1.0, 1.7),
        waist=rng.uniform(-0.05, 0.05),
        fat_mm=rng.uniform(4, 26),
        breast_mm=float(rng.choice([0.0, rng.uniform(12, 34)])),
        dome_z=(right_dome, right_dome - rng.uniform(3, 18)),
        dome_rise_mm=rng.uniform(48, 66),
        mediastinum_mm=rng.uniform(-3, 5),
        heart_size=rng.uniform(0.88, 1.12),
        heart_lean_rad=rng.uniform(0.55, 0.95),
    )


@dataclass(frozen=True)
class Section:
    """The cavity's cross-section at given heights, arrays shaped like z."""

    half_width: Field
    half_depth: Field
    centre: Field
    apart: Field

    @property
    def back(self) -> Field:
        """y of the back wall."""
        return self.centre + self.half_depth

    @property
    def front(self) -> Field:
        """y of the front wall."""
        return self.centre - self.half_depth


def height(z: Field) -> Field:
    """Height above the deepest recess as a share of the lungs' height."""
    return np.asarray((z - SULCUS_Z) / (APEX_Z - SULCUS_Z), dtype=np.float32)


@cache
def _curve(values: tuple[float, ...]) -> PchipInterpolator:
    return PchipInterpolator(_HEIGHTS, values)


def _profile(values: tuple[float, ...], z: Field) -> Field:
    at = np.clip(height(z), _HEIGHTS[0], _HEIGHTS[-1])
    return np.asarray(_curve(values)(at), dtype=np.float32)


def section(chest: Chest, z: Field) -> Section:
    """The cavity's cross-section, without the closing of its top."""
    waist = 1 + np.float32(chest.waist) * (1 - 2 * np.clip(height(z), 0, 1))
    return Section(
        half_width=_profile(_WIDTHS, z) * np.float32(CAVITY_HALF_WIDTH) * waist,
        half_depth=_profile(_DEPTHS, z) * np.float32(CAVITY_HALF_DEPTH),
        centre=_profile(_CENTRES, z),
        apart=_profile(_APART, z),
    )


def _oval_depth(u: Field, v: Field, half_width: Field, half_depth: Field, squareness: float) -> Field:
    """Depth below an oval with half axes; u and v are already divided by them."""
    u2, v2 = u * u, v * v
    q = np.sqrt(np.sqrt(u2 * u2 + v2 * v2 + np.float32(squareness) * (u2 * v2)))
    # Along u the unit is half_width, along v half_depth: mix them by direction to stay in mm.
    unit = (half_width * u2 + half_depth * v2 + np.float32(1e-3)) / (u2 + v2 + np.float32(1e-5))
    return np.asarray((1 - q) * unit, dtype=np.float32)


def cavity_depth(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """Depth below the inner surface of the rib cage; below -4 to -12 mm are the ribs."""
    at = section(chest, z)
    # The top of the cavity closes like a dome.
    closing = np.clip((height(z) - 0.84) / 0.16, 0, 0.999)
    shrink = np.sqrt(1 - closing**2).astype(np.float32)
    width, depth = at.half_width * shrink, at.half_depth * (0.25 + 0.75 * shrink)
    u = np.maximum(np.abs(x) - at.apart, 0) / width
    v = (y - at.centre) / depth
    depth_mm = _oval_depth(u, v, width, depth, chest.squareness)
    return np.asarray(np.minimum(depth_mm, APEX_Z - z), dtype=np.float32)


def cage_depth(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """Depth below the same surface left open at the top: where ribs and chest wall run."""
    at = section(chest, z)
    u = np.maximum(np.abs(x) - at.apart, 0) / at.half_width
    return _oval_depth(u, (y - at.centre) / at.half_depth, at.half_width, at.half_depth, chest.squareness)


def body_depth(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """Depth below the skin, the breasts not counted."""
    width = _profile(_BODY_WIDTHS, z) + np.float32(chest.fat_mm)
    depth = _profile(_BODY_DEPTHS, z) + np.float32(0.8 * chest.fat_mm)
    return _oval_depth(x / width, (y - _profile(_BODY_CENTRES, z)) / depth, width, depth, 1.2)


def back_of_body(chest: Chest) -> float:
    """y of the skin of the back, where it lies on the table."""
    return max(c + d for c, d in zip(_BODY_CENTRES, _BODY_DEPTHS, strict=True)) + 0.8 * chest.fat_mm


def breast_lift(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """How far the breasts lift the skin, mm."""
    bump = ((np.abs(x) - 78) / 58) ** 2 + ((z + 52) / 58) ** 2
    in_front = np.clip((-y - 30) / 40, 0, 1)
    return np.asarray(chest.breast_mm * np.clip(1 - bump, 0, None) * in_front, dtype=np.float32)


def mediastinum_depth(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """Depth inside what lies between the lungs, without the heart: narrow in front, wide beside the spine."""
    at = section(chest, z)
    behind_sternum = np.clip((y - at.front - 10) * np.float32(1 / 42), 0, 1)
    beside_spine = np.clip((y - at.back + 34) * np.float32(1 / 34), 0, 1)
    half_width = behind_sternum * 12 + beside_spine * 20 + np.float32(9 + chest.mediastinum_mm)
    return np.asarray(half_width - np.abs(x - 3), dtype=np.float32)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid; ``axes`` holds its unit axes as rows, ``half_mm`` the half length along each."""

    centre: tuple[float, float, float]
    axes: Points
    half_mm: tuple[float, float, float]

    def depth(self, x: Field, y: Field, z: Field) -> Field:
        """Depth below its surface, exact on the axes."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        squared: Field | np.float32 = np.float32(0)
        for axis, half in zip(self.axes, self.half_mm, strict=True):
            ax, ay, az = (np.float32(part / half) for part in axis)
            along = dz * az + (dy * ay + dx * ax)
            squared = squared + along * along
        return np.asarray((1 - np.sqrt(squared)) * np.float32(min(self.half_mm)), dtype=np.float32)


def heart(chest: Chest) -> Ellipsoid:
    """The pericardium."""
    lean = chest.heart_lean_rad
    long_axis = np.array([np.sin(lean) * 0.82, -np.sin(lean) * 0.57, -np.cos(lean)])
    across = np.cross(long_axis, [0.57, 0.82, 0.0])
    across /= np.linalg.norm(across)
    axes = np.stack([long_axis, across, np.cross(long_axis, across)])
    half = (69.0 * chest.heart_size, 50.0 * chest.heart_size, 54.0 * chest.heart_size)
    return Ellipsoid((16.0, -22.0, -62.0), axes, half)


def dome_height(chest: Chest, x: Field, y: Field, side: int) -> tuple[Field, Field]:
    """z of the diaphragm on one of ``SIDES``, and the cosine of its slope."""
    middle, top = (-62.0, chest.dome_z[0]) if side < 0 else (64.0, chest.dome_z[1])
    u = (x - np.float32(middle)) * np.float32(1 / 72)
    v = (y + 4) * np.float32(1 / 97)
    flat = np.sqrt(np.clip(1 - u * u - v * v, 0.02, 1))
    # The recess is deepest at the back.
    rim = chest.dome_rise_mm * (1 - flat) + 0.22 * np.maximum(y, 0)
    return np.asarray(top - rim, dtype=np.float32), np.maximum(flat, 0.3).astype(np.float32)


def lung_depth(chest: Chest, x: Field, y: Field, z: Field) -> Field:
    """Depth below the pleura of the lung on that side; positive inside the lungs."""
    depth = smooth_min(cavity_depth(chest, x, y, z), -mediastinum_depth(chest, x, y, z), 10)
    depth = smooth_min(depth, -heart(chest).depth(x, y, z), 8)
    right, right_cosine = dome_height(chest, x, y, -1)
    left, left_cosine = dome_height(chest, x, y, 1)
    on_right = x < 0
    above = (z - np.where(on_right, right, left)) * np.where(on_right, right_cosine, left_cosine)
    return smooth_min(depth, above, 6)
