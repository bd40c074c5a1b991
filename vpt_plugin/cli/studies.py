"""Which studies the paths on the command line stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vpt_plugin.ct.dicom_headers import read_examination
from vpt_plugin.store.studies import StudyFolder


def expand(paths: Iterable[Path]) -> list[Path]:
    """The studies that the paths stand for, each once, in their order.

    A file stands for itself, and so does a folder whose DICOM files are all of one examination, whatever
    series lie in it. Any other folder stands for the studies that ``StudyFolder`` finds in it; where it finds
    none, for itself, so that reading it says what is wrong.
    """
    found = (study for path in paths for study in (_in_folder(path) if path.is_dir() else [path]))
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> Sequence[Path]:
    studies = list(StudyFolder(folder).scan().values())
    return studies if studies and not _is_one_examination(studies) else [folder]


def _is_one_examination(studies: Sequence[Path]) -> bool:
    """Whether all are DICOM folders with the same StudyInstanceUID."""
    if not all(study.is_dir() for study in studies):
        return False
    examinations = {_study_instance_uid(study) for study in studies}
    return len(examinations) == 1 and examinations != {""}


def _study_instance_uid(folder: Path) -> str:
    """StudyInstanceUID of the first DICOM file directly in the folder, or ""."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return next((uid for uid in map(read_examination, files) if uid), "")
