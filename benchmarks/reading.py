"""A DICOM folder to what a network sees: `read_study` and `prepare_slices` against the published code's way.

Theirs, written from the description of the published experiment: every slice by pydicom, rescaled and resized
in float64 by area, the HU window on floats, three identical channels. Ours decodes, checks the geometry of
the whole series, resizes in int16 and takes the HU window from a table.

The study is noise of 300 slices of 512 x 512, uncompressed, as a scanner would write it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers import paper
from side_by_side import SideBySide, Target, parser

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.tasks import TASKS, HUWindow

PIXELS = 256


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, after making the study."""
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args(argv)
    task = TASKS["pe"]
    bench = SideBySide("reading", "a DICOM folder to what a network sees")
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        write_dicom(noise(arguments.slices), study)
        bench.race(
            f"{arguments.slices} slices of 512 x 512",
            {
                "paper's way (a)": partial(paper.read, study, task.hu_window, task.offset),
                "ours": partial(ours, study, task.hu_window),
            },
            rounds=arguments.rounds,
            against="paper's way (a)",
            targets={"ours": Target(at_least=2.8)},
        )
    return bench.finish()


def noise(slices: int) -> Volume:
    """A study with air, lung and tissue in it, which is all that the reader asks for."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 400, size=(slices, 512, 512), dtype=np.int16)
    return Volume(hu, (1.0, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")


def ours(study: Path, window: HUWindow) -> NDArray[np.uint8]:
    """(slices, 256, 256) uint8."""
    return prepare_slices(read_study(study), window, pixels=PIXELS)


if __name__ == "__main__":
    raise SystemExit(main())
