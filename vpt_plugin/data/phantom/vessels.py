"""Vessels and airways: trees that branch through the lungs, and the great vessels they hang on.

A tree fills a lung with end points, then splits them in two again and again; each part's branch runs towards
its middle. Radii follow Murray's law: a parent's radius to some power is the sum of its children's, so that
vessels taper from the hilum to the pleura. Murray's power is 3; 2.55 gives arteries of about 6 mm radius at
the hilum for as many branches as are drawn here. Grown in reference coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.data.phantom.anatomy import LUNGS_HIGH, LUNGS_LOW, SIDES, Chest, lung_depth
from vpt_plugin.data.phantom.shapes import Points, Tubes, chain, joined

_MURRAY = 2.55


@dataclass(frozen=True)
class Vessels:
    """All tubes of one chest, in reference coordinates.

    Attributes:
        arteries: the pulmonary arteries' trees of both lungs.
        trunk: the pulmonary trunk (tubes 0 and 1), its right (2, 3) and its left main branch (4, 5).
        veins: the pulmonary veins' trees; ``atrial_veins`` lead from the hila to the left atrium.
        aorta, head_arteries, cava: what else the mediastinum holds.
        windpipe: trachea and main bronchi; ``bronchi`` follow the arteries' large branches.
        gullet: the oesophagus.
    """

    arteries: Tubes
    trunk: Tubes
    veins: Tubes
    atrial_veins: Tubes
    aorta: Tubes
    head_arteries: Tubes
    cava: Tubes
    windpipe: Tubes
    bronchi: Tubes
    gullet: Tubes


def lung_points(rng: np.random.Generator, chest: Chest, count: int, *, side: int, margin_mm: float) -> Points:
    """``count`` points spread evenly over one lung, at least ``margin_mm`` below its surface."""
    found: list[Points] = [np.zeros((0, 3))]
    have = 0
    while have < count:
        tried = rng.uniform(LUNGS_LOW, LUNGS_HIGH, size=(4 * count + 64, 3))
        tried[:, 0] = side * np.abs(tried[:, 0])
        x, y, z = tried.T.astype(np.float32)
        inside = tried[lung_depth(chest, x, y, z) > margin_mm]
        found.append(inside)
        have += len(inside)
    return np.concatenate(found)[:count]


def grow_tree(rng: np.random.Generator, root: Points, ends: Points, *, leaf_radius: float) -> Tubes:
    """A tree from ``root`` (3,) to every one of ``ends`` (n, 3); all branches of one level at once."""
    group = np.zeros(len(ends), dtype=np.int64)
    parent = root[None, :]
    starts, stops, sizes, parent_sizes = [], [], [], []
    sizes_before = np.array([len(ends)])
    points = ends
    while len(points):
        count = np.bincount(group)
        middle = _group_mean(points, group, count)
        reach = np.where(count == 1, 1.0, rng.uniform(0.38, 0.6, len(count)))[:, None]
        node = parent + reach * (middle - parent)
        length = np.linalg.norm(node - parent, axis=1, keepdims=True)
        node = node + np.where(count == 1, 0, 1)[:, None] * rng.normal(0, 0.09, node.shape) * length
        starts.append(parent)
        stops.append(node)
        sizes.append(count)
        parent_sizes.append(sizes_before)
        points, group, parent, sizes_before = _split(rng, points, group, count, node)
    radius = leaf_radius * np.concatenate(sizes) ** (1 / _MURRAY)
    before = leaf_radius * np.concatenate(parent_sizes) ** (1 / _MURRAY)
    # A branch begins nearer to its own width than to its parent's.
    return Tubes(
        np.concatenate(starts),
        np.concatenate(stops),
        0.6 * radius + 0.4 * np.minimum(before, 1.6 * radius),
        radius,
    )


def _group_mean(values: Points, group: NDArray[np.int64], count: NDArray[np.int64]) -> Points:
    sums = [np.bincount(group, weights=values[:, k], minlength=len(count)) for k in range(values.shape[1])]
    return np.stack(sums, axis=1) / count[:, None]


def _split(
    rng: np.random.Generator, points: Points, group: NDArray[np.int64], count: NDArray[np.int64], node: Points
) -> tuple[Points, NDArray[np.int64], Points, NDArray[np.int64]]:
    """Every group of two or more, cut in two across its longest extent."""
    centred = points - _group_mean(points, group, count)[group]
    products = (centred[:, :, None] * centred[:, None, :]).reshape(-1, 9)
    spread = _group_mean(products, group, count).reshape(-1, 3, 3)
    longest = np.linalg.eigh(spread + 1e-6 * np.eye(3))[1][:, :, 2]
    along = np.einsum("nk,nk->n", centred, longest[group])
    # Cut off the middle, so that the two branches are not twins; both keep at least one point.
    order = np.lexsort((along, group))
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    rank = np.empty(len(points), dtype=np.int64)
    rank[order] = np.arange(len(points)) - first[group[order]]
    cut = np.clip(np.rint(count * rng.uniform(0.3, 0.7, len(count))), 1, np.maximum(count - 1, 1))
    half = (rank >= cut[group]).astype(np.int64)
    keep = count[group] > 1
    _, renumbered = np.unique(2 * group[keep] + half[keep], return_inverse=True)
    owner = np.zeros(renumbered.max(initial=-1) + 1, dtype=np.int64)
    owner[renumbered] = group[keep]
    return points[keep], renumbered, node[owner], count[owner]


def draw_vessels(rng: np.random.Generator, chest: Chest) -> Vessels:
    """All vessels and airways of one chest."""
    jitter = rng.normal(0, 1.5, size=(2, 3))
    density = rng.uniform(0.75, 1.3)
    leaf_radius = rng.uniform(0.55, 0.8)
    arteries, veins = [], []
    roots = {-1: np.array([-44.0, -4.0, -14.0]) + jitter[0], 1: np.array([43.0, 6.0, -6.0]) + jitter[1]}
    for side in SIDES:
        leaves = int(density * (280 if side < 0 else 240))
        ends = lung_points(rng, chest, leaves, side=side, margin_mm=3)
        arteries.append(grow_tree(rng, roots[side], ends, leaf_radius=leaf_radius))
        ends = lung_points(rng, chest, int(leaves * 0.75), side=side, margin_mm=4)
        origin = np.array([side * 36.0, 2.0, -40.0]) + jitter[0]
        veins.append(grow_tree(rng, origin, ends, leaf_radius=leaf_radius))
    right, left = tuple(roots[-1]), tuple(roots[1])
    trunk = joined(
        chain([(22, -48, -42), (21, -38, -16), (18, -24, -6)], [14, 13.5, 12]),
        chain([(18, -24, -6), (-6, -10, -10), right], [11.5, 10.5, 8.5]),
        chain([(18, -24, -6), (30, -8, 0), left], [11.5, 10.5, 8.5]),
    )
    return Vessels(
        arteries=joined(*arteries),
        trunk=trunk,
        veins=joined(*veins),
        bronchi=_bronchi(joined(*arteries)),
        **_great_vessels(jitter[0]),
    )


def _bronchi(arteries: Tubes) -> Tubes:
    """Airways beside the arteries' larger branches, as they run in every lung."""
    large = arteries[arteries.end_radius > 1.55]
    beside = np.array([0.15, 0.72, 0.62])
    start = large.start + 2.15 * large.start_radius[:, None] * beside
    end = large.end + 2.15 * large.end_radius[:, None] * beside
    return Tubes(start, end, 0.85 * large.start_radius, 0.85 * large.end_radius)


def _great_vessels(jitter: Points) -> dict[str, Tubes]:
    dx, dy, dz = (float(part) for part in jitter)
    aorta = [
        (0, -26, -50), (-13 + dx, -37, -22), (-15 + dx, -36, 4), (-8, -29, 24 + dz), (6, -9, 34 + dz),
        (18, 15, 29 + dz), (23, 33 + dy, 8), (22, 42 + dy, -40), (17, 46, -100), (9, 44, -200), (6, 44, -260),
    ]  # fmt: skip
    return {
        "aorta": chain(aorta, [14, 15, 15, 14, 13, 12.5, 12, 11.5, 11, 10.5, 10]),
        "head_arteries": joined(
            chain([(-6, -24, 30), (-15, -12, 62), (-24, -4, 105), (-26, 0, 160)], [6.5, 6, 4.5, 4]),
            chain([(5, -10, 38), (11, -6, 70), (19, -2, 110), (22, 0, 160)], [4.5, 4.2, 4, 4]),
            chain([(14, 6, 36), (25, 8, 66), (36, 12, 100), (70, 0, 120)], [5, 4.8, 4.5, 4]),
        ),
        "cava": joined(
            chain([(-28, -18, -30), (-27, -24, 10), (-25, -28, 44)], [9.5, 9, 8.5]),
            chain([(-25, -28, 44), (-32, -24, 80), (-42, -14, 112)], [7, 6.5, 6]),
            chain([(-25, -28, 44), (4, -42, 56), (26, -34, 76), (38, -18, 108)], [6.5, 6.5, 6.5, 6]),
            chain([(-22, 4, -100), (-20, 10, -200)], [12, 11.5]),
        ),
        "atrial_veins": joined(
            chain([(-37, 2, -40), (-8, 8, -46)], [5.5, 6.5]),
            chain([(37, 2, -40), (12, 8, -46)], [5.5, 6.5]),
        ),
        "windpipe": joined(
            chain([(0, -8, 170), (-1, 4, 60), (0, 12, 2)], [8.5, 8.5, 8.8]),
            chain([(0, 12, 2), (-22, 12, -14), (-42, 8, -26)], [7.2, 6.8, 5.2]),
            chain([(0, 12, 2), (22, 14, -12), (44, 16, -22)], [6.6, 6.2, 5.0]),
        ),
        "gullet": chain(
            [(4, 16, 170), (5, 26, 40), (2, 28, -30), (6, 26, -100), (18, 8, -140)], [7, 7, 8, 8, 8]
        ),
    }
