"""Studies that the benchmarks are about, made in seconds."""

from __future__ import annotations

import cv2
import numpy as np

from vpt_plugin.ct.volume import Volume


def noise(slices: int, *, pixels: int = 512, seed: int = 0) -> Volume:
    """A study of noise from air to tissue: all that reading and random weights ask for."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 400, size=(slices, pixels, pixels), dtype=np.int16)
    return Volume(hu, (1.0, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")


def chest(slices: int, *, pixels: int = 512, seed: int = 0) -> Volume:
    """Air, a body with lungs, a heart and noise as a scanner has it: it compresses as a CT does."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[-1 : 1 : pixels * 1j, -1 : 1 : pixels * 1j].astype(np.float32)
    noises = [cv2.GaussianBlur(rng.normal(0, 60, down.shape), (0, 0), 0.8) for _ in range(8)]
    hu = np.empty((slices, pixels, pixels), dtype=np.int16)
    for index, slice_hu in enumerate(hu):
        image = np.full(down.shape, -1000, dtype=np.float32)
        image[(across / 0.86) ** 2 + (down / 0.62) ** 2 < 1] = 40
        depth = 0.3 + 0.1 * np.sin(index / 30)
        for side in (-1, 1):
            image[((across - 0.4 * side) / 0.3) ** 2 + (down / depth) ** 2 < 1] = -850
        image[(across / 0.2) ** 2 + ((down - 0.1) / 0.2) ** 2 < 1] = 300
        noise_hu = np.roll(noises[index % 8], index, axis=(0, 1))
        slice_hu[...] = np.clip(cv2.GaussianBlur(image, (0, 0), 1.5) + noise_hu, -1024, 3071)
    return Volume(hu, (1.0, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "chest")
