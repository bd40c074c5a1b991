"""A miniature of RSNA-PE in Kaggle's layout: train.csv with a row per slice, train/STUDY/SERIES/SLICE.dcm.

Its files are as those of the set: hashed UIDs of twelve hexadecimal digits, also where DICOM asks for a real
one (SOPClassUID), explicit or implicit VR little endian, 16 bits with sign. The slices are small.
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

COLUMNS = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "pe_present_on_image",
    "negative_exam_for_pe", "qa_motion", "qa_contrast", "flow_artifact", "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1", "leftsided_pe", "chronic_pe", "true_filling_defect_not_pe", "rightsided_pe",
    "acute_and_chronic_pe", "central_pe", "indeterminate",
)  # fmt: skip
PIXEL_MM, STEP_MM = 0.5234, 1.25
Row = dict[str, str | int]
NEGATIVE: Row = {"negative_exam_for_pe": 1}
INDETERMINATE: Row = {"indeterminate": 1, "qa_motion": 1}
POSITIVE: Row = {"rightsided_pe": 1, "central_pe": 1, "rv_lv_ratio_lt_1": 1}
CHRONIC: Row = {"leftsided_pe": 1, "chronic_pe": 1, "rv_lv_ratio_gte_1": 1}
BOTH: Row = {"leftsided_pe": 1, "rightsided_pe": 1, "acute_and_chronic_pe": 1, "rv_lv_ratio_lt_1": 1}


def hashed(text: str) -> str:
    """What stands for a UID in the set."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class MadeStudy:
    """A study to be made; slice 0 lies lowest, at z = 0.

    Attributes:
        study: its name is hashed.
        says: the columns of the study that are 1.
        marked: the slices that show an embolism.
        slices: how many.
        patient_id: PatientID; by default the study's own.
        series: names of its series, which are hashed, too.
        implicit: whether the files leave out the kinds of their elements.
    """

    study: str
    says: Row = field(default_factory=lambda: NEGATIVE)
    marked: Sequence[int] = ()
    slices: int = 8
    patient_id: str | None = None
    series: Sequence[str] = ("series",)
    implicit: bool = False

    @property
    def name(self) -> str:
        """StudyInstanceUID."""
        return hashed(self.study)

    def series_name(self, series: str = "series") -> str:
        """SeriesInstanceUID."""
        return hashed(f"{self.study} {series}")

    def slice_name(self, number: int, series: str = "series") -> str:
        """SOPInstanceUID."""
        return hashed(f"{self.study} {series} {number}")

    def rows(self) -> list[Row]:
        """Its rows, in no order of place: neither is the set's."""
        numbers = sorted(range(self.slices), key=self.slice_name)
        return [self._row(number, series) for series in self.series for number in numbers]

    def _row(self, number: int, series: str) -> Row:
        names = (self.name, self.series_name(series), self.slice_name(number, series))
        zeros: Row = dict.fromkeys(COLUMNS, 0)
        return zeros | dict(zip(COLUMNS, (*names, int(number in self.marked)), strict=False)) | self.says

    def write(self, images: Path, *, pixels: int = 16) -> None:
        """Write its files below ``train``."""
        for series in self.series:
            folder = images / self.name / self.series_name(series)
            folder.mkdir(parents=True)
            for number in range(self.slices):
                path = folder / f"{self.slice_name(number, series)}.dcm"
                # pydicom warns of every hashed UID.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._slice(number, series, pixels).save_as(path, write_like_original=False)

    def _slice(self, number: int, series: str, pixels: int) -> Dataset:
        seed = int(hashed(f"{self.study} {number}"), 16)
        hu = np.random.default_rng(seed).normal(-700, 150, (pixels, pixels)).astype("<i2")
        hu[pixels // 4 : -pixels // 4, pixels // 4 : -pixels // 4] = 40
        if number in self.marked:
            hu[pixels // 3 : pixels // 2, pixels // 3 : pixels // 2] = 400
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if self.implicit else ExplicitVRLittleEndian
        )
        header.file_meta.MediaStorageSOPClassUID = hashed("CT Image Storage")
        header.file_meta.MediaStorageSOPInstanceUID = self.slice_name(number, series)
        header.is_little_endian, header.is_implicit_VR = True, self.implicit
        patient = self.name if self.patient_id is None else self.patient_id
        values = {
            "SOPClassUID": hashed("CT Image Storage"), "SOPInstanceUID": self.slice_name(number, series),
            "StudyInstanceUID": self.name, "SeriesInstanceUID": self.series_name(series),
            "FrameOfReferenceUID": hashed(f"{self.study} frame"), "Modality": "CT", "PatientID": patient,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "InstanceNumber": self.slices - number,
            "SliceThickness": f"{STEP_MM}", "KVP": "120", "PatientPosition": "FFS",
            "ImagePositionPatient": ["-4", "-4", f"{STEP_MM * number}"],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"], "PixelSpacing": [f"{PIXEL_MM}"] * 2,
            "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": pixels,
            "Columns": pixels, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
            "PixelRepresentation": 1, "RescaleIntercept": "-1024", "RescaleSlope": "1",
            "PixelData": (hu + 1024).astype("<i2").tobytes(),
        }  # fmt: skip
        for keyword, value in values.items():
            setattr(header, keyword, value)
        header["PixelData"].VR = "OW"
        return header


def write_table(folder: Path, rows: Sequence[Row]) -> Path:
    """Write train.csv."""
    path = folder / "train.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_rsna_set(folder: Path, studies: Sequence[MadeStudy], *, pixels: int = 16) -> Path:
    """Write studies with their rows; returns the folder."""
    (folder / "train").mkdir(parents=True)
    for study in studies:
        study.write(folder / "train", pixels=pixels)
    write_table(folder, [row for study in studies for row in study.rows()])
    return folder


def usual_studies(count: int, *, slices: int = 8) -> list[MadeStudy]:
    """As many: three in ten show an embolism, on slices 2 to 5, one in ten nobody could judge."""
    kinds = {1: POSITIVE, 4: CHRONIC, 8: BOTH, 9: INDETERMINATE}
    return [
        MadeStudy(
            f"study {n}", kinds.get(n % 10, NEGATIVE), range(2, 6) if n % 10 in (1, 4, 8) else (), slices
        )
        for n in range(count)
    ]
