"""Whether a volume's values can be Hounsfield units, and how they become a ``Volume``'s int16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.errors import NotHounsfieldError

# Any CT of a chest holds lung and air (below -300 HU) and tissue (above). A thousandth of the voxels is
# far less than the smallest crop of a chest has of either, and far more than stray values of something else.
_AIR_BELOW_HU = -300
_MIN_SHARE = 1e-3


def clamp_hu(values: NDArray[Any], study: str) -> NDArray[np.int16]:
    """Values of any number type as int16 Hounsfield units within [MIN_HU, MAX_HU].

    Raises:
        NotHounsfieldError: values that are no numbers (NaN, infinite).
    """
    if np.issubdtype(values.dtype, np.floating):
        require_finite(values, study)
        return np.asarray(np.clip(np.rint(values), MIN_HU, MAX_HU).astype(np.int16))
    # An unsigned type does not hold MIN_HU, so the limits are those that both have.
    held = np.iinfo(values.dtype)
    low, high = max(MIN_HU, held.min), min(MAX_HU, held.max)
    # To look takes a tenth of clamping.
    if values.size and values.min() >= low and values.max() <= high:
        return np.array(values, dtype=np.int16)  # a copy: the caller's memory may go
    return np.asarray(np.clip(values, low, high), dtype=np.int16)


def require_finite(values: NDArray[Any], study: str) -> None:
    """Refuse values of a floating-point type that are no numbers.

    Raises:
        NotHounsfieldError: says how many.
    """
    if wrong := values.size - int(np.isfinite(values).sum()):
        raise NotHounsfieldError(
            study,
            f"{wrong} of its {values.size} voxels are not a number (NaN or infinite).",
            "Fill them with air (-1024) where they are padding, and save the study again.",
        )


def count_air(hu: NDArray[np.int16]) -> int:
    """How many voxels are of lung or air."""
    return int(np.count_nonzero(hu < _AIR_BELOW_HU))


def can_be_hounsfield(air_share: float) -> bool:
    """Whether a CT of a chest may have so large a share of lung and air."""
    return air_share >= _MIN_SHARE and 1 - air_share >= _MIN_SHARE


def require_hounsfield(hu: NDArray[np.int16], study: str) -> None:
    """Refuse values that cannot be a CT's: without air and lung, or with nothing else.

    So grey values (0 to 255), stored values without their rescale intercept (0 to 4095), values scaled
    to [0, 1] or already cut to a soft-tissue HU window, label maps and constant volumes do not pass.

    Raises:
        NotHounsfieldError: says the range found.
    """
    air_share = count_air(hu) / hu.size
    if can_be_hounsfield(air_share):
        return
    low, high = int(hu.min()), int(hu.max())
    missing = "lung or air (below -300 HU)" if air_share < _MIN_SHARE else "tissue (above -300 HU)"
    raise NotHounsfieldError(
        study,
        f"its values run from {low} to {high} with next to no {missing}, so they cannot be Hounsfield units "
        "of a chest.",
        "Give the original CT; if these are stored values, apply the rescale slope and intercept first."
        if low >= 0
        else "Give the original CT of the chest, not cut to an HU window.",
    )
