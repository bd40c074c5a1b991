"""LIDC-IDRI in miniature: folders, DICOM headers and XML as TCIA has them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

SLICES, STEP_MM = 8, 2.5
_ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."


@dataclass(frozen=True)
class MiniSeries:
    """A CT series that was written: slice n lies at -2.5 n mm and has the UID <series>.<n>."""

    folder: Path
    uid: str
    study_uid: str

    def slice_uid(self, number: int) -> str:
        return f"{self.uid}.{number}"


class MiniLidc:
    """Writes a small LIDC-IDRI into ``root``, which then holds ``LIDC-IDRI`` and ``metadata.csv``.

    Args:
        root: the folder that the NBIA Data Retriever would have been given.
        uid_folders: name folders by UIDs, as earlier downloads did.
    """

    def __init__(self, root: Path, *, uid_folders: bool = False) -> None:
        self.root = root
        self.folder = root / "LIDC-IDRI"
        self._uid_folders = uid_folders
        self._listed: list[tuple[str, str, str, int]] = []

    def ct(
        self, patient: str, serial: int, *, patient_id: str | None = None, leave_out: Iterable[int] = ()
    ) -> MiniSeries:
        """A CT of 8 slices; ``serial`` makes its UIDs. Slices that are left out stay listed."""
        series = self._series(patient, serial)
        for number in set(range(SLICES)) - set(leave_out):
            header = self._header("CT", patient if patient_id is None else patient_id, series, number)
            header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            header.ImagePositionPatient = [-4, -4, -STEP_MM * number]
            header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
            header.SliceThickness, header.RescaleIntercept, header.RescaleSlope = STEP_MM, -1024, 1
            # Numbered from below, and from another number than 1, as in some of the set.
            self._save(header, series.folder, SLICES - number + 2)
        self._listed.append((series.uid, patient, "CT", SLICES))
        return series

    def radiograph(self, patient: str, serial: int, modality: str = "DX") -> MiniSeries:
        """A chest radiograph of two projections with its reading."""
        series = self._series(patient, serial)
        for number in range(2):
            self._save(self._header(modality, patient, series, number), series.folder, number + 1)
        (series.folder / "072.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<IdriReadMessage uid="1.2" xmlns="http://www.nih.gov/idri">'
            f"<ResponseHeader><CXRSeriesInstanceUid>{series.uid}</CXRSeriesInstanceUid></ResponseHeader>"
            "<CXRreadingSession/></IdriReadMessage>"
        )
        self._listed.append((series.uid, patient, modality, 2))
        return series

    def list_series(self) -> None:
        """``metadata.csv`` as the NBIA Data Retriever leaves it."""
        with (self.root / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("Series UID", "Collection", "Subject ID", "Modality", "Number of Images"))
            for uid, patient, modality, count in self._listed:
                writer.writerow((uid, "LIDC-IDRI", patient, modality, count))

    def _series(self, patient: str, serial: int) -> MiniSeries:
        uid, study = f"{_ROOT}2{serial:04d}", f"{_ROOT}1{serial:04d}"
        names = (
            (study, uid) if self._uid_folders else (f"01-01-2000-{serial}", f"{3000000 + serial}-{serial}")
        )
        folder = self.folder.joinpath(patient, *names)
        folder.mkdir(parents=True)
        return MiniSeries(folder, uid, study)

    def _header(self, modality: str, patient: str, series: MiniSeries, number: int) -> pydicom.Dataset:
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.is_little_endian, header.is_implicit_VR = True, False
        header.SOPClassUID = pydicom.uid.CTImageStorage
        header.SOPInstanceUID = series.slice_uid(number)
        header.Modality, header.PatientID, header.StudyDate = modality, patient, "20000101"
        header.StudyInstanceUID, header.SeriesInstanceUID = series.study_uid, series.uid
        header.Rows = header.Columns = 8
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 1
        header.PixelData = bytes(2 * 8 * 8)
        return header

    def _save(self, header: pydicom.Dataset, folder: Path, instance: int) -> None:
        header.InstanceNumber = instance
        name = f"{instance:06d}.dcm" if self._uid_folders else f"1-{instance:03d}.dcm"
        pydicom.dcmwrite(folder / name, header, write_like_original=False)


# A reader's nodules: each is the numbers of the slices on which it is outlined.
Nodules = Sequence[Sequence[int]]


def write_reading(
    path: Path, series: MiniSeries, readers: Sequence[Nodules], *, study_first: bool = False
) -> Path:
    """The XML of a CT as LIDC writes it: four readers, each with a small nodule and a non-nodule besides.

    Args:
        path: the file.
        series: of the CT.
        readers: what each of them outlined.
        study_first: with the StudyInstanceUID elsewhere in the header, as some of the doubled files have it.
    """
    study = f"<StudyInstanceUID>{series.study_uid}</StudyInstanceUID>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage uid="1.3.6.1" xmlns="http://www.nih.gov" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n<ResponseHeader>\n<Version>1.8.1</Version>\n'
        f"{study if study_first else ''}<TaskDescription>Second unblinded read</TaskDescription>\n"
        f"<SeriesInstanceUid>{series.uid}</SeriesInstanceUid>\n"
        f"{'' if study_first else study}</ResponseHeader>\n"
        + "\n".join(_session(series, nodules) for nodules in readers)
        + "</LidcReadMessage>"
    )
    return path


def _session(series: MiniSeries, nodules: Nodules) -> str:
    large = "".join(_nodule(series, name, slices, 12) for name, slices in enumerate(nodules))
    small = _nodule(series, 99, [0], 1)
    place = f"<imageZposition>0</imageZposition><imageSOP_UID>{series.slice_uid(0)}</imageSOP_UID>"
    other = f"<nonNodule>{place}</nonNodule>"
    return (
        f"<readingSession><annotationVersion>3.12</annotationVersion>{large}{small}{other}</readingSession>"
    )


def _nodule(series: MiniSeries, name: int, slices: Sequence[int], points: int) -> str:
    edge = "<edgeMap><xCoord>3</xCoord><yCoord>4</yCoord></edgeMap>" * points
    rois = "".join(
        f"<roi><imageZposition>{-STEP_MM * number:f} </imageZposition>"
        f"<imageSOP_UID>{series.slice_uid(number)}</imageSOP_UID><inclusion>TRUE</inclusion>{edge}</roi>"
        for number in slices
    )
    return f"<unblindedReadNodule><noduleID>Nodule {name:03d}</noduleID>{rois}</unblindedReadNodule>"
