"""A study on disk to what a network sees: 300 slices of 512 x 512 to 256 x 256 in the HU window.

Uncompressed DICOM against the published experiment's way (a) and MONAI's stock chain (b); compressed DICOM
against pydicom alone, which asks python-gdcm for the JPEG family; files of other formats against (b). The
study is a made chest with noise, because pure noise compresses as no CT does. Peak memory is that of a
process of its own, beyond what it had before.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from peers import pydicom_alone
from pydicom.encaps import encapsulate
from reading_ways import OURS, PAPER, PIXELS, STOCK, TASK, WAYS
from side_by_side import SideBySide, Target, parser
from studies import chest
from way_process import WayProcess

from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.data.phantom.writers import write_nifti, write_nrrd

ALONE = "pydicom alone"
FILES = MappingProxyType(
    {
        "NRRD, compressed": ("study.nrrd", write_nrrd),
        "NIfTI": ("study.nii", write_nifti),
        "NIfTI, .nii.gz": ("study.nii.gz", write_nifti),
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, after making the studies."""
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=300)
    arguments = options.parse_args(argv)
    quick, slices = arguments.quick, arguments.slices
    bench = SideBySide("reading", "a study on disk to what a network sees")
    # Quick, what takes seconds of a whole study is measured on a fifth of it.
    few = slices // 5 if quick else slices
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume = chest(slices)
        write_dicom(volume, folder / "plain")
        write_dicom(chest(4, pixels=64), folder / "small")
        for way in WAYS.values():
            way(folder / "small")  # libraries are loaded
        race_uncompressed(bench, folder / "plain", slices, rounds=5 if quick else 15)
        race_stock(bench, folder / "plain", slices, rounds=2 if quick else 7)
        peak_memory(bench, folder, ways=(PAPER, OURS) if quick else tuple(WAYS))
        for kind, (syntax, encode) in COMPRESSED.items():
            compress(folder / "plain", folder / syntax, syntax, encode, few)
            race_compressed(bench, f"{kind}, {few} slices", folder / syntax, rounds=3 if quick else 7)
        race_files(bench, replace(volume, hu=volume.hu[:few]), folder, rounds=1 if quick else 5)
    return bench.finish()


def race_uncompressed(bench: SideBySide, study: Path, slices: int, *, rounds: int) -> None:
    """Target 3, against the published experiment's way."""
    ways = {name: partial(WAYS[name], study) for name in (PAPER, OURS)}
    what, target = f"DICOM, {slices} slices", Target(at_least=2.8)
    bench.race(what, ways, rounds=rounds, against=PAPER, targets={OURS: target})


def race_stock(bench: SideBySide, study: Path, slices: int, *, rounds: int) -> None:
    """Target 3, against the stock chain."""
    ways = {name: partial(WAYS[name], study) for name in (STOCK, OURS)}
    what, target = f"DICOM, {slices} slices", Target(at_least=25)
    bench.race(what, ways, rounds=rounds, against=STOCK, targets={OURS: target}, warm_up=False)


def peak_memory(bench: SideBySide, folder: Path, *, ways: Sequence[str]) -> None:
    """What each way takes beyond what its process had, its answer included."""
    for way in ways:
        settings = {"small": str(folder / "small"), "study": str(folder / "plain"), "way": way}
        with WayProcess("reading_ways:Peak", settings) as process:
            mib = process().answer
        target = Target(at_most=120) if way == OURS else None
        bench.figure("peak memory", way, mib, "MiB", target=target)


def race_compressed(bench: SideBySide, kind: str, study: Path, *, rounds: int) -> None:
    """One transfer syntax against pydicom alone."""
    what, target = f"DICOM, {kind}", Target(at_least=1.5)
    plug_in = pydicom_alone.plug_in()
    if not plug_in and not kind.startswith("RLE"):
        bench.skip(what, OURS, "pydicom cannot decode it without python-gdcm (extra bench)", target=target)
        return
    ways: dict[str, Callable[[], object]] = {
        ALONE: partial(pydicom_alone.read, study, TASK.hu_window, pixels=PIXELS),
        OURS: partial(WAYS[OURS], study),
    }
    note = "its own decoder" if kind.startswith("RLE") else f"with {plug_in}"
    bench.race(
        what, ways, rounds=rounds, against=ALONE, targets={OURS: target}, notes={ALONE: note}, warm_up=False
    )


def race_files(bench: SideBySide, volume: Volume, folder: Path, *, rounds: int) -> None:
    """Studies in one file, against the stock chain."""
    for kind, (name, write) in FILES.items():
        path = folder / name
        write(volume, path)
        ways = {way: partial(WAYS[way], path) for way in (STOCK, OURS)}
        bench.race(f"{kind}, {volume.slices} slices", ways, rounds=rounds, against=STOCK, warm_up=False)


def compress(
    study: Path, target: Path, syntax: str, encode: Callable[[NDArray[Any]], bytes], slices: int
) -> None:
    """Write the first slices of an uncompressed study in another transfer syntax."""
    target.mkdir()
    for path in sorted(study.iterdir())[:slices]:
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([encode(dataset.pixel_array)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(target / path.name)


def rle(pixels: NDArray[Any]) -> bytes:
    """Run-length code of the high bytes, then of the low ones, row by row (DICOM PS3.5, annex G)."""
    planes = [(pixels >> 8).astype(np.uint8), pixels.astype(np.uint8)]
    coded = [b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane) for plane in planes]
    high, low = (segment + bytes(len(segment) % 2) for segment in coded)
    return struct.pack("<16L", 2, 64, 64 + len(high), *[0] * 13) + high + low


def jpeg_lossless(pixels: NDArray[Any]) -> bytes:
    """First-order prediction, as scanners and archives write it."""
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=16, predictor=1))


# How a compressed study is stored: its transfer syntax, and what makes it.
COMPRESSED = MappingProxyType(
    {
        "JPEG lossless": ("1.2.840.10008.1.2.4.70", jpeg_lossless),
        "JPEG-LS": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
        "RLE": ("1.2.840.10008.1.2.5", rle),
    }
)


if __name__ == "__main__":
    raise SystemExit(main())
