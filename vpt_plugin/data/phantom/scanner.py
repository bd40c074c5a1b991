"""The scanner: where slices lie, the table, and the noise and sharpness of the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.data.phantom.anatomy import APEX_Z, CAVITY_HALF_WIDTH, SULCUS_Z
from vpt_plugin.data.phantom.shapes import Field, Grid, Pose, coverage, paint


@dataclass(frozen=True)
class Scan:
    """How one patient was scanned.

    Attributes:
        slice_spacing_mm: from slice to slice; slices are as thick.
        field_of_view_mm: width and height of a slice.
        centre_mm: patient (x, y) of the field of view's centre.
        below_mm, above_mm: how far the scan goes beyond the lungs.
        noise_hu: standard deviation of the noise in a slice of usual thickness of body.
        sharpness: 0 a smooth kernel, 1 a sharp one.
        offset_hu: error of the scanner's calibration.
        circle: whether nothing is reconstructed outside the round field of view.
        cushion_mm: between the patient's back and the table.
        noise_seed: of the noise, of which there is as much as there are voxels.
    """

    slice_spacing_mm: float
    field_of_view_mm: float
    centre_mm: tuple[float, float]
    below_mm: float
    above_mm: float
    noise_hu: float
    sharpness: float
    offset_hu: float
    circle: bool
    cushion_mm: float
    noise_seed: int


def draw_scan(
    rng: np.random.Generator, pose: Pose, *, spacings_mm: tuple[float, ...], noise_hu: tuple[float, float]
) -> Scan:
    """A scan of a patient who lies like that, its field of view set to the lungs as a technologist would."""
    return Scan(
        slice_spacing_mm=float(rng.choice(spacings_mm)),
        field_of_view_mm=2 * (CAVITY_HALF_WIDTH * pose.scale[0] + rng.uniform(28, 48)),
        centre_mm=(pose.shift_mm[0] + rng.uniform(-6, 6), pose.shift_mm[1] + rng.uniform(-2, 14)),
        below_mm=rng.uniform(3, 25),
        above_mm=rng.uniform(6, 25),
        noise_hu=rng.uniform(*noise_hu),
        sharpness=rng.uniform(0, 1),
        offset_hu=rng.uniform(-12, 12),
        circle=bool(rng.random() < 0.4),
        cushion_mm=rng.uniform(0, 12),
        noise_seed=int(rng.integers(2**32)),
    )


def grid_of(scan: Scan, pose: Pose, *, pixels: int, extent: tuple[float, float] = (0.0, 1.0)) -> Grid:
    """The voxels of a scan from below the lungs to above them, or of that share of its height."""
    bottom = pose.shift_mm[2] + SULCUS_Z * pose.scale[2] - scan.below_mm
    top = pose.shift_mm[2] + APEX_Z * pose.scale[2] + scan.above_mm
    low, high = bottom + extent[0] * (top - bottom), bottom + extent[1] * (top - bottom)
    slices = int((high - low) / scan.slice_spacing_mm) + 1
    # Rounded, so that no file format's decimals change the geometry.
    low, pixel = round(low, 1), round(scan.field_of_view_mm / pixels, 4)
    steps = (np.arange(pixels) - (pixels - 1) / 2) * pixel
    return Grid(
        z_mm=low + scan.slice_spacing_mm * np.arange(slices),
        y_mm=scan.centre_mm[1] + steps,
        x_mm=scan.centre_mm[0] + steps,
        spacing_mm=(scan.slice_spacing_mm, pixel, pixel),
    )


def paint_table(hu: Field, grid: Grid, scan: Scan, pose: Pose, *, under_mm: float) -> None:
    """The table: a curved foam board between two thin shells, below reference y ``under_mm``."""
    across = grid.x_mm[None, :] - pose.shift_mm[0]
    top = pose.shift_mm[1] + under_mm * pose.scale[1] + scan.cushion_mm
    # The board curves up towards its sides.
    below = grid.y_mm[:, None] - (top - across**2 / 900)
    inside = np.minimum(210 - np.abs(across), np.minimum(below, 28 - below)).astype(np.float32)
    flat = np.full(hu.shape[1:], -1000, dtype=np.float32)
    paint(flat, -250.0, coverage(inside, grid.edge_mm))
    paint(flat, -920.0, coverage(inside - 2.5, grid.edge_mm))
    np.maximum(hu, flat, out=hu)


def reconstruct(hu: Field, grid: Grid, scan: Scan) -> Field:
    """The image of a scanner: in-plane sharpness of the kernel, and noise with its texture.

    Noise is white noise through a ramp that the kernel rolls off, the usual shape of a CT's noise power
    spectrum (Riederer, Pelc and Chesler, 1978). It grows with the patient's water-equivalent diameter (AAPM
    report 220), as fewer photons arrive.
    """
    pixel = grid.spacing_mm[2]
    rows, columns = hu.shape[1:]
    fy = scipy.fft.fftfreq(rows, pixel).astype(np.float32)[:, None]
    fx = scipy.fft.rfftfreq(columns, pixel).astype(np.float32)[None, :]
    f = np.sqrt(fy**2 + fx**2) * np.float32(2 * pixel)  # 1 is the Nyquist frequency
    cut = 0.55 + 0.6 * scan.sharpness
    texture = np.sqrt(f + 0.02) * np.exp(-((f / cut) ** 2))
    signal = (1 + 0.6 * scan.sharpness * f**2) * np.exp(-((f / (1.1 + scan.sharpness)) ** 2))
    noise = np.random.default_rng(scan.noise_seed).standard_normal(hu.shape, dtype=np.float32)
    spectrum = scipy.fft.rfft2(noise, overwrite_x=True)
    spectrum *= texture
    noise = scipy.fft.irfft2(spectrum, s=(rows, columns), overwrite_x=True)
    noise *= (scan.noise_hu / noise.std()) * _noise_map(hu, grid)
    image = scipy.fft.irfft2(scipy.fft.rfft2(hu) * signal, s=(rows, columns), overwrite_x=True)
    return np.asarray(image + noise, dtype=np.float32)


def _noise_map(hu: Field, grid: Grid) -> Field:
    """Noise relative to a slice of usual size, larger in its middle; (slices, rows, columns)."""
    pixel_area = grid.spacing_mm[1] * grid.spacing_mm[2]
    water_area = (np.maximum(hu, -1000).mean(axis=(1, 2)) / 1000 + 1) * pixel_area * hu.shape[1] * hu.shape[2]
    diameter = 2 * np.sqrt(water_area / np.pi)
    by_slice = np.clip(np.exp((diameter - 270) * 0.008), 0.5, 2.5)
    y = (grid.y_mm - grid.y_mm.mean())[:, None] / (grid.y_mm[-1] - grid.y_mm[0])
    x = (grid.x_mm - grid.x_mm.mean())[None, :] / (grid.x_mm[-1] - grid.x_mm[0])
    in_slice = 1.15 - 1.6 * (x**2 + y**2)
    return np.asarray(by_slice[:, None, None] * in_slice, dtype=np.float32)


def digitise(image: Field, grid: Grid, scan: Scan) -> NDArray[np.int16]:
    """HU as a scanner stores them, with its error of calibration and its round field of view."""
    stored = np.rint(np.clip(image + scan.offset_hu, MIN_HU, MAX_HU)).astype(np.int16)
    if scan.circle:
        y, x = grid.y_mm - scan.centre_mm[1], grid.x_mm - scan.centre_mm[0]
        outside = y[:, None] ** 2 + x[None, :] ** 2 > (scan.field_of_view_mm / 2) ** 2
        stored[:, outside] = MIN_HU
    return stored
