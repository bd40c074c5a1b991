"""The studies that the command line names, in a folder or in a DICOM archive, with their labels."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vpt_plugin.cli.console import plain
from vpt_plugin.errors import ConfigurationError, StudyNotFoundError

if TYPE_CHECKING:
    from vpt_plugin.store.labels import LabelFolder
    from vpt_plugin.store.source import StudySource

_ONE_LOOK_SECONDS = 3600.0


@contextmanager
def opened_studies(
    studies: str, labels: Path | None, narrowed: Mapping[str, str], *, new_labels: bool = False
) -> Iterator[tuple[StudySource, LabelFolder]]:
    """Where the studies come from, and their labels; what was found is not looked for again meanwhile.

    Args:
        studies: a folder, or the address of a DICOM archive.
        labels: their folder, where it is elsewhere.
        narrowed: of an archive, the fields of ``SeriesFilter`` that are wanted.
        new_labels: their folder need not be there, only the one around it: the first label makes it.

    Raises:
        ConfigurationError: there is no such folder or archive, or a folder is to be narrowed.
    """
    if labels is not None:
        require_labels(labels, new=new_labels)
    if "://" in studies:
        with _opened_archive(studies, labels, narrowed) as opened:
            yield opened
        return
    if narrowed:
        raise ConfigurationError(
            "--modality, --from, --to and --description choose among the series of an archive;",
            "all studies of a folder are listed.",
        )
    root = Path(studies)
    if not root.is_dir():
        raise ConfigurationError(f"{root}: there is no such folder.", "Give the folder of the studies.")
    # Only now: what reads studies takes half a second to load, which nobody should wait for to be refused.
    from vpt_plugin.store.labels import LabelFolder
    from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder

    label_folder = LabelFolder(labels or root / LABELS_FOLDER, fresh_seconds=_ONE_LOOK_SECONDS)
    source = StudyFolder(
        root,
        fresh_seconds=_ONE_LOOK_SECONDS,
        labelled=label_folder.labelled,
        index_folder=label_folder.root,
        read_only=True,
    )
    yield source, label_folder


def require_labels(labels: Path, *, new: bool) -> None:
    """Refuse a folder of labels that is not there, for its name may be mistyped.

    Args:
        labels: the folder.
        new: it need not be there, only the one around it.

    Raises:
        ConfigurationError: it is not there.
    """
    if labels.is_dir():
        return
    if not (new and labels.absolute().parent.is_dir()):
        raise ConfigurationError(f"{labels}: there is no such folder.", "Give the folder of the labels.")
    print(plain(f"There are no labels in {labels} yet."), file=sys.stderr)


@contextmanager
def _opened_archive(
    address: str, labels: Path | None, narrowed: Mapping[str, str]
) -> Iterator[tuple[StudySource, LabelFolder]]:
    from vpt_plugin.models.weights import vptct_home
    from vpt_plugin.store.archive import ArchiveAddress, Credentials, DicomArchive, SeriesFilter
    from vpt_plugin.store.labels import LabelFolder

    archive, wanted = ArchiveAddress.parse(address), SeriesFilter(**narrowed)
    label_folder = LabelFolder(
        labels or archive.home_in(vptct_home()) / "labels", fresh_seconds=_ONE_LOOK_SECONDS
    )
    # Not the server's own cache: it may be running beside this.
    with TemporaryDirectory(prefix="vptct-archive-") as cache:
        credentials = Credentials.from_environment(os.environ)
        source = DicomArchive(
            archive, Path(cache), credentials=credentials, wanted=wanted, fresh_seconds=_ONE_LOOK_SECONDS
        )
        yield source, label_folder


def required(source: StudySource, study: str) -> str:
    """The id that counts, of a study that is there.

    Raises:
        StudyNotFoundError: there is none; says which command lists them.
        ArchiveError: it is not known, and the archive cannot be asked.
    """
    try:
        return source.require(study)
    except StudyNotFoundError as error:
        hint = f"{error.hint} `vpt studies list` lists all."
        raise StudyNotFoundError(error.study, error.cause, hint) from error
