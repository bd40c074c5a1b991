"""KeptStudies: what was read of the studies of a set, so that an interrupted import goes on."""

from __future__ import annotations

import json
from pathlib import Path

from vpt_plugin.data.importers.importer import ReadStudy
from vpt_plugin.durable import append, make_folder
from vpt_plugin.errors import LabelError


class KeptStudies:
    """A file with one line of JSON per study; one process writes.

    Args:
        file: it need not be there; None keeps nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._kept: dict[str, tuple[str, ReadStudy]] = {}
        if file is not None and file.exists():
            for line in file.read_bytes().splitlines():
                self._take(line)

    def key(self, name: str) -> str:
        """The key under which the study was kept last; "" where it never was."""
        return self._kept[name][0] if name in self._kept else ""

    def study(self, name: str) -> ReadStudy:
        """What was read of a study that is kept."""
        return self._kept[name][1]

    def add(self, name: str, key: str, study: ReadStudy) -> None:
        """Keep a study; it is on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        self._kept[name] = (key, study)
        if self._file is not None:
            make_folder(self._file.parent)
            line = json.dumps({"name": name, "key": key, "study": study.to_json()})
            append(self._file, f"{line}\n".encode())

    def forget(self) -> None:
        """Everything is where it belongs: nothing needs to be kept any more.

        Raises:
            OSError: the file cannot be removed.
        """
        self._kept.clear()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _take(self, line: bytes) -> None:
        """A line that a killed process left unfinished is of a study to be read again."""
        try:
            data = json.loads(line)
            self._kept[data["name"]] = (data["key"], ReadStudy.from_json(data["study"]))
        except (ValueError, KeyError, TypeError, LabelError):
            return
