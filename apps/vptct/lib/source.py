"""Where this server's studies come from, and where their labels lie."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.listings import LABELS_FOLDER
from vpt_plugin.store.source import StudySource
from vpt_plugin.store.studies import StudyFolder

from .archive_conf import archive_labels_dir, is_archive, open_archive
from .conf import AppConf

# A label saved by another process counts after this time at the latest; those saved here count at once.
_FRESH_SECONDS = 1.0


def open_labels(studies: str, conf: AppConf) -> LabelFolder:
    """The labels of the studies; the folder is made when the first one is saved.

    Args:
        studies: what ``--studies`` says: a folder, or the address of an archive.
        conf: may say where labels lie.

    Raises:
        ConfigurationError: the address of the archive cannot be.
    """
    if conf.labels_dir is not None:
        folder = conf.labels_dir
    elif is_archive(studies):
        folder = archive_labels_dir(studies)
    else:
        folder = Path(studies) / LABELS_FOLDER
    return LabelFolder(folder, fresh_seconds=_FRESH_SECONDS)


def open_studies(studies: str, conf: AppConf, labels: LabelFolder) -> StudySource:
    """The studies, be it of a folder or of an archive; neither needs to be reachable yet.

    Args:
        studies: as in ``open_labels``.
        conf: says how an archive is used.
        labels: what is labelled keeps its id.

    Raises:
        ConfigurationError: the address of the archive, or its credentials, cannot be.
    """
    if is_archive(studies):
        return open_archive(studies, conf.archive)
    return StudyFolder(Path(studies), labelled=labels.labelled, index_folder=labels.root)
