"""Studies that the benchmarks are about, made in seconds."""

from __future__ import annotations

import numpy as np

from vpt_plugin.ct.volume import Volume


def noise(slices: int, *, pixels: int = 512, seed: int = 0) -> Volume:
    """A study of noise from air to tissue: all that reading and random weights ask for."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 400, size=(slices, pixels, pixels), dtype=np.int16)
    return Volume(hu, (1.0, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")
