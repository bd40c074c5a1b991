"""Studies from a DICOM archive over DICOMweb: QIDO-RS to list, WADO-RS to fetch."""

from vpt_plugin.store.archive.address import ArchiveAddress, Credentials
from vpt_plugin.store.archive.archive import DicomArchive
from vpt_plugin.store.archive.client import Patience
from vpt_plugin.store.archive.listing import SeriesFilter

__all__ = ["ArchiveAddress", "Credentials", "DicomArchive", "Patience", "SeriesFilter"]
