"""What ``--conf`` may say of a DICOM archive, and the archive made of it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.store.archive import ArchiveAddress, Credentials, DicomArchive, SeriesFilter
from vpt_plugin.store.archive.listing import CT_SERIES
from vpt_plugin.training.job import ArchiveFacts

_FILTER_KEYS = {
    "archive_modality": "modality",
    "archive_from": "date_from",
    "archive_to": "date_to",
    "archive_description": "description",
}
KEYS = ("cache_dir", "cache_gb", *_FILTER_KEYS)
_DEFAULT_CACHE_GB = 50.0


@dataclass(frozen=True)
class ArchiveConf:
    """How the archive is used.

    Attributes:
        cache_dir: the folder with a cache for each archive; None takes the place in ``vptct_home()``.
        cache_gb: how large the cache may become, in 10^9 bytes.
        wanted: which series are studies.
    """

    cache_dir: Path | None = None
    cache_gb: float = _DEFAULT_CACHE_GB
    wanted: SeriesFilter = CT_SERIES

    @property
    def facts(self) -> ArchiveFacts:
        """The same for a process of its own, as JSON can hold it."""
        wanted = self.wanted
        return ArchiveFacts(
            str(self.cache_dir or ""), self.cache_gb, wanted.modality, wanted.date_from, wanted.date_to,
            wanted.description,
        )  # fmt: skip


def is_archive(studies: str) -> bool:
    """Whether ``--studies`` names an archive, not a folder."""
    return "://" in studies


def read_archive_conf(conf: Mapping[str, str]) -> ArchiveConf:
    """The configuration out of MONAI Label's pairs of texts; other keys are passed over.

    Raises:
        ConfigurationError: a value that cannot be.
    """
    cache_dir = Path(conf["cache_dir"]).expanduser().absolute() if conf.get("cache_dir") else None
    if cache_dir is not None and cache_dir.exists() and not cache_dir.is_dir():
        raise ConfigurationError(f"--conf cache_dir: {cache_dir} is no folder.")
    wanted = CT_SERIES
    for key, attribute in _FILTER_KEYS.items():
        text = conf.get(key, "").strip()
        if text:
            wanted = _narrowed(wanted, key, attribute, text)
    return ArchiveConf(cache_dir, _gigabytes(conf), wanted)


def open_archive(
    studies: str, conf: ArchiveConf, environment: Mapping[str, str] = os.environ
) -> DicomArchive:
    """The archive at the address in ``--studies``; it is not asked yet, and may be down.

    Args:
        studies: the address.
        conf: how to use it.
        environment: where the credentials are.

    Raises:
        ConfigurationError: the address or the credentials cannot be.
    """
    address = ArchiveAddress.parse(studies)
    home = archive_home(address) if conf.cache_dir is None else conf.cache_dir / address.folder_name
    return DicomArchive(
        address,
        home / "cache",
        credentials=Credentials.from_environment(environment),
        wanted=conf.wanted,
        cache_gb=conf.cache_gb,
    )


def archive_home(address: ArchiveAddress) -> Path:
    """The folder of what belongs to one archive: its ``labels`` and, unless told otherwise, its ``cache``."""
    return address.home_in(vptct_home())


def archive_labels_dir(studies: str) -> Path:
    """Where the labels of an archive's studies lie, unless ``--conf labels_dir`` says otherwise.

    Raises:
        ConfigurationError: the address cannot be.
    """
    return archive_home(ArchiveAddress.parse(studies)) / "labels"


def _narrowed(wanted: SeriesFilter, key: str, attribute: str, text: str) -> SeriesFilter:
    try:
        return replace(wanted, **{attribute: text.upper() if attribute == "modality" else text})
    except ConfigurationError as error:
        raise ConfigurationError(f"--conf {key}: {error.message}", error.hint) from error


def _gigabytes(conf: Mapping[str, str]) -> float:
    text = conf.get("cache_gb", str(_DEFAULT_CACHE_GB))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf):
        raise ConfigurationError(
            f"--conf cache_gb {text[:50]}: this is no size;", "give a number above 0, such as 50."
        )
    return number
