"""A study in one file (NIfTI, NRRD, MHA) as a Volume, by SimpleITK.

SimpleITK reads the geometry and the voxels; what it lets pass in silence (a file that is cut short or fails
its checksum, values of 8 bits, NaN, a header that points to another file) is asked for here.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk  # noqa: N813  the name its documentation uses

from vpt_plugin.ct.hounsfield import clamp_hu, require_finite
from vpt_plugin.ct.payload import refuse_damaged_payload
from vpt_plugin.ct.text_headers import refuse_pointer
from vpt_plugin.ct.volume import MAX_VOXELS, PHANTOM_MARK, REDUCED_MARK, Provenance, Volume
from vpt_plugin.errors import GeometryError, NotHounsfieldError, StudyError, UnreadableStudyError

KINDS: MappingProxyType[str, str] = MappingProxyType(
    {".nii": "nifti", ".nii.gz": "nifti", ".nrrd": "nrrd", ".mha": "mha", ".mhd": "mha"}
)
_READERS: MappingProxyType[str, str] = MappingProxyType(
    {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "mha": "MetaImageIO"}
)
# Where SimpleITK has the notes of any of these formats.
NOTES = "ITK_FileNotes"
_EIGHT_BIT = (sitk.sitkUInt8, sitk.sitkInt8)
_VOXEL_BYTES: MappingProxyType[int, int] = MappingProxyType(
    {
        sitk.sitkUInt16: 2,
        sitk.sitkInt16: 2,
        sitk.sitkUInt32: 4,
        sitk.sitkInt32: 4,
        sitk.sitkUInt64: 8,
        sitk.sitkInt64: 8,
        sitk.sitkFloat32: 4,
        sitk.sitkFloat64: 8,
    }
)
_NIFTI_FLOATS = MappingProxyType({"16": "f4", "64": "f8"})
_NO_ORIENTATION = (
    "The file does not say how the patient lies in it; slices were taken as running from feet to head."
)


def file_suffix(path: Path) -> str:
    """The suffix by which a file's kind is known, ``.nii.gz`` in one piece, in lower case."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def read_file(path: Path, study: str) -> Volume:
    """The volume as stored: array axes (slices, rows, columns) of the file, whatever way they point.

    Raises:
        StudyError: its values are not a CT's, its axes are not at right angles, or it is damaged.
    """
    suffix = file_suffix(path)
    kind = KINDS[suffix]
    if kind != "nifti":
        refuse_pointer(path, suffix, study)
    with _inflated(path, suffix, study) as plain:
        reader = sitk.ImageFileReader()
        # Left to itself it goes by the content: an HDF5 file called .nii may point to any file, too.
        reader.SetImageIO(_READERS[kind])
        reader.SetFileName(str(plain))
        try:
            reader.ReadImageInformation()
            _refuse_header(reader, study)
            if kind == "nifti":
                _refuse_damaged_nifti(plain, reader, study)
            else:
                voxel_bytes = math.prod(reader.GetSize()) * _VOXEL_BYTES[reader.GetPixelIDValue()]
                refuse_damaged_payload(path, suffix, voxel_bytes, study)
            image = reader.Execute()
        except RuntimeError as error:
            raise _refusal(error, kind, study) from error
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    warnings = () if _says_orientation(reader, kind) else (_NO_ORIENTATION,)
    columns_mm, rows_mm, slices_mm = image.GetSpacing()
    return Volume(
        hu=clamp_hu(sitk.GetArrayViewFromImage(image), study),
        spacing_mm=(slices_mm, rows_mm, columns_mm),
        origin_mm=image.GetOrigin(),
        # SimpleITK's axes run columns, rows, slices.
        direction=np.array(image.GetDirection()).reshape(3, 3)[:, ::-1].copy(),
        study=study,
        provenance=Provenance(
            kind=kind,
            warnings=warnings,
            synthetic=_is_phantom(reader),
            reduced_from_mm=_reduced_from_mm(reader),
        ),
    )


def _reduced_from_mm(reader: sitk.ImageFileReader) -> tuple[float, float] | None:
    """What the file says its pixels were; None where it says nothing, or nothing that can be."""
    if not reader.HasMetaDataKey(REDUCED_MARK):
        return None
    try:
        rows_mm, columns_mm = map(float, reader.GetMetaData(REDUCED_MARK)[:100].split())
    except ValueError:
        return None
    return (rows_mm, columns_mm) if 0 < rows_mm < 100 and 0 < columns_mm < 100 else None


def _is_phantom(reader: sitk.ImageFileReader) -> bool:
    return reader.HasMetaDataKey(NOTES) and bool(reader.GetMetaData(NOTES).strip("\0 ") == PHANTOM_MARK)


def _says_orientation(reader: sitk.ImageFileReader, kind: str) -> bool:
    if kind == "nifti":
        codes = (reader.GetMetaData("qform_code"), reader.GetMetaData("sform_code"))
        return any(int(code) > 0 for code in codes)
    return kind == "mha" or bool(reader.HasMetaDataKey("NRRD_space"))


def _refusal(error: RuntimeError, kind: str, study: str) -> StudyError:
    if "orthonormal" in str(error) or "Bad direction" in str(error):
        return GeometryError(
            study,
            "its axes are not at right angles (a gantry tilt, or a damaged header).",
            "Resample it onto a straight grid first, for example with dcm2niix or 3D Slicer.",
        )
    return UnreadableStudyError(
        study, f"the file is cut short or damaged, or is no {kind.upper()} file.", "Copy or export it again."
    )


def _refuse_header(reader: sitk.ImageFileReader, study: str) -> None:
    size, pixel = reader.GetSize(), reader.GetPixelIDValue()
    shape = " x ".join(str(count) for count in size)
    if len(size) < 3:
        raise UnreadableStudyError(study, f"it is a 2-D image ({shape}).", "Give the whole volume.")
    if math.prod(size[3:]) != 1:
        raise UnreadableStudyError(
            study, f"it has {len(size)} dimensions ({shape}).", "Give one volume, such as one time point."
        )
    if reader.GetNumberOfComponents() != 1:
        raise NotHounsfieldError(study, "its voxels are colours or vectors.", "Give the original CT.")
    if pixel in _EIGHT_BIT:
        raise NotHounsfieldError(
            study,
            "its values have 8 bits (grey values or a label map); Hounsfield units need 12 at least.",
            "Give the original CT.",
        )
    if pixel not in _VOXEL_BYTES:
        raise NotHounsfieldError(study, "its voxels are no plain numbers.", "Give the original CT.")
    if math.prod(size) > MAX_VOXELS:
        raise UnreadableStudyError(study, f"its header asks for {shape} voxels.", "No CT is that large.")
    if not all(math.isfinite(mm) and mm > 0 for mm in reader.GetSpacing()):
        raise GeometryError(study, f"its voxel spacing is {reader.GetSpacing()} mm.", "Export it again.")


def _refuse_damaged_nifti(path: Path, reader: sitk.ImageFileReader, study: str) -> None:
    """SimpleITK leaves voxels that the file lacks as memory had them, and turns NaN into 0 HU, water."""
    if not reader.HasMetaDataKey("vox_offset"):
        return
    offset, voxels = int(float(reader.GetMetaData("vox_offset"))), math.prod(reader.GetSize())
    expected = offset + voxels * int(reader.GetMetaData("bitpix")) // 8
    if (found := path.stat().st_size) < expected:
        raise UnreadableStudyError(
            study,
            f"the file is cut short: {found} bytes where its header says {expected}.",
            "Copy or export it again.",
        )
    if kind := _NIFTI_FLOATS.get(reader.GetMetaData("datatype")):
        with path.open("rb") as file:
            # The header's first number is its own size, 348 or 540 bytes: below 65536 in the right order.
            order = "<" if int.from_bytes(file.read(4), "little") < 65536 else ">"
        require_finite(np.memmap(path, dtype=order + kind, mode="r", offset=offset, shape=voxels), study)


@contextmanager
def _inflated(path: Path, suffix: str, study: str) -> Iterator[Path]:
    """The file itself, or a ``.nii.gz`` unpacked beside nothing, so that damage to it shows.

    SimpleITK unpacks by itself, but a file that is cut short or fails its checksum then reads without error.
    """
    if suffix != ".nii.gz":
        yield path
        return
    with TemporaryDirectory(prefix="vptct-") as folder:
        plain = Path(folder) / "study.nii"
        try:
            with gzip.open(path) as packed, plain.open("wb") as out:
                while chunk := packed.read(1 << 22):
                    out.write(chunk)
                    if out.tell() > 8 * MAX_VOXELS:
                        raise UnreadableStudyError(study, "it unpacks to more than any CT holds.")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableStudyError(
                study, f"the file is cut short or damaged ({error}).", "Copy or export it again."
            ) from error
        yield plain
