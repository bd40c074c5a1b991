"""Write a volume as DICOM series, NIfTI, NRRD or MHA, with its geometry. Works for any volume."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from vpt_plugin.ct.files import NOTES
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.volume import PHANTOM_MARK, Volume
from vpt_plugin.digest import uid_of
from vpt_plugin.errors import ConfigurationError

_INTERCEPT = -1024
_WRITTEN = "20260101"  # a phantom has no date; a fixed one keeps files the same from run to run


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a NIfTI file (``.nii`` or ``.nii.gz``)."""
    _write_image(volume, path)


def write_nrrd(volume: Volume, path: Path) -> None:
    """Write an NRRD file (``.nrrd``), compressed."""
    _write_image(volume, path)


def write_mha(volume: Volume, path: Path) -> None:
    """Write a MetaImage file (``.mha``), compressed."""
    _write_image(volume, path)


def _write_image(volume: Volume, path: Path) -> None:
    image = SimpleITK.GetImageFromArray(volume.hu)
    # SimpleITK counts axes as columns, rows, slices; its patient coordinates are LPS+, as ours.
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
    if volume.provenance.kind == "phantom":
        image.SetMetaData(NOTES, PHANTOM_MARK)
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds something, lest old and new be taken for one.

    Raises:
        ConfigurationError: names the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty;", "choose a new folder.")


def write_dicom(volume: Volume, folder: Path) -> None:
    """Write a CT series, one file per slice, uncompressed, into a new or empty folder.

    What ``Provenance.header`` says of how the volume was taken is written; whose scanner it was is not, as it
    is no longer the scanner's file.

    UIDs come from the volume's series UID, or from its voxels where it has none, so that writing twice gives
    the same files.

    Raises:
        ConfigurationError: the folder holds something, with which the slices would become one study.
    """
    require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series = volume.provenance.series_uid or uid_of(hashlib.sha256(volume.hu.tobytes()).hexdigest())
    for index in range(volume.slices):
        dataset = _ct_slice(volume, index, series)
        dataset.save_as(folder / f"CT{index + 1:04d}.dcm", write_like_original=False)


def _ct_slice(volume: Volume, index: int, series_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid_of(f"{series_uid} {index}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid_of("vptct")
    meta.ImplementationVersionName = "VPTCT"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _describe_study(dataset, volume, series_uid)
    _describe_slice(dataset, volume, index)
    return dataset


def _describe_study(dataset: pydicom.Dataset, volume: Volume, series_uid: str) -> None:
    """Patient, study, series and equipment: the same in every slice."""
    patient = volume.provenance.patient_id or volume.study
    phantom = volume.provenance.kind == "phantom"
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": patient, "PatientID": patient, "PatientBirthDate": "", "PatientSex": "",
        "StudyInstanceUID": uid_of(f"{series_uid} study"), "StudyDate": _WRITTEN, "StudyTime": "000000",
        "StudyID": "1", "AccessionNumber": "", "ReferringPhysicianName": "",
        "StudyDescription": volume.study,
        "SeriesInstanceUID": series_uid, "SeriesNumber": 1, "Modality": "CT",
        "SeriesDescription": volume.provenance.description or volume.study,
        "BodyPartExamined": "CHEST", "PatientPosition": "HFS", "Laterality": "",
        "FrameOfReferenceUID": uid_of(f"{series_uid} frame"), "PositionReferenceIndicator": "",
        "Manufacturer": PHANTOM_MARK if phantom else "VPTCT",
        "ManufacturerModelName": "computed, no patient" if phantom else "",
        "BurnedInAnnotation": "NO", "LossyImageCompression": "00",
    }  # fmt: skip
    if header := volume.provenance.header:
        said = {
            "BodyPartExamined": header.body_part,
            "ProtocolName": header.protocol,
            "ContrastBolusAgent": header.contrast_agent,
        }
        values |= {keyword: text for keyword, text in said.items() if text}
    if phantom:
        values |= {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "never a patient: computed"}
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def _describe_slice(dataset: pydicom.Dataset, volume: Volume, index: int) -> None:
    """Acquisition, position and pixels of one slice."""
    across, down, up = (volume.direction[:, axis] for axis in (2, 1, 0))
    position = np.array(volume.origin_mm) + index * volume.spacing_mm[0] * up
    header = volume.provenance.header or StudyHeader()
    stored = (volume.hu[index].astype(np.int32) - _INTERCEPT).astype("<u2")
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "AcquisitionNumber": 1, "AcquisitionDate": _WRITTEN, "ContentDate": _WRITTEN, "ContentTime": "000000",
        "InstanceNumber": index + 1, "KVP": "120", "ConvolutionKernel": header.kernel or "COMPUTED",
        "ImagePositionPatient": [_decimal(v) for v in position],
        "ImageOrientationPatient": [_decimal(v) for v in (*across, *down)],
        "SliceLocation": _decimal(position @ up),
        "SliceThickness": _decimal(header.slice_thickness_mm or volume.spacing_mm[0]),
        "SpacingBetweenSlices": _decimal(volume.spacing_mm[0]),
        "PixelSpacing": [_decimal(v) for v in volume.spacing_mm[1:]],
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "Rows": volume.hu.shape[1], "Columns": volume.hu.shape[2],
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "RescaleIntercept": str(_INTERCEPT), "RescaleSlope": "1", "RescaleType": "HU",
        "WindowCenter": ["-600", "40"], "WindowWidth": ["1500", "400"],
        "PixelData": stored.tobytes(),
    }  # fmt: skip
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"


def _decimal(value: float) -> str:
    """A number as a DICOM decimal string of at most 16 characters."""
    return str(pydicom.valuerep.DSfloat(float(value), auto_format=True))
