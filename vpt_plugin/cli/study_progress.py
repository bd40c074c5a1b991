"""How far a study is: a bar per running cell and one for all on a terminal, else a line per finished cell."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vpt_plugin.cli.console import plain, progress_bars
from vpt_plugin.cli.words import duration, figure, progress_in_words

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from vpt_plugin.study.cell_records import Failure
    from vpt_plugin.study.cells import Cell
    from vpt_plugin.study.runner import StudyProgress
    from vpt_plugin.training.progress import Progress

_SAID = ("starting", "preparing", "training")


@contextmanager
def study_display(out: Path) -> Iterator[Callable[[StudyProgress], None]]:
    """Shows where a study is, on stderr.

    Args:
        out: the study's folder, where the results of cells that ended are looked up.
    """
    with progress_bars(time_left=False) as bars:
        yield _Display(out, bars).show


class _Display:
    """What is shown between two looks."""

    def __init__(self, out: Path, bars: Bars) -> None:
        self._out = out
        self._bars = bars
        self._whole = bars.add_task("starting", total=None)
        self._cells: dict[str, TaskID] = {}
        self._began = time.monotonic()
        self._ended = 0
        self._made = ""
        # Where there are no bars: what was said of which cell.
        self._said: set[tuple[str, str]] = set()

    def show(self, now: StudyProgress) -> None:
        """Of the look that was just taken."""
        if now.making:
            self._show_phantoms(now)
            return
        if self._made:
            self._made, self._began = "", time.monotonic()
        for number, (cell, failure) in enumerate(now.ended, 1):
            self._ended += 1
            if failure is not None or self._bars.disable:
                place = now.done + now.failed - len(now.ended) + number
                print(plain(f"[{place}/{now.total}] {self._outcome(cell, failure)}"), file=sys.stderr)
        self._show_cells(now)
        over = now.done + now.failed
        words = [f"{now.done} cells done"]
        words += [f"{now.failed} failed"] if now.failed else []
        if over < now.total and not now.running:
            words.append("starting the next training")
        if self._ended and over < now.total:
            left = (time.monotonic() - self._began) / self._ended * (now.total - over)
            words.append(f"about {duration(left)} left")
        self._bars.update(self._whole, description=", ".join(words), completed=over, total=now.total)

    def _show_phantoms(self, now: StudyProgress) -> None:
        if self._made != now.making and self._bars.disable:
            print(f"making the phantoms of {now.making}", file=sys.stderr)
        self._made = now.making
        self._bars.update(
            self._whole, description=f"making phantoms: {now.making}", completed=now.done, total=now.total
        )

    def _show_cells(self, now: StudyProgress) -> None:
        from vpt_plugin.study.runner_orders import cell_in_words

        running = {cell.id for cell, _ in now.running}
        for name in self._cells.keys() - running:
            self._bars.remove_task(self._cells.pop(name))
        for cell, progress in now.running:
            self._say_once(cell, progress.now)
            if cell.id not in self._cells:
                self._cells[cell.id] = self._bars.add_task("", total=None)
            self._bars.update(
                self._cells[cell.id],
                description=f"{cell_in_words(cell)}: {progress_in_words(progress.now)}",
                completed=progress.now.step,
                total=progress.now.steps or None,
            )

    def _say_once(self, cell: Cell, now: Progress) -> None:
        """A line where there are no bars, when a cell begins and when its training does."""
        from vpt_plugin.study.runner_orders import cell_in_words

        if not self._bars.disable or now.state not in _SAID or (cell.id, now.state) in self._said:
            return
        self._said.add((cell.id, now.state))
        print(plain(f"{cell_in_words(cell)}: {progress_in_words(now)}"), file=sys.stderr)

    def _outcome(self, cell: Cell, failure: Failure | None) -> str:
        from vpt_plugin.study.cell_folder import CellFolder
        from vpt_plugin.study.runner_orders import cell_in_words

        words = cell_in_words(cell)
        if failure is not None:
            return f"{words}: failed\n      {failure.in_words()}"
        result = CellFolder.of(self._out, cell.id).result()
        if result is None:
            return f"{words}: done"
        side, aurocs = ("test", result.auroc) if result.auroc else ("validation", result.validation_auroc)
        told = ", ".join(figure(each.value) for each in aurocs.values())
        return f"{words}: {side} AUROC {told} after {duration(result.seconds)}"
