"""pydicom by itself, with the plug-in that its users install for JPEG: python-gdcm, or pylibjpeg.

The way is the paper's with what is not asked for left out: one channel, levels of 8 bits.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from vpt_plugin.tasks import HUWindow


def plug_in() -> str:
    """The name of the plug-in that is installed, or ""."""
    names = {"gdcm": "python-gdcm", "libjpeg": "pylibjpeg"}
    return next((name for module, name in names.items() if find_spec(module)), "")


def read(study: Path, window: HUWindow, *, pixels: int = 256) -> NDArray[np.uint8]:
    """A folder of one series: (slices, pixels, pixels) uint8, from feet to head."""
    headers = [pydicom.dcmread(path) for path in study.iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    slices = []
    for header in headers:
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
        hu = header.pixel_array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        resized = cv2.resize(hu, (pixels, pixels), interpolation=cv2.INTER_AREA)
        slices.append(np.rint(np.clip((resized - window.low) / window.width, 0, 1) * 255).astype(np.uint8))
    return np.stack(slices)
