"""Masters: studies of the training cache in Hounsfield units, from which any task's levels are made.

A second task with another HU window then reads no DICOM, and fetches nothing from the archive. A master is
twice as large as the levels of one window, and a site with one task never needs it. So masters only fill room
that would be empty: none is written where something would have to go for it, and they are the first to go.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from vpt_plugin.ct.reduced import ReducedStudy
from vpt_plugin.data.prepared_entry import DAMAGE, AboutStudy, Entry, read_entry, remove_entry, write_entry
from vpt_plugin.data.prepared_room import MASTERS, PreparedRoom

# So much of the disk stays free of what can be done without.
_FREE_SHARE = 0.05
_logger = logging.getLogger(__name__)


class Masters:
    """The masters of one size of slices; several threads and processes may ask.

    Args:
        folder: of the training cache.
        room: of that folder.
        kept: whether new ones are written.
    """

    def __init__(self, folder: Path, room: PreparedRoom, *, kept: bool) -> None:
        self._folder = folder / MASTERS
        self._room = room
        self._kept = kept

    def find(self, key: str) -> Entry | None:
        """The master of that key, with its checksum looked at; None where there is none.

        A damaged one is removed.
        """
        place = self._folder / key
        if not place.is_dir():
            return None
        try:
            entry = read_entry(place, whole=True)
        except DAMAGE as error:
            damage = str(error) or type(error).__name__
        else:
            with suppress(FileNotFoundError):
                os.utime(place)
            return entry
        # Only here: as long as the error is handled, it holds on to the map of the file.
        if place.is_dir():
            _logger.warning("the master %s is damaged (%s) and is made again", key, damage)
            remove_entry(place)
        return None

    def keep(self, key: str, study: ReducedStudy) -> None:
        """Write a master, where there is room for it; nothing fails where there is none."""
        if not self._kept or not self._room.has_room_for(study.hu.nbytes) or not self._disk_has(study):
            return
        try:
            write_entry(self._folder / key, AboutStudy.of(study), study.hu)
        except OSError as error:
            _logger.info("%s is prepared without a master: %s", study.study, error)

    def _disk_has(self, study: ReducedStudy) -> bool:
        disk = shutil.disk_usage(self._folder.parent)
        return disk.free - study.hu.nbytes >= _FREE_SHARE * disk.total
