"""HeatMap: where in a study a network saw what it says of one finding."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Volume, as_stored
from vpt_plugin.durable import write_over
from vpt_plugin.inference.evidence import MapFacts

# Levels of 1/255 in a byte: a quarter of what float32 takes, and more steps than a colour table shows.
STEPS = 255
# Where a NIfTI-1 header says what a stored value is multiplied with, and what is added.
_SCALING_AT, _SCALING = 112, "<ff"
# Maps are mostly 0; more effort saves little.
_GZIP_LEVEL = 4


@dataclass(frozen=True)
class HeatMap:
    """Where in a study a network saw what it says of one finding.

    Attributes:
        finding: its name.
        values: uint8 (slices, rows, columns) of the volume, 0 to 255 for heat from 0 to 1. The hottest place
            of a study is 1 where a clip reaches the threshold, else the highest clip's share of it.
        volume: the study, in whose geometry the values are.
        method: how it was made, in words.
        key_slice_mm, hottest_mm: patient z of the hottest voxel's slice, and its patient position (x, y, z)
            in LPS, as DICOM; None where the map is 0 everywhere: nothing speaks for the finding, or next to
            nothing.
    """

    finding: str
    values: NDArray[np.uint8]
    volume: Volume
    method: str
    key_slice_mm: float | None
    hottest_mm: tuple[float, float, float] | None

    def facts(self, part: str) -> MapFacts:
        """What the result says of the map.

        Args:
            part: where the map itself is: a part of the answer, or a file.
        """
        return MapFacts(self.finding, part, self.key_slice_mm, self.hottest_mm)

    def nifti(self) -> bytes:
        """The map as a packed NIfTI file (.nii.gz) of bytes with a slope of 1/255.

        Its axes are those of the file that the study was read from, so that both open voxel on voxel.
        """
        stored, turn = as_stored(self.volume), self.volume.turn
        image = SimpleITK.GetImageFromArray(self.values if turn is None else turn.back.of_voxels(self.values))
        # SimpleITK counts axes as columns, rows, slices.
        image.SetSpacing(stored.spacing_mm[::-1])
        image.SetOrigin(stored.origin_mm)
        image.SetDirection(stored.direction[:, ::-1].ravel().tolist())
        with TemporaryDirectory(prefix="vptct-") as folder:
            file = Path(folder) / "heat.nii"
            SimpleITK.WriteImage(image, str(file))
            content = bytearray(file.read_bytes())
        struct.pack_into(_SCALING, content, _SCALING_AT, 1 / STEPS, 0.0)
        return gzip.compress(content, _GZIP_LEVEL, mtime=0)

    def write_nifti(self, path: Path) -> None:
        """Write ``nifti`` to a file, in place of the one that is there.

        Args:
            path: ends in .nii.gz.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        write_over(path, self.nifti(), durable=False)
