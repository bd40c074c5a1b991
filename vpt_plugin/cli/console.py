"""What the commands print: tables on stdout, errors and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from vpt_plugin.errors import VptError

# A pipe or a file has no width; nothing may be cut off there.
_WIDTH_OF_A_PIPE = 400


def print_error(error: Exception) -> None:
    """An error on stderr: what is wrong, and below it the way out."""
    hint = error.hint if isinstance(error, VptError) else ""
    message = error.message if isinstance(error, VptError) else str(error)
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"       {hint}", file=sys.stderr)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout; the columns named in ``right`` are set flush right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console(sys.stdout).print(table)


@contextmanager
def progress_bars(*, time_left: bool = True) -> Iterator[Progress]:
    """Progress bars on stderr, shown only where that is a terminal; each counts what its name says.

    Args:
        time_left: whether the bars say it themselves, from their speed.
    """
    console = _console(sys.stderr)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if time_left else []),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # What goes to a file must not be led to the screen, where the bars are.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield progress


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else _WIDTH_OF_A_PIPE
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
