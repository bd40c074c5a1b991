"""One cell on a worker: what Ray runs, on this computer or another one of the cluster.

How far it is lies in ``cells/<id>/progress.json``. A plain file and no message of Ray's: it is there on every
computer that shares the study's folder, whoever started the study may come and go, and nothing is lost or
has to be kept running when a worker is killed.
"""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock, Timeout

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import DivergedError, VptError
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Failure
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.plan import Plan
from vpt_plugin.training.progress import Progress

_PROGRESS, _LOCK = "progress.json", ".lock"
_SECONDS_BETWEEN = 0.5
# A worker whose study was killed ends within a second or two; on a share the lock takes longer to go.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class CellOrder:
    """What a worker is told.

    Attributes:
        cell: of the plan.
        plan: with its manifests.
        out: the study's folder.
        cache: where prepared studies are kept; None takes ``prepared`` in ``out``.
        weights_dir: where published weights lie; None takes the folder of the worker's computer.
        threads: of the CPU.
        device: as in ``choose_device``.
    """

    cell: Cell
    plan: Plan
    out: Path
    cache: Path | None = None
    weights_dir: Path | None = None
    threads: int = 1
    device: str = "auto"


@dataclass(frozen=True)
class CellProgress:
    """How far a cell is.

    Attributes:
        process: that trains it.
        computer: that the process is on.
        now: of the training.
    """

    process: int
    computer: str
    now: Progress

    @classmethod
    def read(cls, out: Path, cell: str) -> CellProgress | None:
        """Of a cell, by its id; None where it has not begun."""
        try:
            data = json.loads((CellFolder.of(out, cell).root / _PROGRESS).read_text(encoding="utf-8"))
            known = {each.name for each in fields(Progress)}
            now = Progress(**{name: value for name, value in data["now"].items() if name in known})
            return cls(data["process"], data["computer"], now)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # A share may show half a file for a moment; the next look is half a second away.

    def write(self, out: Path, cell: str) -> None:
        """Beside the cell's results; readers never see half of it."""
        data = {**asdict(self), "now": self.now.to_json()}
        path = CellFolder.of(out, cell).root / _PROGRESS
        write_over(path, json.dumps(data).encode(), durable=False)

    @staticmethod
    def forget(out: Path, cell: str) -> None:
        """Of a cell that is not running."""
        (CellFolder.of(out, cell).root / _PROGRESS).unlink(missing_ok=True)


def run_order(order: CellOrder) -> Failure | None:
    """Train the cell; what goes wrong is handed back, and lies in the cell's folder.

    Returns:
        None where it is done.
    """
    folder = CellFolder.of(order.out, order.cell.id)
    try:
        make_folder(folder.root)
        with FileLock(folder.root / _LOCK, timeout=_PATIENCE_SECONDS):
            # Before the libraries are loaded, which takes a while.
            _write_progress(order, Progress("starting"))
            _train(order)
        return None
    except Timeout:
        running = CellProgress.read(order.out, order.cell.id)
        where = f" (process {running.process} on {running.computer})" if running else ""
        failure = Failure(
            f"{order.cell.id}: another process trains this very cell{where}.",
            "Wait for it or end it, then try again with --retry-failed.",
        )
    except Exception as error:
        failure = failure_of(order.cell, error)
    folder.write_failure(failure)
    return failure


def _train(order: CellOrder) -> None:
    import torch

    from vpt_plugin.models.weights import WeightsFolder
    from vpt_plugin.study.cell_run import run_cell

    torch.set_num_threads(order.threads)
    try:
        run_cell(
            order.cell,
            order.plan,
            order.out,
            cache=order.cache,
            weights=WeightsFolder(order.weights_dir),
            device=order.device,
            progress=_telling(order),
        )
    finally:
        CellProgress.forget(order.out, order.cell.id)


def failure_of(cell: Cell, error: Exception) -> Failure:
    """An error as it is kept, with its trace where nobody expected it."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, DivergedError):
        return Failure(f"{cell.id}: {error.message}", error.hint or "Take a lower learning rate.", trace)
    if isinstance(error, VptError):
        return Failure(f"{cell.id}: {error.message}", error.hint, trace)
    if isinstance(error, OSError):
        hint = "Make room, or see who may write there; then try again with --retry-failed."
        return Failure(f"{cell.id}: {error}", hint, trace)
    words = f"{type(error).__name__}: {error}".rstrip(": .")
    return Failure(
        f"{cell.id} met an error that nobody expected: {words}.", "failure.json says where.", trace
    )


def _telling(order: CellOrder) -> Callable[[Progress], None]:
    """Writes progress down, every half second at most; what a validation says is never left out."""
    last_at, last = 0.0, Progress("")

    def tell(now: Progress) -> None:
        nonlocal last_at, last
        news = (now.state, now.epoch, now.validation_auroc) != (last.state, last.epoch, last.validation_auroc)
        if not news and time.monotonic() - last_at < _SECONDS_BETWEEN:
            return
        last_at, last = time.monotonic(), now
        _write_progress(order, now)

    return tell


def _write_progress(order: CellOrder, now: Progress) -> None:
    CellProgress(os.getpid(), platform.node(), now).write(order.out, order.cell.id)
