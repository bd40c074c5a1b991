"""One training in a process of its own: ``python -m vpt_plugin.training.worker JOB.json``.

A process of its own gives all memory of CPU and GPU back when it ends, can be ended at any moment, and cannot
take a server down with it. Who starts it keeps its standard input open: when that closes, its owner has died,
and it ends at once. What happens is told on standard output, one JSON object per line::

    {"progress": {...}}                             as ``Progress.to_json``
    {"result": {"version": 3, "served": true, ...}} the last line of a training that ended well
    {"error": {"message": "...", "hint": "..."}}    the last line of one that could not; exit status 1

An error that nobody expected has ``"unexpected": true`` besides; the end of the log says where it came from.
Everything else that anything prints goes to standard error, the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from vpt_plugin.errors import VptError
from vpt_plugin.training.job import TrainingJob

if TYPE_CHECKING:
    from vpt_plugin.training.finetune import FinetuneResult
    from vpt_plugin.training.progress import Progress

# Behind everything that answers people; on a GPU the processor only feeds it.
_NICENESS = 10
# Of -1000 to 1000: where the memory does not suffice, a training can go on later, a server cannot.
_FIRST_TO_GO = "500"
_PR_SET_PDEATHSIG = 1
# Steps of a small network come faster than anybody looks.
_SECONDS_BETWEEN_STEPS = 0.2
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run the training that the file orders; the exit status."""
    told = _take_over_stdout()
    _end_with_owner()
    _end_at_sigterm()
    _step_back()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    tell = Teller(told)
    try:
        (path,) = arguments
        tell.result(run(TrainingJob.read(Path(path)), tell.progress))
    except VptError as error:
        tell.error(error.message, error.hint)
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            _logger.exception("the disk is full")
            tell.error(f"the disk is full: {error}.", "Make room on that disk, then train again.")
            return 1
        words = f"{type(error).__name__}: {error}".rstrip(": .")
        tell.error(
            f"the training met an error that nobody expected: {words}.",
            "The end of its log says where.",
            unexpected=True,
        )
        raise
    return 0


def run(job: TrainingJob, progress: Callable[[Progress], None]) -> FinetuneResult:
    """Do the training.

    Raises:
        VptError: what ``finetune`` raises, or the studies cannot be had.
    """
    # Imported here: the job is read, and a wrong one told, before torch is loaded.
    from vpt_plugin.models.catalog import get_model
    from vpt_plugin.tasks import get_task, load_task_file
    from vpt_plugin.training.config import FinetuneConfig
    from vpt_plugin.training.finetune import finetune
    from vpt_plugin.training.model_store import ModelStore
    from vpt_plugin.training.sources import open_source

    task = get_task(job.task, tuple(load_task_file(Path(name)) for name in job.task_files))
    source = open_source(
        job.studies, labels_dir=Path(job.labels_dir) if job.labels_dir else None, archive=job.archive
    )
    return finetune(
        source,
        task,
        get_model(job.model),
        FinetuneConfig.from_dict(job.settings),
        store=ModelStore(Path(job.models_dir) if job.models_dir else None),
        cache=Path(job.cache) if job.cache else None,
        prepared_gb=job.prepared_gb,
        device=job.device,
        progress=progress,
        by=job.by,
    )


class Teller:
    """Writes what happens as lines of JSON.

    Args:
        stream: where to; nothing else may write there.
        clock: seconds that only grow.
    """

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last: tuple[Any, ...] = ()
        self._told_at = float("-inf")

    def progress(self, now: Progress) -> None:
        """Tell where the training is; steps that come fast are not all told."""
        at = (now.state, now.fold, now.epoch)
        if at == self._last and not now.note and self._clock() - self._told_at < _SECONDS_BETWEEN_STEPS:
            return
        self._last, self._told_at = at, self._clock()
        self._line({"progress": now.to_json()})

    def result(self, result: FinetuneResult) -> None:
        """Tell how it ended."""
        comparison = None if result.comparison is None else result.comparison.to_json()
        self._line(
            {
                "result": {
                    "version": result.card.version,
                    "served": result.served,
                    "decision": result.decision,
                    "validation_auroc": {
                        name: each.to_json() for name, each in result.card.validation_auroc.items()
                    },
                    "comparison": comparison,
                    "warnings": list(result.warnings),
                    "report": result.report is not None,
                }
            }
        )

    def error(self, message: str, hint: str, *, unexpected: bool = False) -> None:
        """Tell why it did not end well."""
        told: dict[str, Any] = {"message": message, "hint": hint}
        self._line({"error": told | {"unexpected": True} if unexpected else told})

    def _line(self, event: dict[str, Any]) -> None:
        # ASCII, so that no encoding of the system matters.
        self._stream.write(json.dumps(event, ensure_ascii=True) + "\n")
        self._stream.flush()


def _step_back() -> None:
    """Let everything else on this computer come first, for the processor and, on Linux, for the memory."""
    with contextlib.suppress(OSError, AttributeError):  # Windows: whoever starts it sets the priority
        os.nice(_NICENESS)
    with contextlib.suppress(OSError):  # only Linux has the file
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def _take_over_stdout() -> IO[str]:
    """Standard output for the events alone: what libraries print, in whatever language, goes to the log."""
    own = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return own


def _end_with_owner() -> None:
    """End this process, and all it started, as soon as whoever started it is gone."""
    threading.Thread(target=_wait_for_the_end_of_input, name="owner", daemon=True).start()
    if sys.platform == "linux":
        # The kernel's own word, should this process be too busy to read; a thread may not get its turn.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_the_end_of_input() -> None:
    # Not sys.stdin: its lock would be held when the interpreter ends.
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_at_sigterm() -> None:
    """Leave at SIGTERM as at an error, so that what was begun on the disk is taken away.

    One long computation may not let Python in: whoever sent it waits a few seconds, then kills.
    """

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def run_and_leave(arguments: Sequence[str]) -> NoReturn:
    """Run the training that the file orders, then end the process without taking Python apart.

    What was begun is finished or taken away when ``main`` returns, and locks are released. What Python and
    torch do after that takes 2 to 3 s, and may hang: whoever asked it to end would wait, or kill.
    """
    try:
        status: Any = main(arguments)
    except SystemExit as end:
        status = end.code
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run_and_leave(sys.argv[1:])
