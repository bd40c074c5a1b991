"""What Ray itself would print: kept off the screen, but for one sentence of ours where memory runs short.

Ray prints on the stdout of the process that started it what happens to its own processes. Where memory runs
short that is a page with the command lines of everybody's processes, again for every one that it ends.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_OF_MEMORY = re.compile(r"\boom\b|out of memory|memory pressure", re.IGNORECASE)
_logger = logging.getLogger(__name__)


@contextmanager
def told_in_our_words(retries: int) -> Iterator[None]:
    """Ray's own words go into the log (level INFO) for as long as this is open.

    Ray has no setting for it: what prints them is replaced. A Ray that has it no more prints as before.

    Args:
        retries: how often work is done again whose process was ended for its memory.
    """
    import ray

    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    printer = getattr(worker, "print_to_stdstream", None)
    if printer is None:
        yield
        return
    worker.print_to_stdstream = _teller(retries)
    try:
        yield
    finally:
        worker.print_to_stdstream = printer


def _teller(retries: int) -> Callable[..., None]:
    """Takes Ray's words; of memory it warns once."""
    warned = False

    def tell(said: Mapping[str, Any], *_: object, **__: object) -> None:
        nonlocal warned
        words = "\n".join(map(str, said.get("lines", ())))
        _logger.info("Ray: %s", words)
        if _OF_MEMORY.search(words) and not warned:
            warned = True
            _logger.warning(
                "The memory ran short: Ray ended a process, whose work begins again, up to %d times. "
                "Close other programs, or do fewer things at a time.",
                retries,
            )

    return tell
