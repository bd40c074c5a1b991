"""Site: all studies of a folder or an archive, labelled or not, opened as a command or a job names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.store.archive import ArchiveAddress, Credentials, DicomArchive, SeriesFilter
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder

if TYPE_CHECKING:
    from vpt_plugin.training.job import ArchiveFacts

# The labels and the listing of a training, or of a scoring, are those of its beginning.
_ONE_LOOK_SECONDS = 3600.0


@dataclass(frozen=True)
class Site:
    """The studies of a folder or of an archive, labelled or not, with their labels.

    Attributes:
        studies: the folder or the archive.
        labels: what was said about them; of a folder that need not be there yet.
        folder: of the studies; None for an archive.
    """

    studies: StudySource
    labels: LabelFolder
    folder: Path | None


class _Options(TypedDict, total=False):
    wanted: SeriesFilter
    cache_gb: float


def open_site(
    place: str | Path,
    *,
    labels_dir: Path | None = None,
    archive: ArchiveFacts | None = None,
    in_passing: bool = False,
) -> Site:
    """All studies of a folder or an archive, as a command or a job names it; nothing is written there.

    Args:
        place: a folder of studies, or the address of a DICOM archive.
        labels_dir: where labels lie, or will lie, where that is not the usual place.
        archive: how an archive is used; its login comes from the environment.
        in_passing: what is fetched of an archive leaves its cache before anything that readers fetched.

    Raises:
        ConfigurationError: it is neither.
    """
    if "://" in str(place):
        return _open_archive(str(place), labels_dir, archive, in_passing=in_passing)
    path = Path(place)
    if not path.is_dir():
        cause = "this is a file" if path.exists() else "there is no such file or folder"
        raise ConfigurationError(
            f"{path}: {cause}.",
            "Give a folder of studies or the address of a DICOM archive; to learn from, a CSV will do, too.",
        )
    labels = LabelFolder(labels_dir or path / LABELS_FOLDER, fresh_seconds=_ONE_LOOK_SECONDS)
    # Read only: a server beside this writes what it knows of the studies.
    studies = StudyFolder(
        path,
        fresh_seconds=_ONE_LOOK_SECONDS,
        labelled=labels.labelled,
        index_folder=labels.root,
        read_only=True,
    )
    return Site(studies, labels, path)


def _open_archive(
    place: str, labels_dir: Path | None, facts: ArchiveFacts | None, *, in_passing: bool
) -> Site:
    address = ArchiveAddress.parse(place)
    home = address.home_in(vptct_home())
    cache, options = home / "cache", _Options()
    if facts is not None:
        names = ("modality", "date_from", "date_to", "description")
        wanted = {name: getattr(facts, name) for name in names if getattr(facts, name)}
        options = {"wanted": SeriesFilter(**wanted), "cache_gb": facts.cache_gb}
        cache = Path(facts.cache_dir) / address.folder_name / "cache" if facts.cache_dir else cache
    studies = DicomArchive(
        address,
        cache,
        credentials=Credentials.from_environment(os.environ),
        fresh_seconds=_ONE_LOOK_SECONDS,
        in_passing=in_passing,
        **options,
    )
    labels = LabelFolder(labels_dir or home / "labels", fresh_seconds=_ONE_LOOK_SECONDS)
    return Site(studies, labels, None)


def archived_identity(studies: StudySource, study: str, facts: Mapping[str, Any]) -> str:
    """What a study of an archive is, wherever and whenever it was fetched; see ``SourceStudy``.

    Args:
        facts: what the archive says of it.
    """
    return f"{studies.name}\n{study}\n{facts.get('slices') or ''}"
