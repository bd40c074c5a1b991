"""The studies' index: what the last look found, so that the next start need not read ten thousand headers.

It is a cache and never the truth. Each folder is asked for its time stamp at every start, each study that
the index names is looked for, and whatever is wrong with the index means that it is left out. Nothing is lost
when it is deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.store.collector import collector_at_rest
from vpt_plugin.store.listings import ROOT, Listing, SliceFile, may_be_listed

FILE_NAME = "studies-index.json"
SCHEMA = "vptct.index/2"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudiesIndex:
    """The index of one studies folder.

    Args:
        path: the file.
        root: the studies folder; the index of another one does not count.
    """

    path: Path
    root: Path

    def load(self) -> dict[str, Listing]:
        """The listings by path below the root, see ``Look``; none where the index is absent or wrong."""
        try:
            content = self.path.read_bytes()
            with collector_at_rest():
                return self._parse(json.loads(content))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _logger.warning("the studies' index is left out, and made anew: %s", error)
            return {}

    def save(self, listings: Mapping[str, Listing]) -> None:
        """Write it, in place of the one before. Where that does not work, the next start takes longer."""
        with collector_at_rest():
            content = self._content(listings)
        try:
            make_folder(self.path.parent)
            write_over(self.path, content, durable=False)
        except OSError as error:
            _logger.info("the studies' index is not written: %s", error)

    def _content(self, listings: Mapping[str, Listing]) -> bytes:
        folders = {folder: _to_json(listing) for folder, listing in listings.items()}
        content = {"schema": SCHEMA, "root": str(self.root), "sha256": _digest(folders), "folders": folders}
        return json.dumps(content).encode()

    def _parse(self, content: Any) -> dict[str, Listing]:
        """The listings.

        Raises:
            ValueError, TypeError: it is no index of this folder, or was changed by another hand.
        """
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"it is not of the schema {SCHEMA}")
        folders = content.get("folders")
        if content.get("root") != str(self.root) or not isinstance(folders, dict):
            raise ValueError("it is of another folder")
        if content.get("sha256") != _digest(folders):
            raise ValueError("it is damaged")
        return {folder: _from_json(folder, entry) for folder, entry in folders.items()}


def _to_json(listing: Listing) -> list[Any]:
    known = listing.slice_file
    slice_file: tuple[Any, ...] = ()
    if known is not None:
        # Field by field: astuple copies each deeply, for most of the time that all of the index takes.
        slice_file = (known.name, known.size_bytes, known.changed_ns, known.examination, known.series)
    return [
        listing.settled, listing.changed_ns, listing.folders, listing.files, slice_file, listing.links
    ]  # fmt: skip


def _from_json(folder: str, entry: Any) -> Listing:
    """One listing.

    Raises:
        ValueError, TypeError: it does not say what a look at a folder could have found.
    """
    settled, changed_ns, folders, files, slice_file, links = entry
    known = SliceFile(*slice_file) if slice_file else None
    listing = Listing(changed_ns, tuple(folders), tuple(files), known, tuple(links), settled is True)
    names = [*listing.folders, *listing.files, *listing.links, *([known.name] if known else [])]
    numbers = [changed_ns, *([known.size_bytes, known.changed_ns] if known else [])]
    if (
        not all(isinstance(number, int) for number in numbers)
        or not all(_is_name(folder, name) for name in names)
        or not all(is_study_file(Path(name)) for name in listing.files)
        or not all(isinstance(uid, str) for uid in ((known.examination, known.series) if known else ()))
    ):
        raise ValueError(f"what it says of {folder or ROOT!r} cannot be")
    return listing


def _is_name(folder: str, name: Any) -> bool:
    """Whether this is the plain name of something in a folder, and leads nowhere else."""
    return (
        isinstance(name, str) and name != "" and not set(name) & set("/\\\0") and may_be_listed(folder, name)
    )


def _digest(folders: Any) -> str:
    return hashlib.sha256(json.dumps(folders, sort_keys=True).encode()).hexdigest()
