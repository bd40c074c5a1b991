"""Origin: where a volume came from, for as long as it is as it came.

A volume that was cropped, filtered or resampled is another study than the one that the server has, and so it
has no origin, also after it was saved and opened again.
"""

from __future__ import annotations

from typing import Callable

import slicer

from ..which_study import Origin, is_uid
from .fingerprint import fingerprint_of, read_fingerprint

_SERVER, _SERVER_ID, _STUDY = "VPTCT.server", "VPTCT.serverId", "VPTCT.study"
_AS_IT_CAME = "VPTCT.asItCame"
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
    series_uid = _series_uid(volume, series_of_instance)
    examination = examination_of_series(series_uid) if series_uid else ""
    came = read_fingerprint(volume.GetAttribute(_AS_IT_CAME) or "")
    if came is None or not came.fits(fingerprint_of(volume)):
        return Origin(series_uid=series_uid, examination=examination)
    server, study, server_id = (volume.GetAttribute(name) or "" for name in (_SERVER, _STUDY, _SERVER_ID))
    return Origin(server, study, series_uid, examination, server_id)


def _series_uid(volume: slicer.vtkMRMLScalarVolumeNode, series_of_instance: Callable[[str], str]) -> str:
    """Of the DICOM series that a volume is all of; "" where anything speaks against that."""
    instances = (volume.GetAttribute(_INSTANCES) or "").split()
    # What Slicer made from a volume carries its attributes, too, but has another number of slices, was never
    # read from files, or was changed since.
    if len(instances) != volume.GetImageData().GetDimensions()[2] or volume.GetModifiedSinceRead():
        return ""
    series = {series_of_instance(uid) for uid in (instances[0], instances[-1])}
    found = series.pop()
    return found if not series and is_uid(found) else ""
