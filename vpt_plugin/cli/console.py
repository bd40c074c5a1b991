"""What the commands print: tables on stdout, errors and progress on stderr."""

from __future__ import annotations

import platform
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from vpt_plugin.durable import write_new
from vpt_plugin.errors import AnotherProcessFailedError, ConfigurationError, VptError
from vpt_plugin.training.torchrun import torchrun_rank, torchrun_size

# A pipe or a file has no width; nothing may be cut off there.
_WIDTH_OF_A_PIPE = 400
_CUT = "..."
# Shorter names tell nothing any more: then lines are folded.
_MIN_SHORTENED = 16
# Controls, marks such as those that turn the direction of writing, halves of characters, separators.
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def print_error(error: Exception) -> None:
    """An error on stderr: what is wrong, and below it the way out.

    Of several processes that train together each tells its own; what another one told is not told again.
    """
    if isinstance(error, AnotherProcessFailedError):
        return
    rank = torchrun_rank()
    who = f" in process {rank} of {torchrun_size()} on {platform.node()}" if rank else ""
    hint = error.hint if isinstance(error, VptError) else ""
    message = error.message if isinstance(error, VptError) else str(error)
    print(f"error{who}: {plain(message)}", file=sys.stderr)
    if hint:
        print(f"       {plain(hint)}", file=sys.stderr)


def plain(text: str) -> str:
    """The text with everything but new lines that a terminal would obey, or hide, written as in Python.

    What is printed may come from anybody: who may label may write a comment, and name files.
    """
    return "".join(
        ascii(each)[1:-1] if unicodedata.category(each) in _OBEYED and each != "\n" else each
        for each in text.replace("\r\n", "\n")
    )


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), shorten: str = ""
) -> None:
    """A table on stdout.

    Args:
        columns: their names.
        rows: their cells.
        right: the columns that are set flush right.
        shorten: the column whose cells lose their middle where the table is wider than the terminal.
    """
    console = _console(sys.stdout)
    rows = [[plain(cell) for cell in row] for row in rows]
    if shorten:
        rows = _fitted(columns, rows, columns.index(shorten), console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_or_write(data: bytes, output: Path | None) -> None:
    """To stdout as it is, or into a new file.

    Raises:
        ConfigurationError: the file is there already.
        OSError: it cannot be written.
    """
    if output is None:
        typer.echo(data, nl=False)
        return
    try:
        write_new(output.absolute(), data)
    except FileExistsError:
        raise ConfigurationError(f"{output} is there already;", "choose another name.") from None


def require_new(output: Path) -> None:
    """Refuse a file that ``print_or_write`` could not write, before minutes are spent on what goes into it.

    Raises:
        ConfigurationError: it is there already, or its folder is not there or not writable.
    """
    if output.exists():
        raise ConfigurationError(f"{output} is there already;", "choose another name.")
    try:
        with TemporaryFile(dir=output.absolute().parent):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written: {error.strerror};", "choose another folder."
        ) from error


def _fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], index: int, width: int
) -> Sequence[Sequence[str]]:
    """The rows with one column shortened so that they fit, unless two of its cells would look the same."""
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    # One blank beside each column, and one at the edge.
    room = width - sum(widths) - len(widths) - 1 + widths[index]
    cells = {row[index]: middle_cut(row[index], max(room, _MIN_SHORTENED)) for row in rows}
    if len(set(cells.values())) < len(cells):
        return rows
    return [(*row[:index], cells[row[index]], *row[index + 1 :]) for row in rows]


def middle_cut(text: str, width: int) -> str:
    """The text, or its beginning and its end with dots between them: a UID tells most by those."""
    if len(text) <= width:
        return text
    kept = width - len(_CUT)
    return f"{text[: kept // 2]}{_CUT}{text[len(text) - (kept + 1) // 2 :]}"


@contextmanager
def progress_bars(*, time_left: bool = True) -> Iterator[Progress]:
    """Progress bars on stderr, shown only where that is a terminal; each counts what its name says.

    Args:
        time_left: whether the bars say it themselves, from their speed.
    """
    console = _console(sys.stderr)
    with Progress(
        *progress_columns(time_left=time_left),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # What goes to a file must not be led to the screen, where the bars are.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield progress


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar that counts, and notes beside it on stderr, each as it comes.

    Args:
        what: is counted.

    Yields:
        Takes how many are done, how many there are, and a note or "".
    """
    with progress_bars() as bars:
        bar = bars.add_task(what, total=None)

        def show(done: int, total: int, note: str) -> None:
            bars.update(bar, completed=done, total=total)
            if note:
                print(plain(note), file=sys.stderr)

        yield show


def progress_columns(*, time_left: bool) -> list[ProgressColumn]:
    """What a line of progress shows; on a narrow terminal the words take two lines and nothing is cut."""
    whole = Column(no_wrap=True)
    return [
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=False)),
        BarColumn(bar_width=12, table_column=whole),
        MofNCompleteColumn(table_column=whole),
        TimeElapsedColumn(table_column=whole),
        *([TimeRemainingColumn(table_column=whole)] if time_left else []),
    ]


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else _WIDTH_OF_A_PIPE
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
