"""ReportSource: what a report has to know of the study that was answered for."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from vpt_plugin.ct.dicom import FoundSeries
from vpt_plugin.ct.dicom_headers import read_sop_class
from vpt_plugin.ct.reader import find_study
from vpt_plugin.ct.volume import turn_of, turned
from vpt_plugin.errors import NotReportableError

# What a report says of the patient and the examination, as the study says it: the attributes by which an
# archive files an object (PS3.3, C.7.1.1 and C.7.2.1), and whether and how who that is was taken out.
COPIED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyDescription", "ReferringPhysicianName",
)  # fmt: skip
# Of an item of a sequence of codes (PS3.3, 8.8).
_OF_A_CODE = (
    "CodeValue", "LongCodeValue", "URNCodeValue",
    "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning",
)  # fmt: skip
# Control characters, which end a value in DICOM, and halves of characters, which UTF-8 cannot carry.
_NO_LETTERS = ("Cc", "Cs")

# Patient z comes as decimals.
_ROUNDING_MM = 1e-3


@dataclass(frozen=True)
class SourceSlice:
    """One slice of the study that was answered for.

    Attributes:
        class_uid: SOPClassUID.
        instance_uid: SOPInstanceUID.
        z_mm: patient z of its centre; None where the slices that the network saw are not those stored, as of
            a sagittal series.
    """

    class_uid: str
    instance_uid: str
    z_mm: float | None


@dataclass(frozen=True)
class ReportSource:
    """What a report has to know of the study that was answered for.

    Attributes:
        study: the study's name, for messages.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        patient: what the study says of the patient and the examination, by keyword (``COPIED``): a text, or
            several texts or codes where it has several.
        slices: all of them, in the order of patient z where that is known.
        zone: the time zone of the study's dates and times; None where it does not say.
    """

    study: str
    study_uid: str
    series_uid: str
    patient: Mapping[str, str | tuple[str | Dataset, ...]]
    slices: tuple[SourceSlice, ...]
    zone: tzinfo | None = None

    def between(self, low_mm: float, high_mm: float) -> tuple[SourceSlice, ...]:
        """The slices whose centres lie at these patient z or between them."""
        return tuple(
            each
            for each in self.slices
            if each.z_mm is not None and low_mm - _ROUNDING_MM <= each.z_mm <= high_mm + _ROUNDING_MM
        )

    def nearest(self, z_mm: float) -> SourceSlice | None:
        """The slice at a patient z; None where their places are not known."""
        placed = [(abs(each.z_mm - z_mm), each) for each in self.slices if each.z_mm is not None]
        return min(placed, key=lambda pair: pair[0], default=(0.0, None))[1]


def read_source(path: Path, *, name: str | None = None, series_uid: str | None = None) -> ReportSource:
    """What a report has to know of a study; its pixels are not read.

    Args:
        path: as ``read_study`` takes it.
        name: the study's name in messages; the path's own name by default.
        series_uid: which series was read; by default the one that ``read_study`` chooses.

    Raises:
        NotReportableError: it is no DICOM study, or its UIDs are none, so that nothing can refer to it.
        StudyError, OSError: as ``read_study``.
    """
    with find_study(path, name=name, series_uid=series_uid) as found:
        if not isinstance(found, FoundSeries):
            raise NotReportableError(
                found.study,
                f"its format ({found.provenance.kind}) has no DICOM instances that a report could refer to.",
                "Give the DICOM study it was made from.",
            )
        return _source_of(found)


def _source_of(found: FoundSeries) -> ReportSource:
    slices = tuple(
        SourceSlice(read_sop_class(header.path), header.instance_uid, z_mm)
        for header, z_mm in zip(found.stack.slices, _slice_z_mm(found), strict=True)
    )
    header = pydicom.dcmread(found.stack.slices[0].path, stop_before_pixels=True, force=True)
    source = ReportSource(
        study=found.study,
        study_uid=_text(header.get("StudyInstanceUID")),
        series_uid=found.stack.slices[0].series_uid,
        patient={keyword: _copy(header, keyword) for keyword in COPIED if keyword in header},
        slices=slices,
        zone=_zone(_copy(header, "TimezoneOffsetFromUTC")),
    )
    uids = (uid for each in slices for uid in (each.class_uid, each.instance_uid))
    _require_uids((source.study_uid, source.series_uid, *uids), found.study)
    return source


def _slice_z_mm(found: FoundSeries) -> list[float] | list[None]:
    """Patient z of the centre of every stored slice, in their order."""
    stored = found.volume(np.broadcast_to(np.int16(0), found.shape))
    turn = turn_of(stored)
    if not turn.keeps_slices:
        return [None] * len(found.stack.slices)
    ascending = [float(z) for z in turned(stored, turn).slice_z_mm]
    return ascending[::-1] if turn.flips[0] else ascending


def _require_uids(uids: Iterable[str], study: str) -> None:
    for uid in uids:
        if not (len(uid) <= 64 and UID(uid).is_valid):
            raise NotReportableError(
                study,
                f"{uid[:64]!r} stands where a DICOM UID belongs, so nothing can refer to it.",
                "Such files were made anonymous by hashing; give the study as the archive has it.",
            )


def _copy(header: Dataset, keyword: str) -> str | tuple[str | Dataset, ...]:
    """The value as text, whatever letters it was written in; several of them, or codes, one by one."""
    try:
        value = header.get(keyword)
    except Exception:  # pydicom's own, of a damaged element
        return ""
    if isinstance(value, pydicom.Sequence):
        return tuple(_code(item) for item in value)
    if isinstance(value, MultiValue):
        return tuple(_text(each) for each in value)
    return _text(value)


def _code(item: Dataset) -> Dataset:
    copied = Dataset()
    for keyword in _OF_A_CODE:
        if keyword in item:
            value = _text(item.get(keyword))
            copied.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=config.IGNORE))
    return copied


def _text(value: Any) -> str:
    letters = (letter for letter in str(value or "") if unicodedata.category(letter) not in _NO_LETTERS)
    # A backslash parts values. Only the space of ASCII fills up: others are part of a name.
    return "".join(letters).replace("\\", "").strip(" ")


def _zone(offset: object) -> tzinfo | None:
    """The time zone of an offset as DICOM writes it, such as ``+0100``; None where it is none."""
    try:
        return datetime.strptime(str(offset), "%z").tzinfo
    except ValueError:
        return None
