"""How much memory a piece of work takes beyond what its process had before, on Linux."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# From the manual of proc(5): forgets the highest memory that this process ever had.
_FORGET_PEAK = "5"


class MemoryOf:
    """The most memory of this process while something runs, less what it had before.

        with MemoryOf() as taken:
            answer()
        taken.mib

    What was freed before is given back to the system first, so that it does not hide what is taken again.

    Attributes:
        mib: once it is over; nan where the system does not tell.
    """

    mib = float("nan")

    def __enter__(self) -> MemoryOf:
        self._before = float("nan")
        if _CLEAR.exists():
            ctypes.CDLL(None).malloc_trim(0)
            _CLEAR.write_text(_FORGET_PEAK)
            self._before = _status_mib("VmRSS")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _CLEAR.exists():
            self.mib = _status_mib("VmHWM") - self._before


def _status_mib(name: str) -> float:
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kib) / 1024
