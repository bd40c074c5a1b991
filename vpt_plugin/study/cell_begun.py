"""BegunTraining: what a cell's training was begun of, so that what it published is known again.

A process may be killed when the training is over, and before anybody has written down what came out of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.durable import write_over
from vpt_plugin.models.card import ModelCard
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Provenance
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.run_folder import has_runs

SCHEMA = "vptct.cell-begun/1"
_FILE = "begun.json"


@dataclass(frozen=True)
class BegunTraining:
    """A training of a cell that was begun.

    Attributes:
        facts: what it depends on, as JSON.
        before: SHA-256 of the weights of every version that the cell's store had then.
        provenance: as of its beginning: nothing of what comes out is in it.
    """

    facts: Mapping[str, Any]
    before: tuple[str, ...]
    provenance: Provenance

    @classmethod
    def read(cls, folder: CellFolder, facts: Mapping[str, Any]) -> BegunTraining | None:
        """The one that was begun of these facts; None where there is none, or it cannot be read any more."""
        try:
            data = json.loads(_file(folder).read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA or data["facts"] != facts:
                return None
            return cls(facts, tuple(data["before"]), Provenance(**data["provenance"]))
        except (OSError, ValueError, KeyError, TypeError):
            # All that is lost is that a training which is over may be done again.
            return None

    def write(self, folder: CellFolder) -> None:
        """Write it into the cell's folder.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        data = {"schema": SCHEMA, **asdict(self)}
        write_over(_file(folder), (json.dumps(data, indent=1) + "\n").encode())

    def outcome(self, store: ModelStore) -> ModelCard | None:
        """What it published; None where it is not over, so that ``finetune`` has to go on with it."""
        if has_runs(store.root):
            return None
        return next((card for card in store.cards() if card.weights_sha256 not in self.before), None)


def _file(folder: CellFolder) -> Path:
    return folder.root / _FILE
