"""``slicer.dicomDatabase`` in memory: instances, their files and their values by tag."""

from __future__ import annotations

from pathlib import Path

import pydicom


class DicomDatabase:
    """The part of ctkDICOMDatabase that modules read.

    Attributes:
        isOpen: whether there is a database at all.
    """

    def __init__(self) -> None:
        self.isOpen = True
        self._files: dict[str, str] = {}

    def add(self, folder: Path) -> None:
        """Index the DICOM files of a folder."""
        for path in sorted(folder.iterdir()):
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
            self._files[str(header.SOPInstanceUID)] = str(path)

    def clear(self) -> None:
        """Forget all."""
        self.isOpen = True
        self._files.clear()

    def fileForInstance(self, instance_uid: str) -> str:
        """The file of an instance, "" where it is not known."""
        return self._files.get(instance_uid, "")

    def instanceForFile(self, path: str) -> str:
        """The instance of a file, "" where it is not known."""
        return next((uid for uid, known in self._files.items() if known == path), "")

    def instanceValue(self, instance_uid: str, tag: str) -> str:
        """A value by its tag, such as ``0020,000e``; "" where it is not known."""
        path = self.fileForInstance(instance_uid)
        return self.fileValue(path, tag) if path else ""

    def studyForSeries(self, series_uid: str) -> str:
        """The StudyInstanceUID of a series, "" where it is not known."""
        of_series = (path for path in self._files.values() if self.fileValue(path, "0020,000e") == series_uid)
        return next((self.fileValue(path, "0020,000d") for path in of_series), "")

    def fileValue(self, path: str, tag: str) -> str:
        """A value by its tag; "" where it is not there."""
        group, element = (int(part, 16) for part in tag.split(","))
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return str(header[group, element].value) if (group, element) in header else ""
