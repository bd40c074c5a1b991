"""Origin: where a volume came from, for as long as it is as it came.

A volume that was cropped, filtered or resampled is another study than the one that the server has, and so it
has no origin, also after it was saved and opened again.
"""

from __future__ import annotations

from typing import Callable

import slicer

from ..which_study import Origin, is_uid
from .fingerprint import Fingerprint, fingerprint_of, read_fingerprint

_SERVER, _SERVER_ID, _STUDY = "VPTCT.server", "VPTCT.serverId", "VPTCT.study"
_AS_IT_CAME, _AS_LOADED = "VPTCT.asItCame", "VPTCT.asLoaded"
_DOWNLOADED = "VPTCT.downloaded"
# Slicer's DICOM module writes it: SOPInstanceUIDs of the files that a volume was loaded from.
_INSTANCES = "DICOM.instanceUIDs"


def mark_origin(
    volume: slicer.vtkMRMLScalarVolumeNode, *, server: str, study: str, server_id: str = ""
) -> None:
    """Note that a volume, as it is now, is this study of this server; it is saved with the scene.

    Args:
        volume: has voxels.
        server: its address.
        study: its id there.
        server_id: as ``ServerInfo`` has it; "" where it tells none.
    """
    volume.SetAttribute(_SERVER, server)
    volume.SetAttribute(_SERVER_ID, server_id)
    volume.SetAttribute(_STUDY, study)
    volume.SetAttribute(_AS_IT_CAME, fingerprint_of(volume).to_text())


def mark_download(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Note that this node was made of a download, and is none of the reader's own."""
    volume.SetAttribute(_DOWNLOADED, volume.GetID())


def is_download(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether this very node was made of a download: a copy of it, which a reader made, was not."""
    return bool(volume.GetAttribute(_DOWNLOADED) == volume.GetID())


def note_arrival(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Note how the volume of a DICOM series is when it is first seen: changes are told from then on.

    Slicer's DICOM module leaves no other trace of how a volume was when it was loaded.

    Args:
        volume: has voxels.
    """
    is_changed = volume.GetStorageNode() is not None and volume.GetModifiedSinceRead()
    if volume.GetAttribute(_INSTANCES) and not volume.GetAttribute(_AS_LOADED) and not is_changed:
        volume.SetAttribute(_AS_LOADED, fingerprint_of(volume).to_text())


def origin_of(
    volume: slicer.vtkMRMLScalarVolumeNode,
    series_of_instance: Callable[[str], str],
    examination_of_series: Callable[[str], str] = lambda uid: "",
) -> Origin:
    """Where a volume came from; nothing of it for one that is not as it came.

    Args:
        volume: has voxels.
        series_of_instance: the SeriesInstanceUID of a SOPInstanceUID, "" where it is not known.
        examination_of_series: the StudyInstanceUID of a SeriesInstanceUID, "" where it is not known.
    """
    now = fingerprint_of(volume)
    series_uid = _series_uid(volume, now, series_of_instance)
    examination = examination_of_series(series_uid) if series_uid else ""
    if not _fits(volume, _AS_IT_CAME, now):
        return Origin(series_uid=series_uid, examination=examination)
    server, study, server_id = (volume.GetAttribute(name) or "" for name in (_SERVER, _STUDY, _SERVER_ID))
    return Origin(server, study, series_uid, examination, server_id)


def _series_uid(
    volume: slicer.vtkMRMLScalarVolumeNode, now: Fingerprint, series_of_instance: Callable[[str], str]
) -> str:
    """Of the DICOM series that a volume is all of; "" where anything speaks against that."""
    instances = (volume.GetAttribute(_INSTANCES) or "").split()
    note_arrival(volume)
    # What Slicer makes from a volume may carry its attributes, too.
    if len(instances) != now.dimensions[2] or not _fits(volume, _AS_LOADED, now):
        return ""
    series = {series_of_instance(uid) for uid in (instances[0], instances[-1])}
    found = series.pop()
    return found if not series and is_uid(found) else ""


def _fits(volume: slicer.vtkMRMLScalarVolumeNode, noted: str, now: Fingerprint) -> bool:
    """Whether a volume is as it was when this was noted."""
    then = read_fingerprint(volume.GetAttribute(noted) or "")
    return then is not None and then.fits(now)
