"""Which study next: strategies that MONAI Label's clients can choose from."""

from __future__ import annotations

import random
import time
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from .datastore import StudyDatastore


class RandomStudy(Strategy):
    """A study without a label: one of those that were offered to nobody, or longest ago."""

    def __init__(self) -> None:
        super().__init__("Random Strategy")

    def __call__(self, request: dict[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """MONAI Label's call; None where every study has a label.

        Args:
            request: ``strategy`` is the name it was asked for by.
            datastore: the studies.
        """
        studies = datastore.get_unlabeled_images()
        if not studies:
            return None
        offered = {study: datastore.notes.offered_at(study, request["strategy"]) for study in studies}
        longest_ago = min(offered.values())
        chosen = random.choice([study for study in studies if offered[study] == longest_ago])  # noqa: S311
        return {"id": chosen, "weight": int(time.time()) - longest_ago}
