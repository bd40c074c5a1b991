"""The XML files of LIDC-IDRI's readings: which series each is of, and the one reading of a series.

They lie beside the slices, in an archive of their own (LIDC-XML-only.zip: 1,319 files, of which 1,036 are of
the 1,018 CTs and 283 of chest radiographs, as others counted them), or in both; beside the slices there are
fewer. The same reading may be in several files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.data.importers.lidc import LidcReading, lidc_series, read_lidc
from vpt_plugin.errors import LabelError

# What TCIA replaced, with the old file still beside it: that of LIDC-IDRI-0101, on 21 March 2012 (errata of
# the set; pylidc puts it in the other one's place, too).
_CORRECTIONS = frozenset({"161-resubmitted-correction-3-9-12.xml"})


@dataclass(frozen=True)
class ReadingFiles:
    """The XML files that were found.

    Attributes:
        by_series: those of CTs, by SeriesInstanceUID.
        radiographs: those of chest radiographs.
        unusable: why the others cannot be used; each error names its file.
    """

    by_series: Mapping[str, tuple[Path, ...]]
    radiographs: tuple[Path, ...]
    unusable: tuple[LabelError, ...]


def xml_files(path: Path) -> list[Path]:
    """The XML files of a folder and of all folders in it, by name; a file stands for itself.

    Raises:
        LabelError: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".xml")
    if not found:
        raise LabelError(f"{path}: holds no XML.", "Give the folder of the readings as TCIA has it.")
    return found


def sort_readings(files: Iterable[Path]) -> ReadingFiles:
    """Which series each XML is of; only their headers are read. A file that is named twice counts once."""
    by_series: dict[str, list[Path]] = {}
    radiographs: list[Path] = []
    unusable: list[LabelError] = []
    for file in dict.fromkeys(files):
        try:
            series = lidc_series(file)
        except LabelError as error:
            unusable.append(error)
            continue
        if series is None:
            radiographs.append(file)
        else:
            by_series.setdefault(series, []).append(file)
    return ReadingFiles(
        {series: tuple(own) for series, own in by_series.items()}, tuple(radiographs), tuple(unusable)
    )


def agreed_reading(files: Sequence[Path]) -> LidcReading:
    """The reading of a series, from all its files.

    Where TCIA has corrected one, the correction counts; the others must say the same.

    Raises:
        LabelError: a file is damaged, or two say different things; names both.
    """
    corrected = [file for file in files if file.name in _CORRECTIONS]
    readings = [reading for file in corrected or files if (reading := read_lidc(file)) is not None]
    first = readings[0]
    for other in readings[1:]:
        if not first.says_the_same_as(other):
            raise LabelError(
                f"{first.path} and {other.path} say different things of one series.", "Give one of them."
            )
    return first
