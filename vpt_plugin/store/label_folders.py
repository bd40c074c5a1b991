"""Which folder holds a study's labels: ``<study>``, or ``<study>@`` where a file is in its place.

A stock MONAI Label calls a segmentation as the file of its study, which is that study's id.
"""

from __future__ import annotations

import os
from pathlib import Path

from vpt_plugin.errors import LabelError
from vpt_plugin.store.ids import is_study_id
from vpt_plugin.store.label_versions import DamagedLabel

# No study's id holds it.
_BESIDE = "@"


def folder_of(above: Path, study: str) -> Path:
    """The folder of a study's labels, be it there or not."""
    folder, beside = above / study, above / f"{study}{_BESIDE}"
    if folder.is_dir():
        return folder
    # Somebody may be making the folder at this moment.
    is_file = os.path.lexists(folder) and not folder.is_dir()
    return beside if is_file or beside.is_dir() else folder


def labelled_studies(above: Path) -> frozenset[str]:
    """The ids of all studies with a folder."""
    return frozenset(study for name in _folders(above) if is_study_id(study := name.removesuffix(_BESIDE)))


def hidden_folders(above: Path) -> list[DamagedLabel]:
    """The folders whose labels do not count, because their study has the other one, too."""
    names = _folders(above)
    return [
        DamagedLabel(
            study, "", 0, above / f"{study}{_BESIDE}", f"these labels do not count: those in {study} do."
        )
        for study in sorted(names)
        if is_study_id(study) and f"{study}{_BESIDE}" in names
    ]


def namesake(above: Path, study: str) -> str:
    """Another study whose folder the disk takes for this one's; "" for none.

    The disks of macOS and Windows and many a share take capitals and small letters for the same.
    """
    try:
        if not above.with_name(above.name.upper()).samefile(above):
            return ""
    except FileNotFoundError:
        return ""
    labelled = labelled_studies(above)
    same = (each for each in sorted(labelled) if each.casefold() == study.casefold())
    return "" if study in labelled else next(same, "")


def refuse_namesake(above: Path, study: str) -> None:
    """Refuse to mix the labels of two studies.

    Raises:
        LabelError: the disk takes the study for another one that has labels, see ``namesake``.
    """
    if other := namesake(above, study):
        raise LabelError(
            f"{study}: its labels would be mixed with those of {other}: the disk of the labels does "
            "not tell capitals from small letters.",
            "Rename one of the two, or keep the labels on a disk that does: --conf labels_dir FOLDER.",
        )


def _folders(above: Path) -> frozenset[str]:
    try:
        with os.scandir(above) as entries:
            return frozenset(each.name for each in entries if each.is_dir())
    except FileNotFoundError:
        return frozenset()
