"""Python's cyclic garbage collector, kept from walking hundreds of thousands of listings over and over."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_was_on = False


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Within the ``with`` block nothing is collected but by reference counts; several threads may be in one.

    For a second of making many objects that stay, none of them in a circle: the collector would look at all
    of 100,000 studies again and again, for a quarter of that time. Never for what waits for a disk: a network
    share may take minutes, and other threads go on leaving circles behind.
    """
    global _users, _was_on
    with _lock:
        if not _users:
            _was_on = gc.isenabled()
            gc.disable()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _was_on:
                gc.enable()
