"""A picture of the pointing game: key slices with the map over them, beside the truth."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pointing_players import HeldOut, Player

from vpt_plugin.inference import Predictor
from vpt_plugin.inference.heat import HeatMap
from vpt_plugin.tasks import HUWindow

_COLUMNS, _INCH, _DPI = 4, 2.3, 80
# Below, heat is not shown: everything would be tinged.
_SHOWN_FROM = 0.15
_SOLID_HU, _MANY = -300, 0.05


def draw(path: Path, player: Player, predictor: Predictor, studies: Iterable[HeldOut]) -> None:
    """The first studies with a lesion: above, the slice with the truth's outline; below, with the map.

    Args:
        path: of the PNG.
        player: whose task it is.
        predictor: of the trained network.
        studies: as ``held_out`` gives them.
    """
    shown = list(islice((each for each in studies if each.lesion is not None), _COLUMNS))
    figure, axes = pyplot.subplots(
        2, len(shown), figsize=(len(shown) * _INCH, 1.75 * _INCH), layout="constrained", squeeze=False
    )
    for column, study in zip(axes.T, shown, strict=True):
        (heat,) = predictor.explain(study.volume)
        _draw_study(column, study, heat, player.reading_task.hu_window)
    axes[0, 0].set_ylabel("truth", fontsize=8)
    axes[1, 0].set_ylabel("heat map", fontsize=8)
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)


def _draw_study(column: NDArray[np.object_], study: HeldOut, heat: HeatMap, window: HUWindow) -> None:
    assert study.lesion is not None
    row, place = divmod(int(heat.values.argmax()), heat.values[0].size)
    hottest = divmod(place, heat.values.shape[2])
    rows, columns = _body(study.volume.hu[row])
    for axes in column:
        axes.imshow(study.volume.hu[row], cmap="gray", vmin=window.low, vmax=window.high)
        axes.set_ylim(rows[1], rows[0])
        axes.set_xlim(*columns)
        axes.set_xticks([])
        axes.set_yticks([])
    warmth = heat.values[row] / 255
    column[1].imshow(warmth, cmap="autumn", vmin=0, vmax=1, alpha=np.where(warmth < _SHOWN_FROM, 0.0, 0.7))
    column[1].plot(hottest[1], hottest[0], "+", color="cyan", markersize=8)
    _outline(column[0], study.lesion[row])
    column[0].set_title(f"z {study.volume.slice_z_mm[row]:.0f} mm", fontsize=8)


def _body(hu: NDArray[np.int16]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and columns from where to where a slice shows the body: of the table there are few voxels."""
    solid = hu > _SOLID_HU
    ends = []
    for axis in (1, 0):
        many = np.flatnonzero(solid.mean(axis=axis) > _MANY)
        ends.append((int(many[0]), int(many[-1])))
    return ends[0], ends[1]


def _outline(axes: Axes, lesion: NDArray[np.bool_]) -> None:
    """The lesion's outline in this slice, where it is in it."""
    if lesion.any():
        axes.contour(lesion, levels=[0.5], colors="lime", linewidths=1)
    else:
        axes.text(0.03, 0.93, "not in this slice", color="lime", fontsize=6, transform=axes.transAxes)
