"""BulkSource: the studies of a folder, a CSV or an archive, by id, and what opens one of them on a worker.

Of a study no more than its id and its place is in memory; a hundred thousand of them are some 50 MB. The
driver lists them, the workers open them, so both see a folder under the same path.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vpt_plugin.errors import ConfigurationError, ManifestError
from vpt_plugin.store.opening import open_study
from vpt_plugin.store.source import OpenedStudy, StudySource
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.training.site import open_site

# What tells a worker where a study lies; small, because it is sent with every study.
Where = Any
Opener = Callable[[str, Where], AbstractContextManager[OpenedStudy]]
_STUDY, _PATH = "study", "path"


@dataclass(frozen=True)
class BulkSource:
    """All studies to be answered.

    Attributes:
        origin: where they come from, which tells sources with equal ids apart.
        studies: where each lies, by id, in the order in which they are read.
        opener: opens one of them, on any computer that sees them; can be pickled.
    """

    origin: str
    studies: Mapping[str, Where]
    opener: Opener


def open_bulk_source(place: str) -> BulkSource:
    """The studies that are there now.

    Args:
        place: a folder of studies, a CSV with the columns study and path, or the address of a DICOM archive,
            whose login comes from the environment.

    Raises:
        ConfigurationError: it is none of these, or there is no study.
        ManifestError: the CSV cannot be used.
        ArchiveUnreachableError: the archive, or the folder, cannot be asked.
    """
    source = _opened(place)
    if not source.studies:
        raise ConfigurationError(f"{place}: there is no study in it.")
    return source


def _opened(place: str) -> BulkSource:
    if "://" not in place and Path(place).is_file():
        return _of_csv(Path(place).absolute())
    site = open_site(place, in_passing=True)
    if isinstance(site.studies, StudyFolder):
        root = site.studies.root.absolute()
        return BulkSource(site.studies.origin, site.studies.studies(), partial(_open_in_folder, root))
    return BulkSource(site.studies.origin, dict.fromkeys(site.studies.ids()), _ArchiveOpener(place))


def _of_csv(path: Path) -> BulkSource:
    """Every row of a CSV; a manifest to train on will do, its other columns are not read."""
    studies: dict[str, str] = {}
    lines: dict[str, int] = {}
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := {_STUDY, _PATH} - set(reader.fieldnames or ()):
                raise ManifestError(
                    f"{path}, line 1: column {min(missing)} is missing.",
                    "The first line must name study and path, separated by commas.",
                )
            for row in reader:
                study, where = ((row[name] or "").strip() for name in (_STUDY, _PATH))
                if not study or not where:
                    raise ManifestError(f"{path}, line {reader.line_num}: study or path is empty.")
                if study in studies:
                    raise ManifestError(
                        f"{path}, line {reader.line_num}: the study {study!r} is in line {lines[study]} "
                        "already.",
                        "Each study needs a name of its own.",
                    )
                studies[study], lines[study] = where, reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read: {error}.") from error
    return BulkSource(str(path.resolve()), studies, partial(_open_file, path.parent))


def place_of(where: Where) -> str:
    """The path that a CSV gives a study; "" in folders and archives, where the id leads to it."""
    return where if isinstance(where, str) else ""


@contextmanager
def _open_file(folder: Path, study: str, where: Where) -> Iterator[OpenedStudy]:
    yield OpenedStudy(folder / where)


def _open_in_folder(root: Path, study: str, where: Where) -> AbstractContextManager[OpenedStudy]:
    return open_study(root, where)


class _ArchiveOpener:
    """Fetches series of an archive into the cache of the computer that it runs on.

    Args:
        address: of the archive.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._studies: StudySource | None = None

    def __call__(self, study: str, where: Where) -> AbstractContextManager[OpenedStudy]:
        if self._studies is None:
            self._studies = open_site(self._address, in_passing=True).studies
        return self._studies.opened(study)
