"""JobFiles: what the process of a scoring is told, and what it writes.

::

    <models>/.scoring/nodule_tiny-1a2b3c4d5e6f.job.json    the last job of a network for these studies
                      nodule_tiny.log                      what its processes wrote
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vpt_plugin.active.job import ScoringJob
from vpt_plugin.durable import make_folder, write_over

_FOLDER = ".scoring"
_MAX_LOG_BYTES = 1 << 20
_LAST_LINES, _LAST_BYTES = 20, 16 << 10


class JobFiles:
    """The files below a folder of models.

    Args:
        models: the folder of models.
    """

    def __init__(self, models: Path) -> None:
        self._folder = models / _FOLDER
        self._began_at: dict[str, int] = {}

    def write(self, job: ScoringJob) -> Path:
        """Write down a job; a log that became long begins anew.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        make_folder(self._folder)
        log = self.log(job.name)
        if log.is_file() and log.stat().st_size > _MAX_LOG_BYTES:
            log.unlink()
        self._began_at[job.name] = log.stat().st_size if log.is_file() else 0
        # Two servers over other studies may share the models: neither's process takes the other's job.
        studies = hashlib.sha256(job.studies.encode()).hexdigest()[:12]
        path = self._folder / f"{job.name}-{studies}.job.json"
        write_over(path, (json.dumps(job.to_json(), indent=1) + "\n").encode())
        return path

    def log(self, name: str) -> Path:
        """Where the processes of ``<task>_<model>`` write."""
        return self._folder / f"{name}.log"

    def last_words(self, name: str) -> list[str]:
        """The last lines of the process that was told its job last; none where it wrote nothing."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(self._began_at.get(name, 0), file.seek(0, 2) - _LAST_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip()][-_LAST_LINES:]
