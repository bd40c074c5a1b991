"""Small chest-like volumes, and DICOM series written slice by slice, for the tests of reading."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

# pydicom 2 does not know this syntax and writes only what it knows: one of the same length stands in.
HTJ2K, MPEG2 = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.100"
ENCODERS: dict[str, Callable[[NDArray[Any]], bytes]] = {
    "1.2.840.10008.1.2.4.51": lambda a: imagecodecs.jpeg8_encode(
        a.view(np.uint16), level=100, bitspersample=12
    ),
    "1.2.840.10008.1.2.4.57": lambda a: imagecodecs.jpeg8_encode(
        a.view(np.uint16), lossless=True, bitspersample=16, predictor=7
    ),
    "1.2.840.10008.1.2.4.70": lambda a: imagecodecs.jpeg8_encode(
        a.view(np.uint16), lossless=True, bitspersample=16, predictor=1
    ),
    "1.2.840.10008.1.2.4.80": lambda a: imagecodecs.jpegls_encode(a.view(np.uint16)),
    "1.2.840.10008.1.2.4.90": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True),
    HTJ2K: lambda a: imagecodecs.htj2k_encode(a),
}


@pytest.fixture(scope="session")
def chest_hu() -> Callable[..., NDArray[np.int16]]:
    """Makes values as a CT has them."""
    return _chest_hu


@pytest.fixture(scope="session")
def write_series() -> Callable[..., list[Path]]:
    """Writes a DICOM series, see ``_write_series``."""
    return _write_series


def _chest_hu(shape: tuple[int, int, int] = (6, 8, 10), seed: int = 0) -> NDArray[np.int16]:
    """Values as a CT has them, from air to bone, no two slices alike."""
    return np.random.default_rng(seed).integers(-1024, 3071, shape, dtype=np.int16, endpoint=True)


def _write_series(
    folder: Path,
    hu: NDArray[np.int16],
    *,
    spacing_mm: tuple[float, float, float] = (2.5, 0.7, 0.7),
    origin_mm: tuple[float, float, float] = (-100.0, -120.0, -50.0),
    direction: NDArray[np.float64] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    series_uid: str = "1.2.3.4",
    signed: bool = True,
    edit: Callable[[FileDataset, int], None] | None = None,
    prefix: str = "",
) -> list[Path]:
    """A DICOM series of stored values HU + 1024 (signed: + 24), one file per index of the first axis.

    Args:
        direction: columns are the unit vectors along (slices, rows, columns); an axial one by default.
        edit: changes the data set of a slice just before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if direction is None:
        direction = np.eye(3)[:, ::-1]
    files = []
    for index, pixels in enumerate(hu):
        position = np.array(origin_mm) + direction[:, 0] * spacing_mm[0] * index
        dataset = _slice(pixels, position, direction, spacing_mm, signed)
        dataset.SeriesInstanceUID = series_uid
        uid = f"{series_uid}.{int.from_bytes(prefix.encode(), 'big')}.{index + 1}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = index + 1
        file = folder / f"{prefix}{index:03d}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some tests write what pydicom warns of
            if edit is not None:
                edit(dataset, index)
            _write(dataset, file, syntax)
        files.append(file)
    return files


def _slice(pixels: Any, position: Any, direction: Any, spacing_mm: Any, signed: bool) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyInstanceUID = "1.2.3"
    dataset.PatientID = "anyone"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [f"{mm:.9g}" for mm in position]
    orientation = [*direction[:, 2], *direction[:, 1]]
    dataset.ImageOrientationPatient = [f"{cosine:.9g}" for cosine in orientation]
    dataset.PixelSpacing = [f"{mm:.9g}" for mm in spacing_mm[1:]]
    dataset.SliceThickness = f"{spacing_mm[0]:.9g}"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (16, 15, 1) if signed else (12, 11, 0)
    dataset.RescaleSlope = "1"
    intercept = -24 if signed else -1024
    dataset.RescaleIntercept = str(intercept)
    stored = pixels.astype(np.int32) - intercept
    dataset.PixelData = stored.astype(np.int16 if signed else np.uint16).tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _write(dataset: FileDataset, file: Path, syntax: str) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.is_little_endian = syntax != ExplicitVRBigEndian
    dataset.is_implicit_VR = syntax == ImplicitVRLittleEndian
    if "PixelData" in dataset and syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        dtype = np.int16 if dataset.PixelRepresentation else np.uint16
        pixels = np.frombuffer(dataset.PixelData, dtype).reshape(dataset.Rows, dataset.Columns)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = pixels.byteswap().tobytes()
        elif syntax == RLELossless:
            dataset.compress(RLELossless, pixels)
        elif syntax in ENCODERS:
            dataset.PixelData = encapsulate([ENCODERS[syntax](pixels)])
            dataset["PixelData"].is_undefined_length = True
        else:
            assert syntax == DeflatedExplicitVRLittleEndian
    if syntax == HTJ2K:
        dataset.file_meta.TransferSyntaxUID = MPEG2
    pydicom.dcmwrite(file, dataset, write_like_original=True)
    if syntax == HTJ2K:
        file.write_bytes(file.read_bytes().replace(MPEG2.encode(), HTJ2K.encode()))
