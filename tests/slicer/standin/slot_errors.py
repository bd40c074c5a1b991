"""Errors that Qt or VTK swallows: in slots, event filters, painting, timers and observers of the scene.

Both print the traceback through ``sys.excepthook`` and go on, so that the test would pass.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


@contextmanager
def no_swallowed_errors() -> Iterator[list[BaseException]]:
    """Fail at the end where one came; the list holds them, for a test that expects one to take out.

    Raises:
        AssertionError: one came; its traceback is printed above.
    """
    errors: list[BaseException] = []
    before = sys.excepthook

    def keep(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        errors.append(error)
        before(kind, error, trace)

    sys.excepthook = keep
    try:
        yield errors
    finally:
        sys.excepthook = before
    assert not errors, f"an error in a slot, an event filter or an observer: {errors}"
