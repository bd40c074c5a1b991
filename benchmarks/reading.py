"""A DICOM folder to what a network sees: `read_study` and `prepare_slices` against the published code's way.

Theirs, written from the description of the published experiment: every slice by pydicom, rescaled and resized
in float64 by area, the HU window on floats, three identical channels. Ours decodes, checks the geometry of
the whole series, resizes in int16 and takes the HU window from a table.

The study is noise of 300 slices of 512 x 512, uncompressed, as a scanner would write it.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from side_by_side import compare, report

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.tasks import TASKS, HUWindow

PIXELS = 256


def main() -> None:
    """Measure, after making the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    window = TASKS["pe"].hu_window
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        write_dicom(noise(arguments.slices), study)
        row = compare(
            f"{arguments.slices} slices of 512 x 512",
            partial(ours, study, window),
            partial(theirs, study, window),
            rounds=arguments.rounds,
        )
    report("reading", [row])


def noise(slices: int) -> Volume:
    """A study with air, lung and tissue in it, which is all that the reader asks for."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 400, size=(slices, 512, 512), dtype=np.int16)
    return Volume(hu, (1.0, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")


def ours(study: Path, window: HUWindow) -> NDArray[np.uint8]:
    """(slices, 256, 256) uint8."""
    return prepare_slices(read_study(study), window, pixels=PIXELS)


def theirs(study: Path, window: HUWindow) -> NDArray[np.float32]:
    """(3, slices, 256, 256) float32."""
    headers = [pydicom.dcmread(path) for path in study.iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    slices = []
    for header in headers:
        hu = header.pixel_array.astype(np.float64) * float(header.RescaleSlope) + float(
            header.RescaleIntercept
        )
        resized = cv2.resize(hu, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
        slices.append(np.clip((resized - window.low) / window.width, 0, 1))
    return np.repeat(np.stack(slices).astype(np.float32)[None], 3, axis=0)


if __name__ == "__main__":
    main()
