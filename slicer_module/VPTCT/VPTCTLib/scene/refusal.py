"""Refusal: which volumes are no CT that a server could read, said before anything is sent."""

from __future__ import annotations

import math

import numpy as np
import slicer

from ..i18n import tr as _
from .geometry import geometry_of
from .heat_map import is_heat_map
from .nodes import nodes_of_class

_FEWEST_SLICES = 3
_EIGHT_BITS = ("char", "signed char", "unsigned char")
# Lung and air are below, tissue is above.
_AIR_BELOW_HU = -300


def refusal_of(volume: slicer.vtkMRMLVolumeNode) -> str:
    """Why a volume cannot be read as a CT, for the reader; "" where nothing speaks against it.

    The server looks more closely; this takes a few milliseconds.
    """
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return _("This volume has no voxels.")
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        return _("This is a label map. Choose the CT that it was drawn on.")
    if is_heat_map(volume):
        return _("This is a heat map of an answer. Choose the CT that was asked about.")
    if image.GetNumberOfScalarComponents() != 1:
        return _("The voxels of this volume are colours or vectors. Choose the CT itself.")
    if image.GetScalarTypeAsString() in _EIGHT_BITS:
        return _("The voxels of this volume have 8 bits, too few for Hounsfield units. Choose the CT itself.")
    if _is_of_a_sequence(volume):
        return _("This volume changes with a sequence. Copy the moment that you mean as a volume of its own.")
    return _refusal_of_grid(volume) or _refusal_of_values(volume)


def _is_of_a_sequence(volume: slicer.vtkMRMLVolumeNode) -> bool:
    browsers = nodes_of_class(volume.GetScene(), "vtkMRMLSequenceBrowserNode")
    return any(browser.IsProxyNode(volume.GetID()) for browser in browsers)


def _refusal_of_grid(volume: slicer.vtkMRMLVolumeNode) -> str:
    if not all(math.isfinite(mm) and mm > 0 for mm in volume.GetSpacing()):
        return _("The spacing of this volume is damaged. Load it again.")
    geometry = geometry_of(volume)
    if not geometry.at_right_angles:
        return _(
            "The axes of this volume are not at right angles, as after a tilt of the gantry. "
            "Resample it onto a straight grid first."
        )
    if geometry.slices < _FEWEST_SLICES:
        return _("This volume has {n} slices, too few for a study.").format(n=geometry.slices)
    return ""


def _refusal_of_values(volume: slicer.vtkMRMLVolumeNode) -> str:
    voxels = slicer.util.arrayFromVolume(volume)
    sample = voxels[tuple(slice(None, None, max(1, count // 64)) for count in voxels.shape)]
    if not np.isfinite(sample).all():
        return _("Some voxels of this volume are not numbers. Fill them with air, -1024 HU.")
    if (sample < _AIR_BELOW_HU).any() and (sample >= _AIR_BELOW_HU).any():
        return ""
    return _(
        "The values of this volume run from {low:.0f} to {high:.0f}: these are not the Hounsfield units of a "
        "chest CT."
    ).format(low=float(sample.min()), high=float(sample.max()))
