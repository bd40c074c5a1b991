"""LIDC-IDRI as TCIA hands it out: the CTs with their readings as studies of the task ``nodule``.

The NBIA Data Retriever writes ``LIDC-IDRI/LIDC-IDRI-0001/01-01-2000-30178/3000566-03192/1-001.dcm``, earlier
ones wrote folders named by UIDs and ``000001.dcm``. In both every series has a folder of its own, with an XML
beside the slices where the readings were downloaded with them, and ``metadata.csv`` above all. Chest
radiographs of some patients (237 series DX, 53 CR) lie among them.

What is known of the set, and matters here: eight patients have two CTs (LIDC-IDRI-0132, 0151, 0315, 0332,
0355, 0365, 0442, 0484), by mistake, as TCIA says. In five series slices lie in the same place (0085, 0146,
0418, 0572, 0979), and in some slices are missing, for which LUNA16 left them out: the reader refuses those,
and so does this. Slices are numbered from other numbers than 1 (pylidc's issue 7): nothing is taken from
names and numbers.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from vpt_plugin.ct.dicom import find_stack, first_header, read_slice_headers
from vpt_plugin.ct.dicom_headers import LeftOutFile, SliceHeader
from vpt_plugin.ct.stacking import Stack
from vpt_plugin.data.importers.importer import FoundSet, FoundStudy, ReadStudy
from vpt_plugin.data.importers.lidc import MIN_READERS, PANEL_READERS, LidcReading, lidc_label, position_note
from vpt_plugin.data.importers.lidc_readings import ReadingFiles, agreed_reading, sort_readings, xml_files
from vpt_plugin.errors import ConfigurationError, LabelError, StudyError, UnreadableStudyError
from vpt_plugin.tasks import ReadingTask

_PATIENT = re.compile(r"LIDC-IDRI-\d{4}")
_LISTED_SERIES, _LISTED_COUNT = "Series UID", "Number of Images"
_SHOWN = 3


@dataclass(frozen=True)
class LidcSource:
    """What is known of a CT before it is read.

    Attributes:
        series_uid: SeriesInstanceUID; "" where no header could be read.
        readings: the XML files of this series.
        listed_slices: how many slices ``metadata.csv`` says that it has; 0 where it says nothing.
    """

    series_uid: str
    readings: tuple[Path, ...]
    listed_slices: int


@dataclass(frozen=True)
class LidcImporter:
    """LIDC-IDRI in a folder.

    Attributes:
        folder: as TCIA's download has it, or a part of it.
        xml: a folder of the readings, such as the unpacked LIDC-XML-only.zip; None where they lie beside the
            slices.
        min_readers: how many readers must have seen a nodule on a slice.
    """

    folder: Path
    xml: Path | None = None
    min_readers: int = MIN_READERS

    @property
    def name(self) -> str:
        """``lidc``."""
        return "lidc"

    @property
    def tasks(self) -> tuple[ReadingTask, ...]:
        """None: the task ``nodule`` is built in."""
        return ()

    def find(self) -> FoundSet[LidcSource]:
        """The CTs, by a header of each series; radiographs are passed over.

        Raises:
            ConfigurationError: a folder is not there, or there are no CTs, or no readings.
        """
        if not self.folder.is_dir():
            raise ConfigurationError(f"there is no folder {self.folder}.")
        if self.xml is not None and not self.xml.exists():
            raise ConfigurationError(
                f"--xml {self.xml}: there is no such folder.", "Give the unpacked LIDC-XML-only.zip of TCIA."
            )
        headers = {folder: _look_at(files) for folder, files in _series_folders(self.folder)}
        series = {folder: header for folder, header in headers.items() if not _is_no_ct(header)}
        if not series:
            raise ConfigurationError(
                f"{self.folder}: holds no CT; it holds {len(headers)} folders of other .dcm files.",
                "Give the folder LIDC-IDRI as the NBIA Data Retriever wrote it.",
            )
        readings = self._readings()
        listed = _listed_slices(self.folder)
        studies, refused, first = [], {}, dict[str, str]()
        for name, folder in _named(series).items():
            uid = header.series_uid if (header := series[folder]) else ""
            if uid in first:
                refused[name] = f"{folder} holds the same series as {first[uid]}. Leave one of them."
                continue
            first |= {uid: str(folder)} if uid else {}
            own = readings.by_series.get(uid, ())
            studies.append(FoundStudy(name, folder, LidcSource(uid, own, listed.get(uid, 0)), own))
        others = [header for header in headers.values() if _is_no_ct(header)]
        return FoundSet(tuple(studies), refused, tuple(_notes(others, readings, first)))

    def read(self, study: FoundStudy[LidcSource]) -> ReadStudy:
        """The label of one CT.

        Raises:
            StudyError: the series cannot be read as a CT, is not whole, or is of somebody else.
            LabelError: it has no reading, or none that can be used.
        """
        source = study.source
        stack = find_stack(study.path, study.name, source.series_uid or None)
        patient = _patient(study, stack.slices)
        if len(stack.slices) < source.listed_slices:
            raise UnreadableStudyError(
                study.name,
                f"of {source.listed_slices} slices that metadata.csv lists {len(stack.slices)} are there.",
                "Download it again.",
            )
        if not source.readings:
            raise LabelError(
                "no XML of its series is there.", "Give the unpacked LIDC-XML-only.zip of TCIA with --xml."
            )
        reading = agreed_reading(source.readings)
        label = lidc_label(reading, stack.slices, min_readers=self.min_readers)
        notes = (position_note(reading, stack.slices), _panel_note(reading), _other_series(study, stack))
        return ReadStudy(
            study.path, (label,), patient=patient, patient_id=patient, notes=tuple(filter(None, notes))
        )

    def _readings(self) -> ReadingFiles:
        try:
            beside = xml_files(self.folder)
        except LabelError as error:
            if self.xml is None:
                raise ConfigurationError(
                    error.message, "Give the unpacked LIDC-XML-only.zip of TCIA with --xml."
                ) from error
            beside = []
        return sort_readings([*beside, *(xml_files(self.xml) if self.xml else ())])


def _series_folders(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder that holds DICOM files, with these."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        if files := sorted(Path(root, name) for name in names if name.lower().endswith(".dcm")):
            yield Path(root), files


def _look_at(files: Sequence[Path]) -> SliceHeader | LeftOutFile | None:
    """What lies in a folder; None where the file system does not tell: the reason comes with the reading."""
    try:
        return first_header(files)
    except OSError:
        return None


def _is_no_ct(header: SliceHeader | LeftOutFile | None) -> bool:
    return isinstance(header, LeftOutFile) and header.modality not in ("", "CT")


def _named(series: Mapping[Path, SliceHeader | LeftOutFile | None]) -> dict[str, Path]:
    """The folders by the names of their studies: the patient, with a number from the second CT on.

    Which is first is the smaller SeriesInstanceUID, wherever the files lie.
    """

    def order(folder: Path) -> tuple[str, str, Path]:
        header = series[folder]
        patient = header.patient_id if isinstance(header, SliceHeader) else ""
        # Whoever else it is: it is refused, and so are files that tell nothing.
        name = patient if _PATIENT.fullmatch(patient) else folder.name
        return name, header.series_uid if header else "", folder

    named: dict[str, Path] = {}
    for name, _, folder in sorted(map(order, series)):
        numbered = chain([name], (f"{name}-{number}" for number in count(2)))
        named[next(each for each in numbered if each not in named)] = folder
    return named


def _patient(study: FoundStudy[LidcSource], slices: Iterable[SliceHeader]) -> str:
    """PatientID, which must be that of the folder where the folder's name is one."""
    patient, *others = sorted({each.patient_id for each in slices})
    if others or not _PATIENT.fullmatch(patient):
        raise StudyError(
            study.name,
            f"its PatientID is {patient!r}, which is none of LIDC-IDRI.",
            "Such IDs are LIDC-IDRI-0001 and the like: give the DICOM files as TCIA has them.",
        )
    folders = {part for part in study.path.resolve().parts if _PATIENT.fullmatch(part)} - {patient}
    if folders:
        raise StudyError(
            study.name,
            f"its PatientID is {patient}, but it lies in the folder {min(folders)} ({study.path}).",
            "Whose it is is not sure: download it again.",
        )
    return patient


def _panel_note(reading: LidcReading) -> str:
    if len(reading.readers) == PANEL_READERS:
        return ""
    return f"{reading.path.name} holds {len(reading.readers)} readings instead of {PANEL_READERS}."


def _other_series(study: FoundStudy[LidcSource], stack: Stack) -> str:
    """TCIA gives every series a folder; where somebody put two into one, one of them is no study."""
    if sum(file.suffix.lower() == ".dcm" for file in study.path.iterdir()) == len(stack.slices):
        return ""
    uids = {header.series_uid for header in read_slice_headers(study.path, study.name)}
    others = sorted(uids - {stack.slices[0].series_uid})
    return f"Another CT series lies in its folder, left out: {', '.join(others)}." if others else ""


def _listed_slices(folder: Path) -> dict[str, int]:
    """How many slices each series has, as the NBIA Data Retriever lists it; empty where it left no list."""
    for file in (folder / "metadata.csv", folder.parent / "metadata.csv"):
        if not file.is_file():
            continue
        with file.open(encoding="utf-8-sig", newline="", errors="replace") as lines:
            rows = csv.DictReader(lines)
            return {
                row[_LISTED_SERIES]: int(row[_LISTED_COUNT])
                for row in rows
                if row.get(_LISTED_SERIES) and (row.get(_LISTED_COUNT) or "").isdecimal()
            }
    return {}


def _notes(
    others: Sequence[SliceHeader | LeftOutFile | None], readings: ReadingFiles, here: Iterable[str]
) -> Iterator[str]:
    if others:
        kinds = Counter(header.modality for header in others if isinstance(header, LeftOutFile))
        tally = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        yield f"Series that are no CT, passed over: {len(others)} ({tally}); CR and DX are chest radiographs."
    if readings.radiographs:
        yield f"Readings of chest radiographs, passed over: {len(readings.radiographs)}."
    strangers = [file for uid in readings.by_series.keys() - set(here) for file in readings.by_series[uid]]
    if strangers:
        shown = ", ".join(str(file) for file in sorted(strangers)[:_SHOWN])
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        yield f"Readings whose series is not there: {len(strangers)} ({shown}{more})."
    yield from (f"Not used: {error}" for error in readings.unusable)
