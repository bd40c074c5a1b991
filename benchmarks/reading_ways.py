"""The ways of ``reading.py``, each of which can be had in a process that knows nothing of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memory import MemoryOf

from vpt_plugin.tasks import TASKS

PIXELS = 256
TASK = TASKS["pe"]
PAPER, STOCK, OURS = "(a)", "(b)", "ours"


def ours(study: Path) -> object:
    """(slices, 256, 256) uint8."""
    from vpt_plugin.ct.intensity import window_hu
    from vpt_plugin.ct.reduced import read_reduced

    return window_hu(read_reduced(study, pixels=PIXELS).hu, TASK.hu_window)


def theirs(study: Path) -> object:
    """(3, slices, 256, 256) float32."""
    from peers import paper

    return paper.read(study, TASK.hu_window, TASK.offset, pixels=PIXELS)


def stock(study: Path) -> object:
    """(1, 256, 256, slices) float32."""
    from peers import monai_stock

    return monai_stock.read(study, TASK.hu_window, pixels=PIXELS)


WAYS: dict[str, Callable[[Path], object]] = {PAPER: theirs, STOCK: stock, OURS: ours}


class Peak:
    """A way whose answer is the memory that it takes.

    Args:
        small: a folder that is read first, so that libraries are loaded.
        study: the folder.
        way: of ``WAYS``.
    """

    def __init__(self, small: str, study: str, way: str) -> None:
        self._study, self._read = Path(study), WAYS[way]
        self._read(Path(small))

    def __call__(self) -> float:
        """Peak memory of one reading, its answer included, in MiB beyond what the process had."""
        with MemoryOf() as taken:
            self._read(self._study)
        return taken.mib
