"""Peer (a)'s cache: every study prepared into HDF5 as float32, and clips taken from there.

From its description: one dataset for each study, (slices, rows, columns) float32 in [0, 1], chunks as h5py
chooses them, no compression; a clip is asked for by the list of its slices and gets three identical channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

try:
    import h5py
except ImportError as error:
    raise SystemExit("h5py is missing: `make bench` brings it, or pip install -e '.[bench]'.") from error
import numpy as np
from numpy.typing import NDArray

from vpt_plugin.tasks import HUWindow


def write(path: Path, studies: Mapping[str, NDArray[np.int16]], window: HUWindow) -> None:
    """Write studies, Hounsfield units (slices, pixels, pixels) by name, into a new file."""
    with h5py.File(path, "w") as file:
        for name, hu in studies.items():
            levels = np.clip((hu - window.low) / window.width, 0, 1)
            file.create_dataset(name, data=levels.astype(np.float32), chunks=True)


class Clips:
    """The file, opened once.

    Args:
        path: of the file.
        length: slices of a clip.
    """

    def __init__(self, path: Path, length: int) -> None:
        self._file = h5py.File(path, "r")
        self._length = length

    def __call__(self, study: str, start: int) -> NDArray[np.float32]:
        """(3, slices, rows, columns) float32."""
        clip = self._file[study][list(range(start, start + self._length))]
        return np.repeat(clip[None], 3, axis=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
