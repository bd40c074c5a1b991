"""The module ``SampleData``: keeps what modules offer; downloads nothing."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

#: What was registered, in order: the keyword arguments.
registered: list[dict[str, Any]] = []


class SampleDataLogic:
    """Where modules register their samples."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **source: Any) -> None:
        """Offer a sample under a category; one that is offered already is offered once."""
        entry = {"category": category, **source}
        if entry not in registered:
            registered.append(entry)


def install_sample_data() -> None:
    """Make ``import SampleData`` work, as it does in Slicer."""
    module = ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    sys.modules["SampleData"] = module
